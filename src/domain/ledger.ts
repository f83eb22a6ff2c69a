// The version ledger of one image: which build a version tag points at, and on what evidence (design: tag-sync, "The ledger").
// Pure data; `mint` and its companions live in ./minting.ts.

import type { Digest } from "./digest.ts";

export interface Evidence {
  /** The form that carried the version. */
  readonly type: "SLSAProvenance" | "SPDX" | "CycloneDX" | "Apko";
  /** Digest of the attestation (the DSSE layer or bundle). */
  readonly attestation: Digest;
  readonly predicateType: string;
  /** Key that verified it: fingerprint `sha256:<hex of the DER SubjectPublicKeyInfo>`, with the Secret key it came from. */
  readonly key?: { readonly fingerprint: string; readonly name: string };
  /** Keyless signer. */
  readonly issuer?: string;
  readonly subject?: string;
  readonly logIndex?: number;
  /** Digest of the trusted root that the certificate was verified with. */
  readonly rootVersion?: string;
  /** Signed time, RFC 3339; absent when nothing signed states one. */
  readonly signed?: string;
  readonly platforms: readonly string[];
}

export interface Build {
  /** Full version with the package revision, for example 1.27.3-r2. */
  readonly version: string;
  readonly digest: Digest;
  readonly sourceTag: string;
  /** When this registry first saw it, RFC 3339. */
  readonly seen: string;
  readonly evidence: Evidence;
}

/** A decision of a person or a retention rule: never minted again until a person takes it out. */
export interface Decision {
  readonly digest?: Digest;
  readonly by: string;
  readonly commit?: string;
  readonly reason?: string;
}

export interface Ledger {
  /** The image as upstream writes it, host included: cgr.dev/chainguard/nginx. */
  readonly image: string;
  readonly builds: readonly Build[];
  readonly tags: Readonly<Record<string, Digest>>;
  readonly pinned: Readonly<Record<string, Decision>>;
  readonly retired: Readonly<Record<string, Decision>>;
}
