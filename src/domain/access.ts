// Who may do what in which repository (design: access.md). A pure decision over the published AccessPolicies; denied by default.

import { RE2JS } from "re2js";

import { compileSelector } from "./glob.ts";
import { anonymous, type Identity } from "./identity.ts";
import { coversOf, type AccessSubject } from "./subjects.ts";

export type Action = "pull" | "push" | "delete";

/** What counts of an AccessPolicy. */
export interface AccessRule {
  readonly subjects: readonly AccessSubject[];
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
  /** Some policy is about somebody with credentials, so that clients must be asked for them, whether anybody has them yet or not. */
  readonly namesSomebody: boolean;
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
    namesSomebody: situation.rules.some(({ subjects }) => subjects.some(({ kind }) => kind !== "Anonymous")),
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
  const selects = compileSelector(rule.repositories);
  const within = rule.within === undefined ? undefined : compileSelector({ include: rule.within, exclude: [] });
  const protects = rule.protectedTags === undefined ? () => false : compilePattern(rule.protectedTags);
  return {
    actions: new Set(rule.actions),
    covers: coversOf(rule.subjects),
    // The grant first: who has it writes no globs that cost others more than a look at it.
    selects: (repository) => (within === undefined || within(repository)) && selects(repository),
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
