// Keyless attestations that do not count: what is wrong with each, and how that is called.

import { expect } from "vitest";

import type { WantedIdentity } from "../../src/domain/signer-identity.ts";
import type { EvidenceFailure } from "../../src/jobs/attestation/failure.ts";
import { asBundle, publisher, wanting, type Attached, type KeylessVectors } from "./keyless-vectors.ts";
import type { LogEntry, Signed } from "./sigstore.ts";

export interface Refused {
  readonly what: string;
  readonly code: EvidenceFailure;
  readonly says?: string;
  readonly make: (vectors: KeylessVectors) => Promise<Signed | Attached>;
  readonly identities?: readonly WantedIdentity[];
}

/** Rejects where it does not count. */
export async function judged(vectors: KeylessVectors, { make, identities = [publisher] }: Refused): Promise<unknown> {
  const made = await make(vectors);
  return vectors.ask("envelope" in made ? asBundle(made) : made, wanting(vectors.sigstore, ...identities));
}

export const failureOf = ({ code, says = "" }: Refused) => ({ code, message: expect.stringContaining(says) as string });

export const withEntry = (signed: Signed, change: (entry: LogEntry) => LogEntry): Signed => ({
  ...signed,
  entries: signed.entries.map(change),
});
