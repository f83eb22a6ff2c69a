// Well signed, and still not evidence: statements about something else, of another type, without a version. Each is refused by its name.

import { afterAll, beforeAll, expect, test } from "vitest";

import { digestOf, type Digest } from "../../src/domain/digest.ts";
import { attestationTag } from "../../src/jobs/attestation/discovery.ts";
import { readEvidence } from "../../src/jobs/attestation/evidence.ts";
import type { EvidenceFailure } from "../../src/jobs/attestation/failure.ts";
import {
  cyclonedx,
  good,
  image,
  keys,
  layer,
  other,
  signed,
  slsa,
  spdx,
  startVectorRegistry,
  subject,
  trusted,
  type Vector,
  type VectorRegistry,
} from "../support/attestation-vectors.ts";
import { attach, statement } from "../support/attachments.ts";
import { slsaProvenance, spdxDocument } from "../support/cosign.ts";

const mebibyte = 1024 * 1024;

let vectors: VectorRegistry;

beforeAll(async () => {
  vectors = await startVectorRegistry();
});
afterAll(() => vectors.stop());

interface Refused extends Vector {
  readonly code: EvidenceFailure;
  /** Part of what it says. */
  readonly message?: string;
}

const refused: readonly Refused[] = [
  // payloads
  {
    name: "signed, but not as in-toto",
    code: "PayloadTypeMismatch",
    layers: () => [layer(signed(good(), trusted.privateKey, { payloadType: "application/json" }))],
  },
  {
    name: "in-toto with parameters in its type",
    code: "PayloadTypeMismatch",
    layers: () => [layer(signed(good(), trusted.privateKey, { payloadType: "application/vnd.in-toto+json; charset=utf-8" }))],
  },
  { name: "a payload that is not JSON", code: "StatementInvalid", layers: () => [layer(signed("nginx 1.27.3"))] },
  { name: "a truncated statement, signed", code: "StatementInvalid", layers: () => [layer(signed(JSON.stringify(good()).slice(0, -5)))] },
  {
    name: "a statement of a type nobody knows",
    code: "StatementInvalid",
    layers: () => [layer(signed(good(undefined, slsa, { type: "https://in-toto.io/Statement/v2" })))],
  },
  {
    name: "a type that only begins like one",
    code: "StatementInvalid",
    layers: () => [layer(signed(good(undefined, slsa, { type: "https://in-toto.io/Statement/v1.evil" })))],
  },
  { name: "a statement without a predicate", code: "StatementInvalid", layers: () => [layer(signed({ ...good(), predicate: undefined }))] },
  {
    name: "a statement nested too deep",
    code: "StatementInvalid",
    layers: () => [layer(signed(`{"predicate":${"[".repeat(200)}${"]".repeat(200)}}`))],
    message: "nested deeper",
  },
  {
    name: "a statement behind __proto__",
    code: "StatementInvalid",
    layers: () => [layer(signed(`{"__proto__":${JSON.stringify(good())}}`))],
  },
  // subjects
  {
    name: "about another digest",
    code: "SubjectMismatch",
    layers: () => [layer(signed(statement(other, slsa, slsaProvenance({ nginx: "1.27.3" }))))],
    message: other,
  },
  { name: "about nothing", code: "SubjectMismatch", layers: () => subject([]) },
  { name: "subject is no list", code: "SubjectMismatch", layers: () => subject({ digest: { sha256: image.slice(7) } }) },
  {
    name: "the digest only in the subject's name",
    code: "SubjectMismatch",
    layers: () => subject([{ name: image, digest: { sha256: other.slice(7) } }]),
  },
  { name: "the digest under another algorithm", code: "SubjectMismatch", layers: () => subject([{ digest: { sha1: image.slice(7) } }]) },
  { name: "the digest with its algorithm in front", code: "SubjectMismatch", layers: () => subject([{ digest: { sha256: image } }]) },
  {
    name: "the digest in upper case",
    code: "SubjectMismatch",
    layers: () => subject([{ digest: { sha256: image.slice(7).toUpperCase() } }]),
  },
  { name: "the beginning of the digest", code: "SubjectMismatch", layers: () => subject([{ digest: { sha256: image.slice(7, 39) } }]) },
  {
    name: "the digest inherited from __proto__",
    code: "SubjectMismatch",
    layers: () => [
      layer(
        signed(
          JSON.stringify(good(undefined, slsa, { subject: "X" })).replace(
            '"X"',
            `[{"digest":{"__proto__":{"sha256":"${image.slice(7)}"}}}]`,
          ),
        ),
      ),
    ],
  },
  // predicates
  {
    name: "right predicate, wrong type",
    code: "PredicateTypeMismatch",
    layers: () => [layer(signed(good(undefined, "https://example.com/provenance")))],
  },
  { name: "SLSA v0.2", code: "PredicateTypeMismatch", layers: () => [layer(signed(good(undefined, "https://slsa.dev/provenance/v0.2")))] },
  { name: "a type that only begins like it", code: "PredicateTypeMismatch", layers: () => [layer(signed(good(undefined, `${slsa}?x`)))] },
  {
    name: "the hint says SLSA, the statement does not",
    code: "PredicateTypeMismatch",
    layers: () => [layer(signed(good({ scanner: {} }, "https://cosign.sigstore.dev/attestation/vuln/v1")))],
  },
  {
    name: "an SBOM where the policy asks for provenance",
    code: "PredicateTypeMismatch",
    layers: () => [layer(signed(good(spdxDocument({ nginx: "1.27.3" }), spdx)))],
    question: { evidence: [{ type: "SLSAProvenance" }] },
  },
  { name: "SLSA without a buildDefinition", code: "DocumentInvalid", layers: () => [layer(signed(good({ nginx: "1.27.3" })))] },
  {
    name: "SPDX of no version",
    code: "DocumentInvalid",
    layers: () => [layer(signed(good({ packages: [{ name: "nginx", versionInfo: "1" }] }, spdx)), spdx)],
  },
  {
    name: "SPDX as tag-value text",
    code: "DocumentInvalid",
    layers: () => [layer(signed(good("SPDXVersion: SPDX-2.3\nPackageName: nginx\n", spdx)), spdx)],
    message: "--type spdxjson",
  },
  {
    name: "CycloneDX 1.3",
    code: "DocumentInvalid",
    layers: () => [layer(signed(good({ bomFormat: "CycloneDX", specVersion: "1.3" }, cyclonedx)), cyclonedx)],
    question: { evidence: [{ type: "CycloneDX" }] },
  },
  // versions
  {
    name: "the parameter is missing",
    code: "VersionMissing",
    layers: () => [layer(signed(good(slsaProvenance({ curl: "8.11.0" }))))],
    message: '"nginx"',
  },
  {
    name: "the parameter is a number",
    code: "VersionMissing",
    layers: () => [layer(signed(good({ buildDefinition: { internalParameters: { nginx: 1.27 } } })))],
  },
  { name: "the parameter is empty", code: "VersionMissing", layers: () => [layer(signed(good(slsaProvenance({ nginx: "" }))))] },
  {
    name: "a parameter that every object inherits",
    code: "VersionMissing",
    layers: () => [layer(signed(good()))],
    question: { package: "constructor" },
  },
  {
    name: "the parameter inherited from __proto__",
    code: "VersionMissing",
    layers: () => [
      layer(
        signed(JSON.stringify(good({ buildDefinition: { internalParameters: "X" } })).replace('"X"', '{"__proto__":{"nginx":"1.27.3"}}')),
      ),
    ],
  },
  {
    name: "an SBOM that does not know the version",
    code: "VersionMissing",
    layers: () => [layer(signed(good({ spdxVersion: "SPDX-2.3", packages: [{ name: "nginx", versionInfo: "NOASSERTION" }] }, spdx)), spdx)],
  },
  {
    name: "an SBOM with the package twice",
    code: "VersionAmbiguous",
    layers: () => [
      layer(
        signed(
          good({ spdxVersion: "SPDX-2.3", packages: ["1.27.3", "1.27.4"].map((versionInfo) => ({ name: "nginx", versionInfo })) }, spdx),
        ),
        spdx,
      ),
    ],
    message: '"1.27.3", "1.27.4"',
  },
  {
    name: "two good attestations of different versions",
    code: "AttestationsDisagree",
    layers: () => ["1.27.3", "1.27.4"].map((nginx) => layer(signed(good(slsaProvenance({ nginx }))))),
  },
  // documents
  {
    name: "larger than 32 MiB, as the manifest says",
    code: "DocumentTooLarge",
    layers: () => [{ ...layer(signed(good())), size: 32 * mebibyte + 1 }],
  },
  {
    name: "larger than 32 MiB, whatever the manifest says",
    code: "DocumentTooLarge",
    layers: () => [{ ...layer(`${JSON.stringify(signed(good()))}${" ".repeat(32 * mebibyte)}`), size: 700 }],
  },
  {
    name: "51 documents",
    code: "TooManyDocuments",
    layers: () => Array.from({ length: 51 }, (_, index) => layer(signed(good(slsaProvenance({ nginx: "1.27.3", index: `${index}` }))))),
  },
  {
    name: "layers of another media type",
    code: "SignatureMissing",
    layers: () => [{ ...layer(signed(good())), mediaType: "application/vnd.dev.cosign.simplesigning.v1+json" }],
  },
  { name: "no layers", code: "SignatureMissing", layers: () => [] },
  { name: "no key to verify with", code: "KeyMissing", layers: () => [layer(signed(good()))], question: { signers: { keys: [] } } },
];

test.each(refused)("$code: $name", async ({ code, layers, question, message }) => {
  await expect(vectors.ask(layers(), question)).rejects.toMatchObject({
    name: "AttestationError",
    code,
    message: expect.stringContaining(message ?? ""),
  });
});

test("a listed document that the registry lost is a failure of the evidence", async () => {
  // distribution takes no manifest with a missing layer, so the blob is deleted behind it.
  const repository = "vectors/lost";
  const one = layer(signed(good()));
  await attach(vectors.upstream.url, repository, attestationTag(image), [one]);
  const digest: Digest = digestOf(one.bytes);
  const deleted = await fetch(`${vectors.upstream.url}/v2/${repository}/blobs/${digest}`, { method: "DELETE" });
  expect(deleted.status).toBe(202);
  const question = { repository, digest: image, evidence: [{ type: "SLSAProvenance" as const }], package: "nginx", signers: { keys } };
  await expect(readEvidence(vectors.registry, question)).rejects.toMatchObject({ code: "DocumentMissing" });
});
