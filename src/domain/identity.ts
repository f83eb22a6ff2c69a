// Whom credentials show (design: access.md, "Identities").

/** `issuer`: the cluster, by its name in the setting `auth.issuers`; what clusters call themselves is no name, many say the same. */
export interface ServiceAccount {
  readonly issuer: string;
  readonly namespace: string;
  readonly name: string;
}

/** What the token of an issuer that is no cluster said of its bearer: a CI job, a person. */
export interface TokenBearer {
  /** By its name in the setting `auth.issuers`. */
  readonly issuer: string;
  /** `sub` */
  readonly subject: string;
  /** Its claims that are one text, number or truth value, as texts: `42`, `true`. */
  readonly claims: Readonly<Record<string, string>>;
  /** What the claim names that the issuer's settings call `groupsClaim`. */
  readonly groups: readonly string[];
}

/** Whom the credentials of a request showed. Plain data: an access token carries it. */
export type Identity =
  | { readonly kind: "anonymous" }
  /** Of htpasswd, whom somebody wrote in as a person who may be an administrator; a robot never is one, whatever it is called. */
  | { readonly kind: "user" | "robot"; readonly name: string }
  | ({ readonly kind: "serviceAccount"; /** Name of the Pod that the token is bound to. */ readonly pod?: string } & ServiceAccount)
  | ({ readonly kind: "oidc" } & TokenBearer)
  /** The installation's admin token: everything, protected tags aside. */
  | { readonly kind: "admin" };

export const anonymous: Identity = { kind: "anonymous" };
export const admin: Identity = { kind: "admin" };

/**
 * `user:ci`, `robot:nodes`, `serviceaccount:in-cluster/team-a/builder`, `oidc:github/repo:octo/app:ref:refs/heads/main`, `anonymous`, `admin`: how
 * logs, history and metadata name an identity.
 */
export function describeIdentity(identity: Identity): string {
  switch (identity.kind) {
    case "user":
    case "robot":
      return `${identity.kind}:${identity.name}`;
    case "serviceAccount":
      return `serviceaccount:${identity.issuer}/${identity.namespace}/${identity.name}`;
    case "oidc":
      return `oidc:${identity.issuer}/${identity.subject}`;
    case "anonymous":
    case "admin":
      return identity.kind;
  }
}
