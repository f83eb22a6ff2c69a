// What the real cosign attaches is found, verified and read over the wire, from a real registry.

import { afterAll, beforeAll, expect, test } from "vitest";

import { RegistryClient } from "../../src/client/registry-client.ts";
import type { Digest } from "../../src/domain/digest.ts";
import { readPublicKey, type PublicKey } from "../../src/domain/public-key.ts";
import { attestationTag } from "../../src/jobs/attestation/discovery.ts";
import { readEvidence, type EvidenceQuestion } from "../../src/jobs/attestation/evidence.ts";
import { createCosignKey, slsaProvenance, spdxDocument, type CosignKey, type KeyAlgorithm } from "../support/cosign.ts";
import { startDistribution, type Distribution } from "../support/distribution.ts";
import { pushImage } from "../support/images.ts";
import { use } from "../support/programs.ts";

let upstream: Distribution;
let registry: RegistryClient;
let signer: CosignKey;
const keys: CosignKey[] = [];

beforeAll(async () => {
  upstream = await startDistribution();
  registry = new RegistryClient({ url: upstream.url });
  signer = await newKey();
});
afterAll(async () => {
  await registry.close();
  await upstream.stop();
  for (const key of keys) await key.remove();
});

async function newKey(algorithm?: KeyAlgorithm): Promise<CosignKey> {
  const key = await createCosignKey(algorithm);
  keys.push(key);
  return key;
}

function publicKey({ publicKey: pem }: CosignKey): PublicKey {
  const key = readPublicKey("cosign-pub/cosign.pub", pem);
  if ("problem" in key) throw new Error(key.problem);
  return key;
}

async function image(name: string): Promise<{ repository: string; digest: Digest; reference: string }> {
  const repository = `chainguard/${name}`;
  const digest = await pushImage({ reference: `${upstream.host}/${repository}:latest`, content: name });
  return { repository, digest, reference: `${upstream.host}/${repository}@${digest}` };
}

const ask = (question: Pick<EvidenceQuestion, "repository" | "digest"> & Partial<EvidenceQuestion>) =>
  readEvidence(registry, {
    evidence: [{ type: "SLSAProvenance" }, { type: "SPDX" }, { type: "CycloneDX" }, { type: "Apko" }],
    package: "nginx",
    signers: { keys: [publicKey(signer)] },
    ...question,
  });

test.each<KeyAlgorithm>(["ecdsa-p256", "ecdsa-p384", "rsa", "ed25519"])("SLSA provenance signed by cosign with %s", async (algorithm) => {
  const key = await newKey(algorithm);
  const { reference, ...subject } = await image(`slsa-${algorithm}`);
  await key.attest(reference, "slsaprovenance1", slsaProvenance({ nginx: "1.27.3-r2" }));
  const listed = await registry.manifest(subject.repository, attestationTag(subject.digest));
  const answer = await ask({ ...subject, signers: { keys: [publicKey(signer), publicKey(key)] } });
  expect(answer).toEqual({
    version: "1.27.3-r2",
    manifest: listed?.digest,
    evidence: {
      type: "SLSAProvenance",
      attestation: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      predicateType: "https://slsa.dev/provenance/v1",
      key: { name: "cosign-pub/cosign.pub", fingerprint: publicKey(key).fingerprint },
    },
  });
  await expect(ask(subject)).rejects.toMatchObject({ code: "SignatureInvalid" });
});

test("SPDX 2.3, as spdxjson and as the string that cosign makes of --type spdx", async () => {
  for (const type of ["spdxjson", "spdx"] as const) {
    const { reference, ...subject } = await image(`sbom-${type}`);
    await signer.attest(reference, type, spdxDocument({ openssl: "3.4.0-r1", nginx: "1.27.3-r2" }));
    await expect(ask(subject)).resolves.toMatchObject({ version: "1.27.3-r2", evidence: { type: "SPDX" } });
  }
});

test("CycloneDX and apko's configuration", async () => {
  const bom = await image("bom");
  await signer.attest(bom.reference, "cyclonedx", {
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    components: [{ type: "library", name: "nginx", version: "1.27.3-r2", purl: "pkg:apk/wolfi/nginx@1.27.3-r2" }],
  });
  await expect(ask(bom)).resolves.toMatchObject({ version: "1.27.3-r2", evidence: { type: "CycloneDX" } });
  const apko = await image("apko");
  await signer.attest(apko.reference, "https://apko.dev/image-configuration", { contents: { packages: ["nginx=1.27.3-r2"] } });
  await expect(ask(apko)).resolves.toMatchObject({ version: "1.27.3-r2", evidence: { type: "Apko" } });
});

test("of several attestations the first type that the policy names counts", async () => {
  const { reference, ...subject } = await image("both");
  await signer.attest(reference, "spdxjson", spdxDocument({ nginx: "1.27.3-r2" }));
  await signer.attest(reference, "slsaprovenance1", slsaProvenance({ nginx: "1.27.3-r7" }));
  await expect(ask(subject)).resolves.toMatchObject({ version: "1.27.3-r7", evidence: { type: "SLSAProvenance" } });
  await expect(ask({ ...subject, evidence: [{ type: "SPDX" }] })).resolves.toMatchObject({ version: "1.27.3-r2" });
  // What one type does not say, the next may.
  await expect(ask({ ...subject, evidence: [{ type: "SLSAProvenance", parameter: "curl" }, { type: "SPDX" }] })).resolves.toMatchObject({
    version: "1.27.3-r2",
  });
});

test("an attestation that somebody copied to another image is about something else", async () => {
  const { reference, ...from } = await image("copied-from");
  await signer.attest(reference, "slsaprovenance1", slsaProvenance({ nginx: "1.27.3-r2" }));
  const to = await image("copied-to");
  await use("crane", [
    "copy",
    "--insecure",
    `${upstream.host}/${from.repository}:${attestationTag(from.digest)}`,
    `${upstream.host}/${to.repository}:${attestationTag(to.digest)}`,
  ]);
  await expect(ask(to)).rejects.toMatchObject({
    code: "SubjectMismatch",
    message: expect.stringContaining(`it is about ${from.digest}, not about ${to.digest}`),
  });
});

test("SLSA provenance v0.2 is another predicate", async () => {
  const { reference, ...subject } = await image("slsa02");
  await signer.attest(reference, "slsaprovenance02", {
    builder: { id: "b" },
    buildType: "t",
    invocation: { parameters: { nginx: "1.27.3" } },
  });
  await expect(ask(subject)).rejects.toMatchObject({
    code: "PredicateTypeMismatch",
    message: expect.stringContaining("https://slsa.dev/provenance/v0.2"),
  });
});

test("an image without attestations, and a policy without keys", async () => {
  const subject = await image("bare");
  await expect(ask(subject)).rejects.toMatchObject({ code: "SignatureMissing" });
  await expect(ask({ ...subject, signers: { keys: [] } })).rejects.toMatchObject({ code: "KeyMissing" });
});
