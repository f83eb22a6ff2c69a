// Digests as the OCI image spec writes them (descriptor.md, "Digests"): `algorithm:lowercase-hex`.
// Only the two registered algorithms are accepted; anything else could never be verified here.

import { createHash, hash, type Hash } from "node:crypto";

export type DigestAlgorithm = "sha256" | "sha512";
export type Digest = `${DigestAlgorithm}:${string}`;

const pattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** True for a well-formed sha256 or sha512 digest. */
export function isDigest(text: string): text is Digest {
  return pattern.test(text);
}

/** The digest in `text`, or undefined when it is not one. */
export function parseDigest(text: string): Digest | undefined {
  return isDigest(text) ? text : undefined;
}

export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith("sha512:") ? "sha512" : "sha256";
}

/** The hexadecimal part, as used by cosign's `sha256-<hex>.att` tags. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** Digest of bytes that are already in memory (manifests, documents). */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = "sha256"): Digest {
  return `${algorithm}:${hash(algorithm, bytes, "hex")}`;
}

/** A running hash for bytes that arrive in pieces; finish it with `finishDigest`. */
export function startDigest(algorithm: DigestAlgorithm): Hash {
  return createHash(algorithm);
}

export function finishDigest(running: Hash, algorithm: DigestAlgorithm): Digest {
  return `${algorithm}:${running.digest("hex")}`;
}
