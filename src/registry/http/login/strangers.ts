// What is said to whom a provider's token shows, and whom nothing here names (design: access.md, "Identities").

import type { Identity } from "../../../domain/identity.ts";
import { ServiceError } from "../../services/errors.ts";

/** DENIED, with what would name it. The same whatever was asked for: it says nothing of what there is. */
export function strangerRefused(identity: Identity): ServiceError {
  const { issuer, subject } = identity.kind === "oidc" ? identity : { issuer: "", subject: "" };
  return new ServiceError(
    "DENIED",
    `Nothing here names ${subject} of the issuer ${issuer}, so that it may do what everybody may and nothing else. ` +
      `An AccessPolicy with this subject would: {kind: OIDC, issuer: ${issuer}, claims: [{name: sub, value: ${JSON.stringify(subject)}}]}.`,
  );
}
