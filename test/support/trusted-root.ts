// Trusted roots as anybody could write them: real certificates and keys, of authorities that sign nothing.

import { generateKeyPairSync, X509Certificate } from "node:crypto";

import { createCertificates } from "./certificates.ts";

const start = "2020-01-01T00:00:00Z";
const publicKey = () =>
  generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ type: "spki", format: "der" }).toString("base64");

/** One authority and one log. `until`: where their periods end. */
export async function createTrustedRoot({ until }: { readonly until?: string } = {}) {
  const { authority } = await createCertificates();
  const validFor = { start, ...(until === undefined ? {} : { end: until }) };
  const log = () => ({
    baseUrl: "https://log.example.com",
    hashAlgorithm: "SHA2_256",
    publicKey: { rawBytes: publicKey(), keyDetails: "PKIX_ECDSA_P256_SHA_256", validFor },
    logId: { keyId: "bG9n" },
  });
  return {
    mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    tlogs: [log()],
    certificateAuthorities: [
      {
        subject: { organization: "example.com", commonName: "test authority" },
        uri: "https://ca.example.com",
        certChain: { certificates: [{ rawBytes: new X509Certificate(authority).raw.toString("base64") }] },
        validFor,
      },
    ],
    ctlogs: [log()],
    timestampAuthorities: [] as object[],
  };
}
