// Why a source tag got no version, in the words of status, logs and metrics.

import type { EvidenceFailure } from "./attestation/failure.ts";

export type SyncFailureCode =
  | EvidenceFailure
  | "SourceTagMissing" // upstream has no such tag
  | "RepositoryNotServed" // the Upstream does not serve this repository
  | "ManifestMissing"
  | "ManifestInvalid"
  | "PlatformMissing" // spec.platforms names one that the index does not have
  | "CopyIncomplete" // upstream did not give all of the image
  | "ProposalRefused" // by the registry's own checks, or by what is pinned and retired
  | "NotPublished" // proposed, and not committed within the time a run waits
  | "Unavailable"; // registry or upstream did not answer: says nothing about the image

export class SyncFailure extends Error {
  readonly code: SyncFailureCode;

  constructor(code: SyncFailureCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SyncFailure";
    this.code = code;
  }
}

/** Not an answer about the image: nothing is remembered, the next run asks again. */
const forgotten: ReadonlySet<SyncFailureCode> = new Set(["SourceTagMissing", "RepositoryNotServed", "NotPublished", "Unavailable"]);
/** Read, judged, done: only another generation of the policy (or a person, by hand) asks again. */
const final: ReadonlySet<SyncFailureCode> = new Set(["VersionRefused"]);
/** Seconds. The registry stretches it with the age of the digest, to 6 hours at most, for 7 days. */
const firstPause = 300;

/** How a failure is remembered: not at all, for good (undefined), or until it is looked at again in some seconds. */
export function retryOf(code: SyncFailureCode): "Forget" | number | undefined {
  if (forgotten.has(code)) return "Forget";
  return final.has(code) ? undefined : firstPause;
}
