// What people decided in a ledger since the operator last wrote it (design: record, "Ledger files"; tag-sync, "The ledger").
// A binding that a commit without our trailers removed is retired, one that it changed is pinned; the operator's next commit of the file writes that down.

import type { Decision, Ledger } from "../domain/ledger.ts";
import type { Commit } from "./history.ts";

export interface PersonalChange {
  readonly commit: Commit;
  /** The file as the commit left it; undefined when it removed the file. */
  readonly ledger: Ledger | undefined;
}

export interface DecidedLedger {
  /** What is served and minted upon: the newest file with the decisions in it. */
  readonly ledger: Ledger;
  /** Decisions that are not in the file yet. */
  readonly unwritten: readonly { readonly tag: string; readonly decision: "retired" | "pinned" | "restored"; readonly commit: Commit }[];
}

/** `written`: the file as our last commit left it (undefined: we never wrote it); `changes`: what people did since, oldest first. */
export function decide(written: Ledger | undefined, changes: readonly PersonalChange[]): DecidedLedger {
  const image = written?.image ?? changes.find(({ ledger }) => ledger !== undefined)?.ledger?.image ?? "";
  const nothing: Ledger = { image, builds: [], tags: {}, pinned: {}, retired: {} };
  const unwritten = new Map<
    string,
    { tag: string; decision: "retired" | "pinned" | "restored"; commit: Commit; digest?: Decision["digest"] }
  >();
  let before = written ?? nothing;
  for (const { commit, ledger } of changes) {
    const after = ledger ?? { ...nothing, image: before.image };
    for (const [tag, digest] of Object.entries(before.tags)) {
      const now = own(after.tags, tag);
      if (now === undefined && own(after.retired, tag) === undefined) unwritten.set(tag, { tag, decision: "retired", commit, digest });
      else if (now !== undefined && now !== digest) unwritten.set(tag, { tag, decision: "pinned", commit, digest: now });
    }
    for (const [tag, digest] of Object.entries(after.tags)) {
      if (own(before.tags, tag) !== undefined) continue;
      const built = after.builds.some((build) => build.digest === digest);
      if (!built) unwritten.set(tag, { tag, decision: "pinned", commit, digest });
      else if (own(after.retired, tag) !== undefined) unwritten.set(tag, { tag, decision: "restored", commit });
      else unwritten.delete(tag);
    }
    before = after;
  }
  const pinned = new Map(Object.entries(before.pinned));
  const retired = new Map(Object.entries(before.retired));
  for (const { tag, decision, commit, digest } of unwritten.values()) {
    const credit: Decision = { ...(digest === undefined ? {} : { digest }), by: personOf(commit), commit: commit.id };
    retired.delete(tag);
    if (decision === "retired") retired.set(tag, credit);
    if (decision === "pinned" && !pinned.has(tag)) pinned.set(tag, credit);
  }
  const tags = Object.entries(before.tags).filter(([tag]) => !retired.has(tag));
  return {
    ledger: { ...before, tags: Object.fromEntries(tags), pinned: Object.fromEntries(pinned), retired: Object.fromEntries(retired) },
    unwritten: [...unwritten.values()].map(({ tag, decision, commit }) => ({ tag, decision, commit })),
  };
}

/** `Jane Doe <jane@example.org>` */
export function personOf(commit: Commit): string {
  return commit.author.email === "" ? commit.author.name : `${commit.author.name} <${commit.author.email}>`;
}

function own<T>(map: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}
