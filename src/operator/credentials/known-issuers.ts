// Whom an AccessPolicy may name beside users: whoever shows a token of an issuer of the settings (design: access, "Identities").

import type { Subject } from "../../api/kinds.ts";
import { ownCluster } from "../../domain/subjects.ts";

/** One of the setting `auth.issuers`. */
export interface KnownIssuer {
  readonly name: string;
  /** Undefined: Kubernetes. */
  readonly kind?: "Kubernetes" | "OIDC";
  readonly groupsClaim?: string;
}

/** Why no token can ever show this subject, as the beginning of a sentence; undefined: one could. */
export function whyNobody(subject: Subject, issuers: readonly KnownIssuer[]): string | undefined {
  if (subject.kind === "Anonymous" || subject.kind === "User") return undefined;
  const { issuer: name = ownCluster } = subject;
  const issuer = issuers.find((one) => one.name === name);
  if (issuer === undefined) return `the settings have no issuer ${name} (auth.issuers)`;
  const cluster = issuer.kind !== "OIDC";
  switch (subject.kind) {
    case "ServiceAccount":
      return cluster ? undefined : `issuer ${name} is no cluster (auth.issuers, kind: OIDC) and has no ServiceAccounts`;
    case "OIDC":
      return cluster
        ? `issuer ${name} is a cluster (auth.issuers), whose tokens have no such claims: name a ServiceAccount or a Group`
        : undefined;
    case "Group":
      if (cluster && !/^system:serviceaccounts(?::[^:]+)?$/.test(subject.name)) {
        return `the ServiceAccounts of cluster ${name} are in the groups system:serviceaccounts and system:serviceaccounts:<namespace>, and in no other`;
      }
      return cluster || issuer.groupsClaim !== undefined
        ? undefined
        : `auth.issuers does not say which claim of ${name} holds groups (groupsClaim)`;
  }
}
