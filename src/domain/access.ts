// Who may do what in which repository (design: access.md). A pure decision over the published AccessPolicies; denied by default.

import { RE2JS } from "re2js";

import { compileSelector, firstSegments } from "./glob.ts";
import { addTo } from "./groups.ts";
import { anonymous, type Identity } from "./identity.ts";
import { prefixOf } from "./reference.ts";
import { coversOf, namedBearers, type AccessSubject } from "./subjects.ts";

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
  /** Some policy is about him: of a provider that signs for the whole world, whoever is named nowhere is a stranger. */
  names(identity: Extract<Identity, { kind: "oidc" }>): boolean;
  /** Created once, never moved or deleted by any client. */
  isProtected(repository: string, tag: string): boolean;
  /** Nobody needs credentials for anything. */
  readonly open: boolean;
  /** There is something that callers without credentials may pull. */
  readonly anonymousMayPull: boolean;
  /** Some policy is about somebody with credentials, so that clients must be asked for them, whether anybody has them yet or not. */
  readonly namesSomebody: boolean;
}

/**
 * Compiles the policies once for a configuration. An answer looks at the rules that may be about the repository's first segment and, of those, at the ones
 * that are about the identity: whom a rule covers is asked once for each object that is an identity, so that what strangers wrote costs a request little.
 */
export function compileAccess(situation: AccessSituation): Access {
  const rules = situation.rules.map(compileRule);
  const near = nearbyRules(rules);
  const covering = coveringRules();
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
      return covering(identity, near(repository)).some((rule) => rule.actions.has(action) && rule.selects(repository));
    },
    names: namedBearers(situation.rules.flatMap(({ subjects }) => subjects)),
    isProtected: (repository, tag) => near(repository).some((rule) => rule.selects(repository) && rule.protects(tag)),
  };
}

/** Rules that may select a repository, by its first segment; those whose globs leave that open are near everything. */
function nearbyRules(rules: readonly CompiledRule[]): (repository: string) => readonly CompiledRule[] {
  const everywhere = rules.filter(({ segments }) => segments === undefined);
  const bySegment = new Map<string, CompiledRule[]>();
  for (const rule of rules) for (const segment of rule.segments ?? []) addTo(bySegment, segment, rule);
  for (const group of bySegment.values()) group.push(...everywhere);
  return (repository) => bySegment.get(prefixOf(repository)) ?? everywhere;
}

function coveringRules(): (identity: Identity, near: readonly CompiledRule[]) => readonly CompiledRule[] {
  const known = new WeakMap<Identity, Map<readonly CompiledRule[], readonly CompiledRule[]>>();
  return (identity, near) => {
    const ofIdentity = known.get(identity) ?? new Map<readonly CompiledRule[], readonly CompiledRule[]>();
    known.set(identity, ofIdentity);
    const found = ofIdentity.get(near) ?? near.filter((rule) => rule.covers(identity));
    ofIdentity.set(near, found);
    return found;
  };
}

interface CompiledRule {
  readonly actions: ReadonlySet<Action>;
  /** First segments of what it may select; undefined: any. */
  readonly segments: ReadonlySet<string> | undefined;
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
    // Where there is a grant its segments: what a tenant writes about others' is looked at by nobody who asks for those.
    segments: (rule.within && firstSegments(rule.within)) ?? firstSegments(rule.repositories.include),
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
