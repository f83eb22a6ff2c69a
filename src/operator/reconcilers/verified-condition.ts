// The condition Verified of a TagPolicy: whether the evidence of its images was verified when it was looked at last, and who signed what is in service.

import { conditionTypes, reasons } from "../../api/conditions.ts";
import type { TagPolicySpec } from "../../api/kinds.ts";
import type { Evidence, Ledger } from "../../domain/ledger.ts";
import { printable } from "../../domain/printable.ts";
import { describeFailure, type SyncResult } from "../runs/run-results.ts";
import type { RunState } from "../runs/run-states.ts";
import type { ConditionDraft } from "../status-store.ts";

/** Names of failures at which no evidence was verified (docs/guides/versions-from-evidence.md, "What is checked, in order"). */
const unverified: ReadonlySet<string> = new Set([
  "KeyMissing",
  "TrustedRootInvalid",
  "TrustedRootExpired",
  "SignatureMissing",
  "TooManyDocuments",
  "DocumentMissing",
  "DocumentTooLarge",
  "EnvelopeInvalid",
  "BundleInvalid",
  "CertificateMissing",
  "SignedTimeMissing",
  "SignedTimeInvalid",
  "CertificateUntrusted",
  "CertificateExpired",
  "CertificateNotLogged",
  "CertificateUsageMismatch",
  "LogEntryMissing",
  "LogEntryUnsupported",
  "LogEntryInvalid",
  "LogEntryMismatch",
  "SignatureInvalid",
  "PayloadTypeMismatch",
  "StatementInvalid",
  "SubjectMismatch",
  "PredicateTypeMismatch",
  "IdentityMismatch",
]);
/** Names of failures at which nobody got as far as the evidence. */
const unseen: ReadonlySet<string> = new Set([
  "SourceTagMissing",
  "RepositoryNotServed",
  "ManifestMissing",
  "ManifestInvalid",
  "PlatformMissing",
  "Unavailable",
]);

/** `ledgers`: of the policy's images, as they are recorded. */
export function verifiedOf(
  { verify }: TagPolicySpec,
  { succeeded, message }: NonNullable<RunState["last"]>,
  { found, ledgers }: { readonly found: SyncResult | undefined; readonly ledgers: readonly Ledger[] },
): ConditionDraft {
  const type = conditionTypes.verified;
  if (verify.mode === "Unverified") {
    return { type, status: "False", reason: "Unverified", message: "spec.verify.mode is Unverified: nobody's signature is checked" };
  }
  if (!succeeded || found === undefined) return { type, status: "Unknown", reason: reasons.runFailed, message };
  const bad = found.failures.find(({ reason }) => unverified.has(reason));
  if (bad !== undefined) return { type, status: "False", reason: bad.reason, message: describeFailure(bad) };
  const away = found.failures.find(({ reason }) => unseen.has(reason));
  if (away !== undefined) return { type, status: "Unknown", reason: away.reason, message: describeFailure(away) };
  return { type, status: "True", reason: reasons.succeeded, message: `the evidence of all images is verified${signersInService(ledgers)}` };
}

/** Signers that the condition names; `wharfinger explain` has the one of each version. */
const named = 3;

function signersInService(ledgers: readonly Ledger[]): string {
  const signers = new Set(
    ledgers.flatMap(({ builds, tags }) => {
      const inService = new Set(Object.values(tags));
      return builds.filter(({ digest }) => inService.has(digest)).flatMap(({ evidence }) => signerOf(evidence));
    }),
  );
  if (signers.size === 0) return "";
  const listed = [...signers].sort().slice(0, named);
  const more = signers.size - listed.length;
  return `; what is in service was signed by ${listed.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function signerOf({ key, subject, issuer }: Evidence): string[] {
  if (key !== undefined) return [`key ${printable(key.name, 300)}`];
  return subject === undefined || issuer === undefined ? [] : [`${printable(subject, 300)} (issuer ${printable(issuer, 200)})`];
}
