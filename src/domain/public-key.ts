// Public keys that evidence is verified against: PEM as `cosign generate-key-pair` and openssl write them.

import { createPublicKey, type KeyObject } from "node:crypto";

import { digestOf } from "./digest.ts";

export interface PublicKey {
  /** `secret/key`, for people. */
  readonly name: string;
  /** `sha256:<hex>` of the DER SubjectPublicKeyInfo. */
  readonly fingerprint: string;
  readonly algorithm: "ecdsa-p256" | "ecdsa-p384" | "rsa" | "ed25519";
  readonly key: KeyObject;
}

const maxPemLength = 16 * 1024;
const minRsaBits = 2048;
const maxRsaBits = 8192;

/** The key in `pem`, or what is wrong with it. Never says anything of its content: it may be a private key that landed in the wrong place. */
export function readPublicKey(name: string, pem: string): PublicKey | { readonly problem: string } {
  if (pem.length > maxPemLength) return { problem: `${name} is longer than a public key` };
  if (pem.includes("PRIVATE KEY")) return { problem: `${name} holds a private key; only the public one belongs here` };
  if (!/^\s*-----BEGIN (?:RSA )?PUBLIC KEY-----[^-]*-----END (?:RSA )?PUBLIC KEY-----\s*$/.test(pem)) {
    return { problem: `${name} is not one PEM public key ("-----BEGIN PUBLIC KEY-----")` };
  }
  try {
    const key = createPublicKey(pem);
    const algorithm = algorithmOf(key);
    if (algorithm === undefined) {
      return { problem: `${name}: ECDSA (P-256, P-384), RSA (${minRsaBits} to ${maxRsaBits} bits) and Ed25519 keys can be used` };
    }
    return { name, fingerprint: digestOf(key.export({ type: "spki", format: "der" })), algorithm, key };
  } catch {
    return { problem: `${name} is not a public key that can be read` };
  }
}

function algorithmOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): PublicKey["algorithm"] | undefined {
  if (type === "ed25519") return "ed25519";
  if (type === "ec" && details?.namedCurve === "prime256v1") return "ecdsa-p256";
  if (type === "ec" && details?.namedCurve === "secp384r1") return "ecdsa-p384";
  const bits = details?.modulusLength ?? 0;
  return type === "rsa" && bits >= minRsaBits && bits <= maxRsaBits ? "rsa" : undefined;
}
