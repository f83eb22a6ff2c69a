// Who may do what in which repository (design: access.md). A pure decision over the published AccessPolicies; denied by default.

import { RE2JS } from "re2js";

import { compileSelector } from "./glob.ts";

export type Action = "pull" | "push" | "delete";

/** `issuer`: the cluster, by its name in the setting `auth.issuers`; what clusters call themselves is no name, many say the same. */
export interface ServiceAccount {
  readonly issuer: string;
  readonly namespace: string;
  readonly name: string;
}

/** Whom the credentials of a request showed. */
export type Identity =
  | { readonly kind: "anonymous" }
  | { readonly kind: "user"; readonly name: string }
  | ({ readonly kind: "serviceAccount"; /** Name of the Pod that the token is bound to. */ readonly pod?: string } & ServiceAccount)
  /** The installation's admin token: everything, protected tags aside. */
  | { readonly kind: "admin" };

export const anonymous: Identity = { kind: "anonymous" };
export const admin: Identity = { kind: "admin" };

/** `user:ci`, `serviceaccount:in-cluster/team-a/builder`, `anonymous`, `admin`: how logs, history and metadata name an identity. */
export function describeIdentity(identity: Identity): string {
  switch (identity.kind) {
    case "user":
      return `user:${identity.name}`;
    case "serviceAccount":
      return `serviceaccount:${identity.issuer}/${identity.namespace}/${identity.name}`;
    case "anonymous":
    case "admin":
      return identity.kind;
  }
}

/** What counts of an AccessPolicy. Subjects of other kinds match nobody until they are built. */
export interface AccessRule {
  readonly subjects: readonly { readonly kind: string; readonly name?: string }[];
  /** Globs over full names. */
  readonly repositories: { readonly include: readonly string[]; readonly exclude: readonly string[] };
  readonly actions: readonly Action[];
  /** RE2 over whole tags. */
  readonly protectedTags?: string;
  /** Globs of the tenant that wrote it: selects nothing outside. Undefined for administrators. */
  readonly within?: readonly string[];
}

export interface AccessSituation {
  readonly rules: readonly AccessRule[];
  /** An AccessPolicy exists or once existed (the record's history knows): deleting the last one reopens nothing. */
  readonly everHadPolicy: boolean;
  /** A loopback listener or `--allow-anonymous`: everything is allowed until the first AccessPolicy. */
  readonly openUntilFirstPolicy: boolean;
  readonly anonymousPull: "None" | "PublicUpstreams" | "All";
  /** Served from an Upstream that is asked without credentials. */
  readonly isPublicUpstream: (repository: string) => boolean;
}

export interface Access {
  /** `repository` is the full name, with an Upstream's prefix. */
  may(identity: Identity, action: Action, repository: string): boolean;
  /** Created once, never moved or deleted by any client. */
  isProtected(repository: string, tag: string): boolean;
  /** Nobody needs credentials for anything. */
  readonly open: boolean;
  /** There is something that callers without credentials may pull. */
  readonly anonymousMayPull: boolean;
  /** Some policy is about users, so that clients must be asked for credentials, whether the users exist yet or not. */
  readonly namesUsers: boolean;
}

/** Compiles the policies once for a configuration; the answers are plain lookups. */
export function compileAccess(situation: AccessSituation): Access {
  const rules = situation.rules.map(compileRule);
  const open = situation.openUntilFirstPolicy && !situation.everHadPolicy && rules.length === 0;
  const { anonymousPull, isPublicUpstream } = situation;

  const pulledByAnyone = (repository: string): boolean =>
    anonymousPull === "All" || (anonymousPull === "PublicUpstreams" && isPublicUpstream(repository));

  return {
    open,
    anonymousMayPull: open || anonymousPull !== "None" || rules.some((rule) => rule.actions.has("pull") && rule.covers(anonymous)),
    namesUsers: situation.rules.some(({ subjects }) => subjects.some(({ kind }) => kind === "User")),
    may(identity, action, repository) {
      if (open || identity.kind === "admin") return true;
      if (action === "pull" && pulledByAnyone(repository)) return true;
      return rules.some((rule) => rule.actions.has(action) && rule.covers(identity) && rule.selects(repository));
    },
    isProtected: (repository, tag) => rules.some((rule) => rule.protects(tag) && rule.selects(repository)),
  };
}

interface CompiledRule {
  readonly actions: ReadonlySet<Action>;
  covers(identity: Identity): boolean;
  selects(repository: string): boolean;
  protects(tag: string): boolean;
}

function compileRule(rule: AccessRule): CompiledRule {
  const users = new Set(rule.subjects.flatMap(({ kind, name }) => (kind === "User" && name !== undefined ? [name] : [])));
  // What is given to everybody without credentials is not taken away by showing some.
  const everybody = rule.subjects.some(({ kind }) => kind === "Anonymous");
  const selects = compileSelector(rule.repositories);
  const within = rule.within === undefined ? undefined : compileSelector({ include: rule.within, exclude: [] });
  const protects = rule.protectedTags === undefined ? () => false : compilePattern(rule.protectedTags);
  return {
    actions: new Set(rule.actions),
    covers: (identity) => everybody || (identity.kind === "user" && users.has(identity.name)),
    selects: (repository) => selects(repository) && (within === undefined || within(repository)),
    protects,
  };
}

/** Validation refuses what is not RE2; should one slip through, every tag is protected rather than none. */
function compilePattern(text: string): (tag: string) => boolean {
  try {
    const pattern = RE2JS.compile(text);
    return (tag) => pattern.matches(tag);
  } catch {
    return () => true;
  }
}
