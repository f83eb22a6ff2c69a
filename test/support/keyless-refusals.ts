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

export async function isRefused(vectors: KeylessVectors, { code, says, make, identities = [publisher] }: Refused): Promise<void> {
  const made = await make(vectors);
  const attached = "envelope" in made ? asBundle(made) : made;
  const asked = vectors.ask(attached, wanting(vectors.sigstore, ...identities));
  await expect(asked).rejects.toMatchObject({ code, message: expect.stringContaining(says ?? "") as string });
}

export const withEntry = (signed: Signed, change: (entry: LogEntry) => LogEntry): Signed => ({
  ...signed,
  entries: signed.entries.map(change),
});
