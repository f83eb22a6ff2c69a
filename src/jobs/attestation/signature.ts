// One signature, one key: the schemes that cosign makes with the keys it accepts.

import { constants, verify } from "node:crypto";

import { ed25519ph } from "@noble/curves/ed25519.js";

import type { PublicKey } from "../../domain/public-key.ts";

/** True when `key` made `signature` over `message`. Never throws for what a stranger may send. */
export function isSignedBy({ algorithm, key }: PublicKey, message: Uint8Array, signature: Uint8Array): boolean {
  switch (algorithm) {
    case "ecdsa-p256":
      return verifyWith("sha256", key, message, signature);
    case "ecdsa-p384":
      // cosign 3 follows the curve; earlier ones always took SHA-256.
      return verifyWith("sha384", key, message, signature) || verifyWith("sha256", key, message, signature);
    case "rsa":
      return verifyWith("sha256", { key, padding: constants.RSA_PKCS1_PADDING }, message, signature);
    case "ed25519":
      return verifyWith(null, key, message, signature) || isPrehashed(key, message, signature);
  }
}

function verifyWith(hash: string | null, key: Parameters<typeof verify>[2], message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify(hash, message, key, signature);
  } catch {
    return false;
  }
}

/** Ed25519ph (RFC 8032, 5.1): what cosign 3 makes for `.att` tags. A different domain than Ed25519, so neither can pass for the other; OpenSSL has no door to it. */
function isPrehashed(key: PublicKey["key"], message: Uint8Array, signature: Uint8Array): boolean {
  const point = key.export({ format: "jwk" }).x;
  if (point === undefined || signature.length !== 64) return false;
  try {
    return ed25519ph.verify(signature, message, Buffer.from(point, "base64url"), { zip215: false });
  } catch {
    return false;
  }
}
