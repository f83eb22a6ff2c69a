// Whom a rule is about (design: access.md, "Identities"): subjects of AccessPolicies against the identity that credentials showed.

import { addTo } from "./groups.ts";
import type { Identity } from "./identity.ts";

/** The cluster that this registry runs in, among the issuers: the one that is meant where a subject names none. */
export const ownCluster = "in-cluster";

/** Whom a rule is about: one of `spec.subjects` of an AccessPolicy. */
export type AccessSubject = { readonly kind: "Anonymous" } | SomebodySubject;

/** Who showed who he is. */
export type SomebodySubject =
  /** A user of htpasswd, or a robot: no robot has the name of a user. */
  | { readonly kind: "User"; readonly name: string }
  /** `*`: every account of the namespace. */
  | { readonly kind: "ServiceAccount"; readonly issuer?: string; readonly namespace: string; readonly name: string }
  | { readonly kind: "OIDC"; readonly issuer: string; readonly claims: readonly { readonly name: string; readonly value: string }[] }
  | { readonly kind: "Group"; readonly issuer: string; readonly name: string };

/** Whether one of the subjects is the identity. What they name is exact: no patterns, no case folding, no prefixes. */
export function coversOf(subjects: readonly AccessSubject[]): (identity: Identity) => boolean {
  const users = new Set(subjects.flatMap((subject) => (subject.kind === "User" ? [subject.name] : [])));
  // What is given to everybody without credentials is not taken away by showing some.
  if (subjects.some(({ kind }) => kind === "Anonymous")) return () => true;
  return (identity) =>
    identity.kind === "user" || identity.kind === "robot"
      ? users.has(identity.name)
      : subjects.some((subject) => isByToken(subject, identity));
}

/**
 * Whether one of the subjects is about whoever shows this token of an OpenID provider. Such a provider may sign for the whole world: somebody is who is
 * named. By the first claim of each subject, since this is asked for each request.
 */
export function namedBearers(subjects: readonly AccessSubject[]): (identity: Extract<Identity, { kind: "oidc" }>) => boolean {
  const groups = new Set<string>();
  const byClaim = new Map<string, AccessSubject[]>();
  const keyOf = (...parts: readonly string[]) => JSON.stringify(parts);
  for (const subject of subjects) {
    if (subject.kind === "Group") groups.add(keyOf(subject.issuer, subject.name));
    const [first] = subject.kind === "OIDC" ? subject.claims : [];
    if (subject.kind === "OIDC" && first !== undefined) addTo(byClaim, keyOf(subject.issuer, first.name, first.value), subject);
  }
  return (identity) => {
    const { issuer, claims } = identity;
    if (identity.groups.some((name) => groups.has(keyOf(issuer, name)))) return true;
    return Object.entries(claims).some(([name, value]) =>
      byClaim.get(keyOf(issuer, name, value))?.some((subject) => isByToken(subject, identity)),
    );
  };
}

/** Whether the subject of a setting is the identity: `User` is a user of htpasswd there, since robots are made by many. */
export function isPerson(subject: SomebodySubject, identity: Identity): boolean {
  return subject.kind === "User" ? identity.kind === "user" && identity.name === subject.name : isByToken(subject, identity);
}

/** Of those who came with a token of an issuer. Names count together with it: many clusters have a `team-a`. */
function isByToken(subject: AccessSubject, identity: Identity): boolean {
  if (identity.kind !== "serviceAccount" && identity.kind !== "oidc") return false;
  switch (subject.kind) {
    case "ServiceAccount": {
      const { issuer = ownCluster, namespace, name } = subject;
      if (identity.kind !== "serviceAccount" || identity.issuer !== issuer || identity.namespace !== namespace) return false;
      return name === "*" || name === identity.name;
    }
    case "OIDC":
      if (identity.kind !== "oidc" || identity.issuer !== subject.issuer || subject.claims.length === 0) return false;
      return subject.claims.every(({ name, value }) => Object.hasOwn(identity.claims, name) && identity.claims[name] === value);
    case "Group":
      return identity.issuer === subject.issuer && groupsOf(identity).includes(subject.name);
    case "User":
    case "Anonymous":
      return false;
  }
}

/** Kubernetes' own groups of a ServiceAccount; no token of it says others. */
function groupsOf(identity: Extract<Identity, { kind: "serviceAccount" | "oidc" }>): readonly string[] {
  if (identity.kind === "oidc") return identity.groups;
  return ["system:serviceaccounts", `system:serviceaccounts:${identity.namespace}`];
}
