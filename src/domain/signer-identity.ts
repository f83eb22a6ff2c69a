// Who signed without a key: issuer and subject of a certificate, and whom a TagPolicy names (design: api.md, `verify.keyless`).

import { RE2JS } from "re2js";

export interface SignerIdentity {
  readonly issuer: string;
  readonly subject: string;
}

export interface WantedIdentity {
  readonly issuer: string;
  readonly subject?: string;
  /** RE2, the whole subject. */
  readonly subjectRegExp?: string;
}

/** Both have to be the same, as a whole. An identity without a subject is nobody's: the schema wants one, and its absence must not mean everybody. */
export function isIdentity(found: SignerIdentity, { issuer, subject, subjectRegExp }: WantedIdentity): boolean {
  if (found.issuer !== issuer) return false;
  if (subject !== undefined) return found.subject === subject;
  return subjectRegExp !== undefined && RE2JS.compile(subjectRegExp).matches(found.subject);
}
