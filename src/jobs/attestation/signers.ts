// Who counts for a policy: holders of its keys, and identities in certificates of its trusted root. Any of them is enough.

import type { PublicKey } from "../../domain/public-key.ts";
import type { WantedIdentity } from "../../domain/signer-identity.ts";
import { keyOf } from "./envelope.ts";
import { AttestationError } from "./failure.ts";
import { requireIdentity } from "./identities.ts";
import { verifyKeyless, type KeylessSigner } from "./keyless.ts";
import type { SignedDocument } from "./signed-document.ts";
import type { TrustAnchors } from "./trust-anchors.ts";

export interface TrustedSigners {
  readonly keys: readonly PublicKey[];
  readonly keyless?: { readonly identities: readonly WantedIdentity[]; readonly anchors: TrustAnchors };
}

export type Signer = { readonly key: PublicKey } | { readonly certified: KeylessSigner };

/** Who signed: one of the keys, or the holder of a certificate. Whether the policy names that holder is `requireWanted`'s. AttestationError. */
export function signerOf(document: SignedDocument, { keys, keyless }: TrustedSigners): Signer {
  const key = keyOf(document.envelope, keys);
  if (key !== undefined) return { key };
  if (keyless !== undefined && (document.vouched !== undefined || keys.length === 0)) {
    return { certified: verifyKeyless(document, keyless.anchors) };
  }
  throw new AttestationError("SignatureInvalid", `not signed by ${keys.map(({ name }) => name).join(", ")}, or changed after signing`);
}

/** AttestationError IdentityMismatch. */
export function requireWanted(signer: Signer | undefined, signers: TrustedSigners | "Unverified"): void {
  if (signer === undefined || signers === "Unverified" || "key" in signer) return;
  requireIdentity(signer.certified, signers.keyless?.identities ?? []);
}
