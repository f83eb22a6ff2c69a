// What stops a plan, and what a reader of it should know.

import { digestOfReferrerTag } from "../reference.ts";
import type { RepositoryFacts } from "./facts.ts";
import type { InUse } from "./in-use.ts";
import type { PlannedEntry } from "./planned-entry.ts";
import type { Policy } from "./policy.ts";
import { closedReason } from "./tag-verdicts.ts";
import { formatTime } from "./words.ts";

export interface Blocked {
  /** Only `LimitExceeded` can be approved: the others would be guesses. */
  readonly reason: "PolicyInvalid" | "WorkloadsUnknown" | "LimitExceeded";
  readonly message: string;
}

export function blockOf(policy: Policy, inUse: InUse, entries: readonly PlannedEntry[]): Blocked | undefined {
  const closed = closedReason(policy, inUse);
  if (closed !== undefined) return { reason: policy.broken === undefined ? "WorkloadsUnknown" : "PolicyInvalid", message: closed.reason };
  if (policy.broken !== undefined) return undefined;
  // Referrer tags follow: no rule counts them, and no limit.
  const tags = entries.filter(({ tag, version }) => tag !== undefined && (version || digestOfReferrerTag(tag) === undefined));
  const deleted = tags.filter(({ verdict }) => verdict === "delete").length;
  const { maxDeletePercent, minTags } = policy.limits;
  if (tags.length < minTags || deleted * 100 <= maxDeletePercent * tags.length) return undefined;
  const percent = Math.floor((deleted * 1000) / tags.length) / 10;
  return {
    reason: "LimitExceeded",
    message: `it would delete ${deleted} of ${tags.length} tags (${percent} %), and limits.maxDeletePercent is ${maxDeletePercent}: approve exactly this plan, or change the policy`,
  };
}

export function notesOf(
  policy: Policy,
  inUse: InUse,
  repositories: readonly RepositoryFacts[],
  entries: readonly PlannedEntry[],
): readonly string[] {
  const notes: string[] = [];
  if (policy.broken === undefined) {
    const asked = inUse.note(policy);
    if (asked !== undefined) notes.push(asked);
    if (policy.keep.some(({ aboutPulls }) => aboutPulls)) notes.push(...pullNotes(repositories));
  }
  if (entries.some(({ version, verdict }) => version && verdict === "delete")) {
    notes.push("version tags are proposed to retire; once retired their copies are cached content, which Upstream.spec.cache evicts");
  }
  if (entries.length === 0) notes.push("the policy selects no repository that has anything to judge");
  return notes;
}

function pullNotes(repositories: readonly RepositoryFacts[]): readonly string[] {
  const notes = repositories.map(({ kind, pullsCountedSince: since }) =>
    since === undefined
      ? `pulls of ${kind} repositories are not counted: rules about pulls keep everything there`
      : `pulls of ${kind} repositories are counted since ${formatTime(since)}`,
  );
  return [...new Set(notes)].sort();
}
