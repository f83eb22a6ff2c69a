// tag-sync as a client of a real registry in front of a real upstream, with attestations of the real cosign, and no other rights than those of its
// run. Only the operator is played by hand.

import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";

import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

import type { TagPolicySpec } from "../../src/api/kinds.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { RegistryClient } from "../../src/client/registry-client.ts";
import { digestOf, type Digest } from "../../src/domain/digest.ts";
import { acceptedManifestTypes } from "../../src/domain/media-types.ts";
import { attestationTag } from "../../src/jobs/attestation/discovery.ts";
import { runTagSync, type TagSyncEnd } from "../../src/jobs/tag-sync.ts";
import { refer, statement } from "../support/attachments.ts";
import { createCosignKey, slsaProvenance, spdxDocument, type CosignKey } from "../support/cosign.ts";
import { startDistribution, type Distribution } from "../support/distribution.ts";
import { createHandOperator, type HandOperator } from "../support/hand-operator.ts";
import { pushImage, pushIndex } from "../support/images.ts";
import { use } from "../support/programs.ts";
import { upstreamSpec } from "../support/proxy.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { bundleOf, createSigstore, entryOf, issuer, signEnvelope, subject } from "../support/sigstore.ts";
import { createTokenCluster, type TokenCluster } from "../support/token-cluster.ts";

let upstream: Distribution;
let served: TestRegistry;
let control: ControlClient;
let registry: RegistryClient;
let operator: HandOperator;
let signer: CosignKey;
let stranger: CosignKey;
let cluster: TokenCluster;
let generation = 0;

beforeAll(async () => {
  cluster = await createTokenCluster();
  // Nobody without credentials may pull, once there is an AccessPolicy.
  const access = { ...cluster.settings.access, anonymousPull: "None" } as const;
  [upstream, served, signer, stranger] = await Promise.all([
    startDistribution(),
    startTestRegistry({ settings: { ...cluster.settings, access } }),
    createCosignKey(),
    createCosignKey(),
  ]);
  control = new ControlClient({ url: served.url, token: adminToken });
  registry = new RegistryClient({ url: served.url, token: adminToken });
  operator = createHandOperator(control);
});
afterAll(async () => {
  await operator.stop();
  await Promise.all([control.close(), registry.close()]);
  await Promise.all([served.stop(), upstream.stop(), signer.remove(), stranger.remove()]);
});
beforeEach(() => served.secrets.set("default", "cosign-pub", { "cosign.pub": signer.publicKey }));

const policySpec = (part: Partial<TagPolicySpec> & Pick<TagPolicySpec, "images">): TagPolicySpec => ({
  upstreamRef: { name: "chainguard" },
  sourceTags: [{ name: "latest", suffix: "" }],
  schedule: "*/30 * * * *",
  timeZone: "Etc/UTC",
  evidence: [{ type: "SLSAProvenance" }, { type: "SPDX" }, { type: "CycloneDX" }, { type: "Apko" }],
  verify: { mode: "Verified", keys: [{ secretRef: { name: "cosign-pub" } }] },
  tags: ["{fullVersion}", "{version}", "{major}.{minor}"],
  onRebuild: "Newest",
  platforms: [],
  copy: "Image",
  ...part,
});

let started = false;
async function apply(spec: TagPolicySpec, url = upstream.url): Promise<void> {
  await operator.apply([
    {
      kind: "Upstream",
      name: "chainguard",
      generation: 1,
      spec: upstreamSpec(url, "cgr", { timeouts: { connect: "5s", firstByte: "20s", idle: "30s" } }),
    },
    { kind: "TagPolicy", name: "images", generation: ++generation, spec },
    {
      kind: "AccessPolicy",
      name: "nobody",
      generation: 1,
      spec: { subjects: [{ kind: "User", name: "nobody" }], repositories: { include: ["**"] }, actions: ["pull"] },
    },
  ]);
  if (!started) operator.start();
  started = true;
}

async function sync(trigger: "schedule" | "manual" = "schedule"): Promise<TagSyncEnd & { lines: string[] }> {
  const lines: string[] = [];
  const job = await cluster.startPod(served.url);
  await control.startRun({ kind: "tag-sync", policy: "default/images", trigger, pod: job.pod });
  const end = await runTagSync({
    control: job.control,
    registry: job.registry,
    run: "own",
    progress: (line) => lines.push(line),
    signal: new AbortController().signal,
  });
  await job.close();
  return { ...end, lines };
}

const latest = (name: string) => `${upstream.host}/chainguard/${name}:latest`;
const attest = (name: string, digest: Digest, nginx: string, key = signer) =>
  key.attest(`${upstream.host}/chainguard/${name}@${digest}`, "slsaprovenance1", slsaProvenance({ [name]: nginx }));

test("latest becomes a version that stays when latest moves on", async () => {
  const first = await pushImage({ reference: latest("nginx"), content: "one" });
  await attest("nginx", first, "1.27.3-r2");
  await apply(policySpec({ images: [{ repository: "chainguard/nginx" }] }));

  const one = await sync();
  expect(one).toMatchObject({
    succeeded: true,
    message: "1 version minted, 1 of 1 images up to date",
    result: {
      images: { total: 1, failed: 0 },
      minted: [{ repository: "cgr/chainguard/nginx", version: "1.27.3-r2", digest: first, tags: ["1.27.3-r2", "1.27.3", "1.27"] }],
      failures: [],
    },
  });
  expect(one.lines).toEqual([
    `cgr/chainguard/nginx:latest ${first.slice(0, 19)}… is 1.27.3-r2 by SLSAProvenance signed with cosign-pub/cosign.pub: 1.27.3-r2, 1.27.3, 1.27`,
  ]);
  for (const tag of ["1.27.3-r2", "1.27.3", "1.27"]) await expect(registry.resolve("cgr/chainguard/nginx", tag)).resolves.toBe(first);

  const unchanged = await sync();
  expect(unchanged.lines).toEqual([`cgr/chainguard/nginx:latest ${first.slice(0, 19)}… unchanged: Minted`]);
  expect(unchanged.result).toEqual({ images: { total: 1, failed: 0 }, minted: [], failures: [] });

  const second = await pushImage({ reference: latest("nginx"), content: "two" });
  await attest("nginx", second, "1.27.4-r0");
  expect((await sync()).result.minted).toMatchObject([{ version: "1.27.4-r0", digest: second }]);
  const tags = await Promise.all(["1.27.3-r2", "1.27.3", "1.27.4", "1.27"].map((tag) => registry.resolve("cgr/chainguard/nginx", tag)));
  expect(tags).toEqual([first, first, second, second]);
  expect(operator.ledgers.get("cgr/chainguard/nginx")).toMatchObject({
    image: `${upstream.host}/chainguard/nginx`,
    builds: [
      {
        version: "1.27.3-r2",
        digest: first,
        sourceTag: "latest",
        evidence: { type: "SLSAProvenance", key: { name: "cosign-pub/cosign.pub" } },
      },
      { version: "1.27.4-r0", digest: second },
    ],
  });

  // A latest that goes back is known already, and takes nothing back.
  await use("crane", ["tag", "--insecure", `${upstream.host}/chainguard/nginx@${first}`, "latest"]);
  expect((await sync()).lines).toEqual([`cgr/chainguard/nginx:latest ${first.slice(0, 19)}… unchanged: Minted`]);
  await expect(registry.resolve("cgr/chainguard/nginx", "1.27")).resolves.toBe(second);
});

test("the copy holds when upstream forgets the image", async () => {
  const digest = await pushImage({ reference: latest("kept"), content: "kept", noise: 50_000 });
  await attest("kept", digest, "2.0.1-r0");
  await apply(policySpec({ images: [{ repository: "chainguard/kept" }] }));
  expect((await sync()).result.minted).toHaveLength(1);
  const attached = await registry.resolve("cgr/chainguard/kept", attestationTag(digest));
  for (const gone of [attached, digest]) {
    const deleted = await fetch(`${upstream.url}/v2/chainguard/kept/manifests/${gone}`, { method: "DELETE" });
    expect(deleted.status).toBe(202);
  }
  await expect(use("crane", ["digest", "--insecure", latest("kept")])).rejects.toThrow("MANIFEST_UNKNOWN");
  // The evidence answers from the copy, also when upstream is asked again and says 404.
  await expect(registry.resolve("cgr/chainguard/kept", attestationTag(digest), { revalidate: true })).resolves.toBe(attached);
  await expect(registry.resolve("cgr/chainguard/kept", "2.0.1")).resolves.toBe(digest);
  const manifest = JSON.parse(Buffer.from((await registry.manifest("cgr/chainguard/kept", "2.0.1"))?.bytes ?? []).toString()) as {
    layers: { digest: Digest; size: number }[];
  };
  for (const layer of manifest.layers) {
    await expect(registry.blob("cgr/chainguard/kept", layer.digest, { maxBytes: layer.size })).resolves.toHaveLength(layer.size);
  }
});

test("an index: evidence for it, or for each of its platforms, and all that is verified agrees", async () => {
  const platforms = ["linux/amd64", "linux/arm64"];
  const whole = await pushIndex({ reference: latest("whole"), content: "whole", platforms });
  await attest("whole", whole.digest, "3.1.0-r1");
  const each = await pushIndex({ reference: latest("each"), content: "each", platforms });
  for (const child of Object.values(each.children)) await attest("each", child, "3.1.0-r1");
  const half = await pushIndex({ reference: latest("half"), content: "half", platforms });
  await attest("half", half.children["linux/amd64"] as Digest, "3.1.0-r1");
  const torn = await pushIndex({ reference: latest("torn"), content: "torn", platforms });
  await attest("torn", torn.children["linux/amd64"] as Digest, "3.1.0-r1");
  await attest("torn", torn.children["linux/arm64"] as Digest, "3.0.9-r4");
  const images = ["whole", "each", "half", "torn"].map((name) => ({ repository: `chainguard/${name}` }));
  await apply(policySpec({ images }));

  const { result } = await sync();
  expect(result.images).toEqual({ total: 4, failed: 2 });
  expect(Object.fromEntries(result.minted.map(({ repository, digest }) => [repository, digest]))).toEqual({
    "cgr/chainguard/whole": whole.digest,
    "cgr/chainguard/each": each.digest,
  });
  expect(Object.fromEntries(result.failures.map(({ repository, reason, message }) => [repository, `${reason}: ${message}`]))).toEqual({
    "chainguard/half": expect.stringMatching(/^SignatureMissing: linux\/arm64: /),
    "chainguard/torn": 'PlatformsDisagree: linux/amd64 is "3.1.0-r1", linux/arm64 is "3.0.9-r4"',
  });
  expect(operator.ledgers.get("cgr/chainguard/each")?.builds[0]?.evidence.platforms).toEqual(platforms);
  expect(operator.ledgers.get("cgr/chainguard/whole")?.builds[0]?.evidence.platforms).toEqual(platforms);

  // A policy for one platform needs that one alone.
  await apply(policySpec({ images: [{ repository: "chainguard/half" }], platforms: ["linux/amd64"] }));
  expect((await sync()).result.minted).toMatchObject([{ version: "3.1.0-r1", digest: half.digest }]);
});

test("failures have names, are remembered, and never stop the other images", async () => {
  const names = ["bare", "forged", "old", "wordy", "fine"];
  const digests: Record<string, Digest> = {};
  for (const name of names) digests[name] = await pushImage({ reference: latest(name), content: name });
  await attest("forged", digests["forged"] as Digest, "1.0.0", stranger);
  await attest("old", digests["old"] as Digest, "0.9.0");
  await attest("wordy", digests["wordy"] as Digest, "nightly\u001b[31m");
  await attest("fine", digests["fine"] as Digest, "1.2.3-r4");
  const images = [...names, "absent"].map((name) => ({ repository: `chainguard/${name}` }));
  await apply(policySpec({ images, versions: { semver: ">=1, <2" } }));

  const first = await sync();
  expect(first.succeeded).toBe(true);
  const reasons = (end: TagSyncEnd) => Object.fromEntries(end.result.failures.map(({ repository, reason }) => [repository, reason]));
  const expected = {
    "chainguard/bare": "SignatureMissing",
    "chainguard/forged": "SignatureInvalid",
    "chainguard/old": "VersionRefused",
    "chainguard/wordy": "VersionRefused",
    "chainguard/absent": "SourceTagMissing",
  };
  expect(reasons(first)).toEqual(expected);
  expect(first.lines.join("\n")).not.toContain("\u001b");
  expect(first.result.minted).toMatchObject([{ version: "1.2.3-r4" }]);

  // On schedule nothing is read again before it is due; the failures are still shown.
  const second = await sync();
  expect(reasons(second)).toEqual(expected);
  expect(second.lines.filter((line) => line.includes("unchanged"))).toHaveLength(5);

  // The attestation arrives, and a person asks now.
  await attest("bare", digests["bare"] as Digest, "1.1.1-r0");
  expect((await sync("manual")).result.minted).toMatchObject([{ repository: "cgr/chainguard/bare", version: "1.1.1-r0" }]);
});

test("cosign's own layout: a bundle among the referrers, signed with a key", async () => {
  const digest = await pushImage({ reference: latest("bundled"), content: "bundled" });
  const reference = `${upstream.host}/chainguard/bundled@${digest}`;
  await signer.attest(reference, "slsaprovenance1", slsaProvenance({ bundled: "5.0.1-r0" }), { layout: "Bundle" });
  await apply(policySpec({ images: [{ repository: "chainguard/bundled" }] }));
  const { result } = await sync();
  expect(result.failures).toEqual([]);
  expect(result.minted).toMatchObject([{ version: "5.0.1-r0", digest }]);
});

test("signed without a key: the bundle is verified, and who signed, when and where it is logged is kept with the version", async () => {
  const sigstore = await createSigstore();
  served.secrets.setConfigMap("default", "sigstore-root", { "trusted_root.json": sigstore.trustedRoot });
  const publish = async (name: string, version: string) => {
    const digest = await pushImage({ reference: latest(name), content: name });
    const { key, certificate } = await sigstore.certify();
    const payload = statement(digest, "https://slsa.dev/provenance/v1", slsaProvenance({ [name]: version }));
    const envelope = signEnvelope(JSON.stringify(payload), key);
    const entries = [await sigstore.log(entryOf("dsse 0.0.1", envelope, certificate))];
    const bundle = Buffer.from(JSON.stringify(bundleOf({ envelope, certificate, entries, timestamps: [] }, "0.3")));
    return { digest, attached: await refer(upstream.url, `chainguard/${name}`, digest, bundle) };
  };
  const { digest, attached } = await publish("keyless", "6.1.0-r3");
  const keyless = (subjectRegExp: string) => ({
    mode: "Verified" as const,
    keyless: [{ issuer, subjectRegExp }],
    trustedRoot: { configMapRef: { name: "sigstore-root" } },
  });
  const images = [{ repository: "chainguard/keyless" }];

  await apply(policySpec({ images, verify: keyless("https://github\\.com/eve/.*") }));
  expect((await sync()).result.failures).toMatchObject([
    { reason: "IdentityMismatch", message: expect.stringContaining(`signed by ${subject}`) },
  ]);

  await apply(policySpec({ images, verify: keyless("https://github\\.com/chainguard-images/.*") }));
  const { lines, result } = await sync();
  expect(result.minted).toMatchObject([{ version: "6.1.0-r3", digest }]);
  expect(lines[0]).toContain(`is 6.1.0-r3 by SLSAProvenance signed by ${subject} of ${issuer}: `);
  expect(operator.ledgers.get("cgr/chainguard/keyless")?.builds[0]?.evidence).toMatchObject({
    issuer,
    subject,
    logIndex: expect.any(Number),
    signed: expect.stringMatching(/Z$/),
    rootVersion: digestOf(sigstore.trustedRoot),
  });

  // The evidence stays with the version when upstream forgets it.
  for (const reference of [digest.replace(":", "-"), attached]) {
    const manifests = `${upstream.url}/v2/chainguard/keyless/manifests`;
    const found = await fetch(`${manifests}/${reference}`, { headers: { accept: acceptedManifestTypes.join(", ") } });
    const deleted = await fetch(`${manifests}/${found.headers.get("docker-content-digest")}`, { method: "DELETE" });
    expect(deleted.status).toBe(202);
  }
  const kept = await registry.referrers("cgr/chainguard/keyless", digest, { max: 10 });
  expect(kept.map((referrer) => referrer.digest)).toEqual([attached]);
});

test("without the key nothing is read; with it the same image counts", async () => {
  const digest = await pushImage({ reference: latest("keyed"), content: "keyed" });
  await signer.attest(`${upstream.host}/chainguard/keyed@${digest}`, "spdxjson", spdxDocument({ keyed: "4.5.6-r7" }));
  served.secrets.set("default", "cosign-pub", {
    "private.pub": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "readme.txt": "x",
  });
  await apply(policySpec({ images: [{ repository: "chainguard/keyed" }] }));
  const without = await sync();
  expect(without.result.failures).toMatchObject([{ reason: "KeyMissing" }]);
  expect(without.lines[0]).toBe("key left out: cosign-pub/private.pub holds a private key; only the public one belongs here");
  served.secrets.set("default", "cosign-pub", { "cosign.pub": signer.publicKey });
  expect((await sync("manual")).result.minted).toMatchObject([{ version: "4.5.6-r7" }]);
});

test("source tags with suffixes, and a policy for another package", async () => {
  const reference = `${upstream.host}/chainguard/python`;
  const stable = await pushImage({ reference: `${reference}:latest`, content: "python" });
  const dev = await pushImage({ reference: `${reference}:latest-dev`, content: "python dev" });
  for (const digest of [stable, dev])
    await signer.attest(`${reference}@${digest}`, "slsaprovenance1", slsaProvenance({ "python-3.13": "3.13.1-r0" }));
  await apply(
    policySpec({
      images: [{ repository: "chainguard/python", package: "python-3.13" }],
      sourceTags: [
        { name: "latest", suffix: "" },
        { name: "latest-dev", suffix: "-dev" },
      ],
      tags: ["{version}", "{major}.{minor}"],
      copy: "Reference",
    }),
  );
  const { result } = await sync();
  expect(result.failures).toEqual([]);
  expect(result.minted.map(({ tags }) => tags)).toEqual([
    ["3.13.1", "3.13"],
    ["3.13.1-dev", "3.13-dev"],
  ]);
  await expect(registry.resolve("cgr/chainguard/python", "3.13-dev")).resolves.toBe(dev);
});

test("a version that a person took out of service is neither up to date nor failed", async () => {
  const digest = await pushImage({ reference: latest("gone"), content: "gone" });
  await attest("gone", digest, "2.0.0-r0");
  await apply(policySpec({ images: [{ repository: "chainguard/gone" }] }));
  await sync();
  await operator.retire("cgr/chainguard/gone", "Jane Doe <jane@example.org>");
  const why = "2.0, 2.0.0, 2.0.0-r0 taken out of service by Jane Doe <jane@example.org>";
  const { lines, message, result } = await sync();
  expect(lines).toEqual([`cgr/chainguard/gone:latest ${digest.slice(0, 19)}… unchanged: ${why}; no run mints it again`]);
  expect(message).toBe("0 versions minted, 0 of 1 images up to date, 1 out of service by a decision in the record");
  expect(result).toEqual({
    images: { total: 1, failed: 0 },
    minted: [],
    failures: [],
    outOfService: [{ repository: "chainguard/gone", sourceTag: "latest", digest, message: why }],
  });
});

test("a run that cannot be done says so and ends", async () => {
  await apply(policySpec({ images: [{ repository: "chainguard/nginx" }], verify: { mode: "Unverified" } }));
  const run = await control.startRun({ kind: "tag-sync", policy: "default/images", trigger: "manual" });
  await expect(control.startRun({ kind: "tag-sync", policy: "default/images", trigger: "manual" })).rejects.toMatchObject({
    code: "Conflict",
  });
  const end = await runTagSync({ control, registry, run: run.id, signal: AbortSignal.abort(new Error("interrupted")) });
  expect(end).toMatchObject({ succeeded: false, message: "interrupted" });
  await expect(control.run(run.id)).resolves.toMatchObject({ state: "failed", result: { message: "interrupted" } });
  await expect(control.startRun({ kind: "tag-sync", policy: "default/none", trigger: "manual" })).rejects.toMatchObject({
    code: "NotFound",
  });
});

test("an upstream that is away: the failure says where nobody answered, and how", async () => {
  const nobody = await closedPort();
  await apply(policySpec({ images: [{ repository: "chainguard/away" }] }), `http://127.0.0.1:${nobody}`);
  const message = expect.stringContaining(`127.0.0.1:${nobody} cannot be reached (ECONNREFUSED)`) as string;
  expect((await sync()).result.failures).toEqual([{ repository: "chainguard/away", sourceTag: "latest", reason: "Unavailable", message }]);
});

/** A port at which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
