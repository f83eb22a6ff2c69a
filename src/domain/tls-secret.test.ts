import { beforeAll, expect, test } from "vitest";

import { createCertificates, type Certificates } from "../../test/support/certificates.ts";
import { readTlsSecret } from "./tls-secret.ts";

let certificates: Certificates;
beforeAll(async () => {
  certificates = await createCertificates();
});

const read = (entries: Record<string, string>) =>
  readTlsSecret(new Map(Object.entries(entries).map(([key, text]) => [key, new TextEncoder().encode(text)])), "default/tls");

test("an authority, a certificate with its key, or all three", () => {
  const { authority, client } = certificates;
  expect(read({ "ca.crt": authority })).toEqual({ authority });
  expect(read({ "tls.crt": client.cert, "tls.key": client.key })).toEqual({ certificate: client.cert, key: client.key });
  // A chain, and a bundle with words between.
  const chain = `${client.cert}${authority}`;
  const bundle = `# ours\n${authority}\n# theirs\n${authority}`;
  expect(read({ "ca.crt": bundle, "tls.crt": chain, "tls.key": client.key })).toEqual({
    authority: bundle,
    certificate: chain,
    key: client.key,
  });
});

const broken = (pem: string) => pem.replace(/\n[^\n]{64}\n/, "\nAAAA\n");

test.each<[string, (all: Certificates) => Record<string, string>]>([
  ["needs ca.crt, or tls.crt and tls.key (it has token)", () => ({ token: "canary" })],
  ["needs tls.key beside its tls.crt", ({ client }) => ({ "tls.crt": client.cert })],
  ["needs tls.crt beside its tls.key", ({ client }) => ({ "tls.key": client.key })],
  ['has no certificate in ca.crt ("-----BEGIN CERTIFICATE-----")', () => ({ "ca.crt": "canary" })],
  ["has a ca.crt whose certificate cannot be read", ({ authority }) => ({ "ca.crt": broken(authority) })],
  ["has a ca.crt whose certificate 2 cannot be read", ({ authority }) => ({ "ca.crt": `${authority}${broken(authority)}` })],
  [
    "has a tls.key that cannot be read: a private key in PEM without a passphrase is needed",
    ({ client }) => ({ "tls.crt": client.cert, "tls.key": "canary" }),
  ],
  [
    "has a tls.key that does not belong to the first certificate of its tls.crt",
    ({ client, server }) => ({ "tls.crt": client.cert, "tls.key": server.key }),
  ],
])("Secret default/tls %s: said, without the content", (message, entries) => {
  expect(read(entries(certificates))).toEqual({ problem: `Secret default/tls ${message}` });
});
