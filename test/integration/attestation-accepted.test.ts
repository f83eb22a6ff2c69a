// What counts: every form that publishers use, signed by a key of the policy, over the wire.

import { createHash } from "node:crypto";

import { afterAll, beforeAll, expect, test } from "vitest";

import {
  apko,
  bytes,
  cyclonedx,
  ed25519,
  good,
  image,
  layer,
  other,
  p384,
  rsa,
  signed,
  slsa,
  spdx,
  startVectorRegistry,
  stranger,
  subject,
  type Vector,
  type VectorRegistry,
} from "../support/attestation-vectors.ts";
import { slsaProvenance, spdxDocument } from "../support/cosign.ts";

let vectors: VectorRegistry;

beforeAll(async () => {
  vectors = await startVectorRegistry();
});
afterAll(() => vectors.stop());

interface Accepted extends Vector {
  readonly version: string;
  readonly type?: string;
}

const sbom3 = {
  "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld",
  "@graph": [
    { type: "CreationInfo", "@id": "_:creation", specVersion: "3.0.1" },
    { type: "software_Package", spdxId: "https://example.com/a", name: "openssl", software_packageVersion: "3.4.0-r1" },
    { type: "software_Package", spdxId: "https://example.com/b", name: "nginx", software_packageVersion: "1.27.3-r2" },
    { type: "software_File", name: "nginx", software_packageVersion: "0" },
  ],
};

const accepted: readonly Accepted[] = [
  { name: "statement v0.1", layers: () => [layer(signed(good()))], version: "1.27.3-r2", type: "SLSAProvenance" },
  {
    name: "statement v1",
    layers: () => [layer(signed(good(undefined, slsa, { type: "https://in-toto.io/Statement/v1" })))],
    version: "1.27.3-r2",
  },
  { name: "P-384 with SHA-384", layers: () => [layer(signed(good(), p384.privateKey, { hash: "sha384" }))], version: "1.27.3-r2" },
  { name: "P-384 with SHA-256, as cosign 2 did", layers: () => [layer(signed(good(), p384.privateKey))], version: "1.27.3-r2" },
  { name: "RSA", layers: () => [layer(signed(good(), rsa.privateKey))], version: "1.27.3-r2" },
  { name: "Ed25519", layers: () => [layer(signed(good(), ed25519.privateKey))], version: "1.27.3-r2" },
  {
    name: "URL-safe base64",
    layers: () => {
      const made = signed(good());
      return [
        layer({
          ...made,
          payload: Buffer.from(made.payload, "base64").toString("base64url"),
          signatures: made.signatures.map(({ sig }) => ({ sig: Buffer.from(sig, "base64").toString("base64url") })),
        }),
      ];
    },
    version: "1.27.3-r2",
  },
  {
    name: "one subject of several",
    layers: () =>
      subject([{ digest: { sha256: other.slice(7) } }, { digest: { sha512: createHash("sha512").digest("hex"), sha256: image.slice(7) } }]),
    version: "1.27.3-r2",
  },
  {
    name: "externalParameters, when internal ones do not say",
    layers: () => [layer(signed(good({ buildDefinition: { externalParameters: { nginx: "1.27.5" }, internalParameters: {} } })))],
    version: "1.27.5",
  },
  {
    name: "internalParameters before external ones",
    layers: () => [
      layer(signed(good({ buildDefinition: { externalParameters: { nginx: "9" }, internalParameters: { nginx: "1.27.5" } } }))),
    ],
    version: "1.27.5",
  },
  {
    name: "the parameter that the policy names",
    layers: () => [layer(signed(good(slsaProvenance({ "nginx-mainline": "1.29.0" }))))],
    question: { evidence: [{ type: "SLSAProvenance", parameter: "nginx-mainline" }] },
    version: "1.29.0",
  },
  { name: "a wrong hint", layers: () => [layer(signed(good()), "https://example.com/else")], version: "1.27.3-r2" },
  { name: "no hint", layers: () => [{ bytes: bytes(signed(good())) }], version: "1.27.3-r2" },
  {
    name: "a good one among forged ones",
    layers: () => [layer(signed(good(slsaProvenance({ nginx: "9" })), stranger.privateKey)), layer("{"), layer(signed(good()))],
    version: "1.27.3-r2",
  },
  {
    name: "two that say the same",
    layers: () => [layer(signed(good())), layer(signed(good(undefined, slsa, { type: "https://in-toto.io/Statement/v1" })))],
    version: "1.27.3-r2",
  },
  {
    name: "SPDX 2.3",
    layers: () => [layer(signed(good(spdxDocument({ openssl: "3.4.0-r1", nginx: "1.27.3-r2" }), spdx)), spdx)],
    version: "1.27.3-r2",
    type: "SPDX",
  },
  {
    name: "SPDX 2.3, by purl",
    layers: () => [
      layer(
        signed(
          good(
            {
              spdxVersion: "SPDX-2.3",
              packages: [
                {
                  name: "nginx-package",
                  externalRefs: [{ referenceType: "purl", referenceLocator: "pkg:apk/wolfi/nginx@1.27.3-r2?arch=x86_64" }],
                },
              ],
            },
            spdx,
          ),
        ),
        spdx,
      ),
    ],
    version: "1.27.3-r2",
  },
  {
    name: "SPDX 2.3, the installed package before its source",
    layers: () => [
      layer(
        signed(
          good(
            {
              spdxVersion: "SPDX-2.3",
              packages: [
                {
                  name: "nginx",
                  versionInfo: "1.27.3",
                  externalRefs: [{ referenceType: "purl", referenceLocator: "pkg:github/nginx/nginx@1.27.3" }],
                },
                {
                  name: "nginx",
                  versionInfo: "1.27.3-r2",
                  externalRefs: [{ referenceType: "purl", referenceLocator: "pkg:apk/wolfi/nginx@1.27.3-r2" }],
                },
              ],
            },
            spdx,
          ),
        ),
        spdx,
      ),
    ],
    version: "1.27.3-r2",
  },
  { name: "SPDX 3", layers: () => [layer(signed(good(sbom3, spdx)), spdx)], version: "1.27.3-r2" },
  {
    name: "SPDX 3, by purl",
    layers: () => [
      layer(
        signed(
          good(
            {
              ...sbom3,
              "@graph": [
                {
                  type: "software_Package",
                  name: "x",
                  externalIdentifier: [{ externalIdentifierType: "packageUrl", identifier: "pkg:deb/debian/nginx@1.22.1-9%2Bdeb12u1" }],
                },
              ],
            },
            spdx,
          ),
        ),
        spdx,
      ),
    ],
    version: "1.22.1-9+deb12u1",
  },
  {
    name: "CycloneDX, nested",
    layers: () => [
      layer(
        signed(
          good(
            {
              bomFormat: "CycloneDX",
              specVersion: "1.6",
              metadata: { component: { name: "image" } },
              components: [{ name: "os", components: [{ name: "nginx", version: "1.27.3-r2" }] }],
            },
            cyclonedx,
          ),
        ),
        cyclonedx,
      ),
    ],
    question: { evidence: [{ type: "CycloneDX" }] },
    version: "1.27.3-r2",
    type: "CycloneDX",
  },
  {
    name: "apko",
    layers: () => [layer(signed(good({ contents: { packages: ["nginx-mainline", "nginx=1.27.3-r2@local", "curl>8"] } }, apko)), apko)],
    question: { evidence: [{ type: "Apko" }] },
    version: "1.27.3-r2",
    type: "Apko",
  },
  {
    name: "a package that is called __proto__",
    layers: () => [
      layer(signed(JSON.stringify(good({ buildDefinition: { internalParameters: "X" } })).replace('"X"', '{"__proto__":"1.27.3"}'))),
    ],
    question: { package: "__proto__" },
    version: "1.27.3",
  },
  {
    name: "fifty documents, the last one good",
    layers: () => [...Array.from({ length: 49 }, (_, index) => layer(`{"n":${index}}`)), layer(signed(good()))],
    version: "1.27.3-r2",
  },
  {
    name: "unsigned, where the policy says Unverified",
    layers: () => [layer({ ...signed(good(), stranger.privateKey) })],
    question: { signers: "Unverified" },
    version: "1.27.3-r2",
  },
];

test.each(accepted)("$name", async ({ layers, version, type, question }) => {
  await expect(vectors.ask(layers(), question)).resolves.toMatchObject({ version, evidence: type === undefined ? {} : { type } });
});

test("an unchecked log entry is not reported, and no signer without a check", async () => {
  const made = layer(signed(good()));
  const { evidence } = await vectors.ask([made]);
  expect(Object.keys(evidence).sort()).toEqual(["attestation", "key", "predicateType", "type"]);
  const unverified = await vectors.ask([made], { signers: "Unverified" });
  expect(Object.keys(unverified.evidence).sort()).toEqual(["attestation", "predicateType", "type"]);
});
