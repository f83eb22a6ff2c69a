// Who is said to have signed a proposed version, and what that signature is said to state (design: tag-sync, point 7). Signatures are verified by the job,
// which parses strangers' documents; here it is checked that the policy names whom the job found.

import type { MintProposal } from "../../../api/control/proposals.ts";
import { digestOf, isDigest } from "../../../domain/digest.ts";
import { printable } from "../../../domain/printable.ts";
import { readPublicKey } from "../../../domain/public-key.ts";
import type { SecretSource } from "../../../domain/secrets.ts";
import { isIdentity, type SignerIdentity, type WantedIdentity } from "../../../domain/signer-identity.ts";
import { ServiceError } from "../errors.ts";
import { keyOf, keysOf, trustedRootOf, type PolicyScope } from "../runs/policy-scope.ts";

type ProposedEvidence = MintProposal["build"]["evidence"];

/**
 * A key or an identity of the policy, never both; with mode Unverified nobody, and nothing that only a signature states. Throws ServiceError DENIED or
 * INVALID.
 */
export function checkSigner(evidence: ProposedEvidence, scope: PolicyScope, secrets: SecretSource): void {
  const { verify } = scope.policy.spec;
  const policy = `TagPolicy ${keyOf(scope.policy)}`;
  const { key, issuer, subject, logIndex, signed, rootVersion } = evidence;
  if (verify.mode === "Unverified") {
    if ([key, issuer, subject, logIndex, signed, rootVersion].every((stated) => stated === undefined)) return;
    throw new ServiceError("DENIED", `${policy} is Unverified: no signature was checked for it, so none states anything.`);
  }
  if (issuer === undefined && subject === undefined) {
    if (!isKeyOf(scope, secrets, key)) throw new ServiceError("DENIED", `The key that signed is none of ${policy}.`);
    // Nothing that is not verified is recorded as if it were.
    if (logIndex === undefined && signed === undefined && rootVersion === undefined) return;
    throw new ServiceError("INVALID", "Of what is signed with a key no log entry and no signed time is verified: they cannot be recorded.");
  }
  if (key !== undefined) throw new ServiceError("INVALID", "Evidence is signed with a key, or by an issuer's subject, not both.");
  checkIdentity({ issuer, subject }, verify.keyless ?? [], policy);
  // A certificate is in force for some minutes: without a time nobody can say that it was.
  if (signed === undefined) throw new ServiceError("INVALID", "Evidence that was signed without a key says when.");
  checkSignedTime(signed);
  if (logIndex !== undefined && !(Number.isSafeInteger(logIndex) && logIndex >= 0)) {
    throw new ServiceError("INVALID", "A log index is a whole number from 0 on.");
  }
  if (rootVersion !== undefined && !isDigest(rootVersion))
    throw new ServiceError("INVALID", "A rootVersion is the digest of a trusted root.");
  const root = trustedRootOf(scope, secrets);
  // By a root that was replaced or taken away while the run was under way nothing counts any more, as with a key.
  if (root === undefined || (root !== "" && rootVersion === digestOf(root))) return;
  throw new ServiceError(
    "DENIED",
    `${policy} has another trusted root (spec.verify.trustedRoot) than the one by which the signature was verified. The next run judges by it.`,
  );
}

const longest = { issuer: 512, subject: 1_024 };

function checkIdentity(
  { issuer = "", subject = "" }: Partial<SignerIdentity>,
  identities: readonly WantedIdentity[],
  policy: string,
): void {
  if (printable(issuer, longest.issuer) !== issuer || printable(subject, longest.subject) !== subject || subject.includes("\n")) {
    throw new ServiceError(
      "INVALID",
      `A signer has at most ${longest.issuer} (issuer) and ${longest.subject} (subject) printable characters.`,
    );
  }
  if (!identities.some((wanted) => isIdentity({ issuer, subject }, wanted))) {
    throw new ServiceError("DENIED", `${subject} of ${issuer} is no signer of ${policy} (spec.verify.keyless).`);
  }
}

/** Milliseconds that the clocks of logs may be ahead of ours. What is signed later is newer, so a time to come would hold a tag for good. */
const aheadAtMost = 10 * 60_000;

function checkSignedTime(signed: string): void {
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/.test(signed) ? Date.parse(signed) : NaN;
  if (Number.isNaN(time)) throw new ServiceError("INVALID", "A signed time is written as RFC 3339 has it.");
  if (time > Date.now() + aheadAtMost) throw new ServiceError("DENIED", `${signed} is still to come: nothing was signed then.`);
}

function isKeyOf(scope: PolicyScope, secrets: SecretSource, key: ProposedEvidence["key"]): boolean {
  return keysOf(scope, secrets).some(({ name, pem }) => {
    const read = readPublicKey(name, pem);
    return "fingerprint" in read && read.fingerprint === key?.fingerprint && read.name === key.name;
  });
}
