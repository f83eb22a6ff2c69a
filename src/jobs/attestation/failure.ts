// Why evidence does not count. The names are what status, logs and metrics show: never change one.

/** In the order of the checks: of several documents, the one that came furthest says what is wrong. */
export const evidenceFailures = [
  "KeyMissing", // the policy names no key that can be read
  "TrustedRootInvalid", // what the policy trusts certificates by cannot be read
  "TrustedRootExpired", // none of its authorities is in force any more
  "SignatureMissing", // no attestation is attached
  "TooManyDocuments", // more than 50 are
  "DocumentMissing", // the registry lists it and does not have it
  "DocumentTooLarge", // over 32 MiB
  "EnvelopeInvalid", // not a DSSE envelope with exactly one signature
  "BundleInvalid", // not a Sigstore bundle v0.1 to v0.3, or what came with the signature cannot be read
  "CertificateMissing", // signed without a certificate, and the policy has no key
  "SignedTimeMissing", // neither a timestamp nor a log's promise says when it was signed
  "SignedTimeInvalid", // what says so is not of an authority of the trusted root, or about another signature
  "CertificateUntrusted", // issued by no authority of the trusted root
  "CertificateExpired", // not in force when it was signed
  "CertificateNotLogged", // no certificate log of the trusted root states that it has it (SCT)
  "CertificateUsageMismatch", // not for signing code
  "LogEntryMissing", // no entry of a signature log
  "LogEntryUnsupported", // of a kind that does not say enough to be compared
  "LogEntryInvalid", // not an entry of a log of the trusted root
  "LogEntryMismatch", // about another signature, payload or certificate
  "SignatureInvalid", // neither a key of the policy nor the certificate's made this signature over these bytes
  "PayloadTypeMismatch", // signed, but not as an in-toto statement
  "StatementInvalid", // not an in-toto statement v0.1 or v1
  "SubjectMismatch", // a statement about something else
  "PredicateTypeMismatch", // about this image, but not the document that the policy asks for
  "IdentityMismatch", // signed by somebody whom the policy does not name
  "DocumentInvalid", // the predicate is not what its type says
  "VersionMissing", // it does not name the package
  "VersionAmbiguous", // it names several versions of it
  "AttestationsDisagree", // two of them name different versions
  "PlatformsDisagree", // the platforms of an index are different versions
  "VersionRefused", // read, and not wanted by spec.versions, or no tag can be made of it
] as const;

export type EvidenceFailure = (typeof evidenceFailures)[number];

export class AttestationError extends Error {
  readonly code: EvidenceFailure;

  constructor(code: EvidenceFailure, message: string) {
    super(message);
    this.name = "AttestationError";
    this.code = code;
  }
}

/** The failure that came furthest in the order of the checks; the first of equals. */
export function furthest(failures: readonly AttestationError[]): AttestationError | undefined {
  const rank = ({ code }: AttestationError) => evidenceFailures.indexOf(code);
  return failures.reduce<AttestationError | undefined>(
    (best, failure) => (best === undefined || rank(failure) > rank(best) ? failure : best),
    undefined,
  );
}
