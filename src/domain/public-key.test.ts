import { generateKeyPairSync } from "node:crypto";

import { expect, test } from "vitest";

import { readPublicKey } from "./public-key.ts";

const trusted = generateKeyPairSync("ec", { namedCurve: "P-256" });

test.each([
  ["a private key", trusted.privateKey.export({ type: "pkcs8", format: "pem" }).toString(), "holds a private key"],
  [
    "P-521",
    generateKeyPairSync("ec", { namedCurve: "P-521" }).publicKey.export({ type: "spki", format: "pem" }).toString(),
    "ECDSA (P-256, P-384)",
  ],
  [
    "RSA of 1024 bits",
    generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ type: "spki", format: "pem" }).toString(),
    "ECDSA (P-256, P-384)",
  ],
  ["X25519", generateKeyPairSync("x25519").publicKey.export({ type: "spki", format: "pem" }).toString(), "ECDSA (P-256, P-384)"],
  ["two keys", trusted.publicKey.export({ type: "spki", format: "pem" }).toString().repeat(2), "is not one PEM public key"],
  ["a certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "is not one PEM public key"],
  ["rubbish", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "is not a public key that can be read"],
  ["nothing", "", "is not one PEM public key"],
])("no key to trust: %s", (_, pem, problem) => {
  expect(readPublicKey("cosign-pub/cosign.pub", pem)).toEqual({ problem: expect.stringContaining(problem) });
});

test("a key is known by the digest of its SubjectPublicKeyInfo", () => {
  const pem = trusted.publicKey.export({ type: "spki", format: "pem" }).toString();
  expect(readPublicKey("a", pem)).toMatchObject({
    name: "a",
    algorithm: "ecdsa-p256",
    fingerprint: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
  });
  expect(readPublicKey("b", `\n${pem}\n`)).toMatchObject({ fingerprint: (readPublicKey("a", pem) as { fingerprint: string }).fingerprint });
});
