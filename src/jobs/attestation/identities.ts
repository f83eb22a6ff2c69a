// Whom a policy believes, where a certificate and not a key says who signed.

import { isIdentity, type SignerIdentity, type WantedIdentity } from "../../domain/signer-identity.ts";
import { AttestationError } from "./failure.ts";

/** AttestationError IdentityMismatch, with whom it was and whom the policy names. */
export function requireIdentity(found: SignerIdentity, wanted: readonly WantedIdentity[]): void {
  if (wanted.some((identity) => isIdentity(found, identity))) return;
  const names = wanted.slice(0, 3).map((one) => `${one.subject ?? one.subjectRegExp} of ${one.issuer}`);
  const rest = wanted.length > names.length ? ` and ${wanted.length - names.length} more` : "";
  const who = `${found.subject.slice(0, 300)} of ${found.issuer.slice(0, 200)}`;
  throw new AttestationError("IdentityMismatch", `signed by ${who}; spec.verify.keyless names ${names.join(", ")}${rest}`);
}
