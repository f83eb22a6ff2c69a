// Whom a run believes: the keys and the trusted root that the registry gave it, and the identities of its policy.

import type { Run } from "../api/control/runs.ts";
import type { TagPolicySpec } from "../api/kinds.ts";
import { readPublicKey, type PublicKey } from "../domain/public-key.ts";
import { AttestationError } from "./attestation/failure.ts";
import type { TrustedSigners } from "./attestation/signers.ts";
import { readTrustAnchors } from "./attestation/trust-anchors.ts";

/** Keys that cannot be read are left out and named in `progress`; a trusted root that cannot be used is an error for every image. */
export function signersOf(
  run: Pick<Run, "keys" | "trustedRoot">,
  { verify }: Pick<TagPolicySpec, "verify">,
  progress: (line: string) => void,
): TrustedSigners | "Unverified" | AttestationError {
  if (verify.mode === "Unverified") return "Unverified";
  const keys = keysOf(run, progress);
  const identities = verify.keyless ?? [];
  if (identities.length === 0) return { keys };
  try {
    return { keys, keyless: { identities, anchors: readTrustAnchors(run.trustedRoot, new Date()) } };
  } catch (error) {
    if (error instanceof AttestationError) return error;
    throw error;
  }
}

function keysOf(run: Pick<Run, "keys">, progress: (line: string) => void): PublicKey[] {
  return (run.keys ?? []).flatMap(({ name, pem }) => {
    const key = readPublicKey(name, pem);
    if (!("problem" in key)) return [key];
    progress(`key left out: ${key.problem}`);
    return [];
  });
}
