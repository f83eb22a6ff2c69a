// Forged and broken envelopes and signatures, as anybody may attach them: each is refused by its name, over the wire.

import { sign } from "node:crypto";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { EvidenceFailure } from "../../src/jobs/attestation/failure.ts";
import {
  good,
  image,
  keys,
  layer,
  other,
  readKey,
  rsa,
  signed,
  slsa,
  startVectorRegistry,
  stranger,
  trusted,
  type Vector,
  type VectorRegistry,
} from "../support/attestation-vectors.ts";
import { statement } from "../support/attachments.ts";
import { slsaProvenance } from "../support/cosign.ts";

let vectors: VectorRegistry;

beforeAll(async () => {
  vectors = await startVectorRegistry();
});
afterAll(() => vectors.stop());
const reencoded = (change: (text: string) => string) => {
  const made = signed(good());
  return { ...made, payload: Buffer.from(change(Buffer.from(made.payload, "base64").toString())).toString("base64") };
};

interface Refused extends Vector {
  readonly code: EvidenceFailure;
  /** Part of what it says. */
  readonly message?: string;
}

const refused: readonly Refused[] = [
  // signatures
  { name: "signed with a key of nobody's", code: "SignatureInvalid", layers: () => [layer(signed(good(), stranger.privateKey))] },
  {
    name: "signed with a trusted key that this policy does not name",
    code: "SignatureInvalid",
    layers: () => [layer(signed(good()))],
    question: { signers: { keys: [readKey("other.pub", stranger.publicKey)] } },
    message: "not signed by other.pub",
  },
  {
    name: "altered payload: another version",
    code: "SignatureInvalid",
    layers: () => [layer(reencoded((text) => text.replace("1.27.3", "9.99.9")))],
  },
  { name: "altered payload: one space more", code: "SignatureInvalid", layers: () => [layer(reencoded((text) => `${text} `))] },
  {
    name: "altered payload: another subject",
    code: "SignatureInvalid",
    layers: () => {
      const made = signed(statement(other, slsa, slsaProvenance({ nginx: "1" })));
      const payload = Buffer.from(made.payload, "base64").toString().replace(other.slice(7), image.slice(7));
      return [layer({ ...made, payload: Buffer.from(payload).toString("base64") })];
    },
  },
  {
    name: "altered payloadType",
    code: "SignatureInvalid",
    layers: () => [
      layer({ ...signed(good(), trusted.privateKey, { payloadType: "text/plain" }), payloadType: "application/vnd.in-toto+json" }),
    ],
  },
  {
    name: "payload moved into the type: the lengths of the PAE",
    code: "SignatureInvalid",
    layers: () => [layer({ ...signed(good()), payloadType: "application/vnd.in-toto+json 1 x" })],
  },
  {
    name: "signature of another statement",
    code: "SignatureInvalid",
    layers: () => [layer({ ...signed(good()), signatures: signed(good(slsaProvenance({ nginx: "1" }))).signatures })],
  },
  {
    name: "signature over the payload alone, without PAE",
    code: "SignatureInvalid",
    layers: () => {
      const made = signed(good());
      const bare = sign("sha256", Buffer.from(made.payload, "base64"), trusted.privateKey);
      return [layer({ ...made, signatures: [{ sig: bare.toString("base64") }] })];
    },
  },
  { name: "an empty signature", code: "EnvelopeInvalid", layers: () => [layer({ ...signed(good()), signatures: [{ sig: "" }] })] },
  {
    name: "a signature of zeros",
    code: "SignatureInvalid",
    layers: () => [layer({ ...signed(good()), signatures: [{ sig: Buffer.alloc(72).toString("base64") }] })],
  },
  {
    name: "ECDSA's r = s = 0",
    code: "SignatureInvalid",
    layers: () => [layer({ ...signed(good()), signatures: [{ sig: Buffer.from("3006020100020100", "hex").toString("base64") }] })],
  },
  {
    name: "an Ed25519 signature with a low-order point",
    code: "SignatureInvalid",
    layers: () => [
      layer({ ...signed(good()), signatures: [{ sig: Buffer.concat([Buffer.from([1]), Buffer.alloc(63)]).toString("base64") }] }),
    ],
  },
  { name: "signed with SHA-1", code: "SignatureInvalid", layers: () => [layer(signed(good(), rsa.privateKey, { hash: "sha1" }))] },
  { name: "P-256 with SHA-512", code: "SignatureInvalid", layers: () => [layer(signed(good(), trusted.privateKey, { hash: "sha512" }))] },
  {
    name: "the key is named in keyid and did not sign",
    code: "SignatureInvalid",
    layers: () => {
      const made = signed(good(), stranger.privateKey);
      return [layer({ ...made, signatures: [{ ...made.signatures[0], keyid: keys[0]?.fingerprint, cert: "x" }] })];
    },
  },
  // envelopes
  {
    name: "two signatures, both good",
    code: "EnvelopeInvalid",
    layers: () => [layer({ ...signed(good()), signatures: [...signed(good()).signatures, ...signed(good()).signatures] })],
    message: "2 signatures",
  },
  {
    name: "a stranger's signature before a good one",
    code: "EnvelopeInvalid",
    layers: () => [
      layer({ ...signed(good()), signatures: [...signed(good(), stranger.privateKey).signatures, ...signed(good()).signatures] }),
    ],
  },
  { name: "no signature", code: "EnvelopeInvalid", layers: () => [layer({ ...signed(good()), signatures: [] })], message: "0 signatures" },
  {
    name: "signatures that are no list",
    code: "EnvelopeInvalid",
    layers: () => [layer({ ...signed(good()), signatures: { 0: { sig: "AA==" }, length: 1 } })],
  },
  {
    name: "truncated JSON",
    code: "EnvelopeInvalid",
    layers: () => [layer(JSON.stringify(signed(good())).slice(0, -20))],
    message: "not JSON",
  },
  { name: "not JSON at all", code: "EnvelopeInvalid", layers: () => [layer("<html>not found</html>")] },
  { name: "an empty document", code: "EnvelopeInvalid", layers: () => [layer("")] },
  { name: "a JSON array", code: "EnvelopeInvalid", layers: () => [layer([signed(good())])] },
  { name: "null", code: "EnvelopeInvalid", layers: () => [layer("null")] },
  {
    name: "not UTF-8",
    code: "EnvelopeInvalid",
    layers: () => [{ bytes: Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]), predicateType: slsa }],
    message: "not UTF-8",
  },
  { name: "a payload that is not base64", code: "EnvelopeInvalid", layers: () => [layer({ ...signed(good()), payload: "{}" })] },
  {
    name: "base64 with junk that decoders skip",
    code: "EnvelopeInvalid",
    layers: () => {
      const made = signed(good());
      return [layer({ ...made, payload: `${made.payload.slice(0, 8)}\n${made.payload.slice(8)}` })];
    },
  },
  {
    name: "everything behind __proto__",
    code: "EnvelopeInvalid",
    layers: () => [layer(`{"__proto__":${JSON.stringify(signed(good()))}}`)],
  },
  {
    name: "nested a hundred thousand levels",
    code: "EnvelopeInvalid",
    layers: () => [layer("[".repeat(100_000))],
    message: "nested deeper",
  },
  {
    name: "a million values",
    code: "EnvelopeInvalid",
    layers: () => [layer(`{"signatures":[${"[],".repeat(1_000_000)}[]]}`)],
    message: "values",
  },
  {
    name: "a sigstore bundle instead of an envelope",
    code: "EnvelopeInvalid",
    layers: () => [layer({ mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json", dsseEnvelope: signed(good()) })],
  },
];

test.each(refused)("$code: $name", async ({ code, layers, question, message }) => {
  await expect(vectors.ask(layers(), question)).rejects.toMatchObject({
    name: "AttestationError",
    code,
    message: expect.stringContaining(message ?? ""),
  });
});

test("one altered byte anywhere in the payload or the signature", async () => {
  const made = signed(good());
  const payload = Buffer.from(made.payload, "base64");
  const signature = Buffer.from(made.signatures[0]?.sig ?? "", "base64");
  const flipped = (from: Buffer, index: number) => {
    const copy = Buffer.from(from);
    copy[index] = (copy[index] ?? 0) ^ 1;
    return copy.toString("base64");
  };
  const layers = [
    ...[0, 1, 50, 100, payload.length - 1].map((index) => layer({ ...made, payload: flipped(payload, index) })),
    ...[0, 4, 10, 40, signature.length - 1].map((index) => layer({ ...made, signatures: [{ sig: flipped(signature, index) }] })),
  ];
  for (const one of layers) await expect(vectors.ask([one])).rejects.toMatchObject({ code: "SignatureInvalid" });
});
