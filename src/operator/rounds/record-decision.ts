// What one resource asks of the record: the rule of record.md, "One rule: the registry serves what Git says", as a pure function.

import type { Kind, ResourceKey } from "../../domain/resource.ts";
import type { FileChange, History, Memory } from "../../record/history.ts";
import type { Commit } from "../../record/history.ts";
import { resourcePath } from "../../record/layout.ts";
import type { RecordedFile } from "../../record/record-view.ts";
import { specDigest } from "../../validation/canonical.ts";

export interface DesiredResource {
  readonly key: ResourceKey;
  /** Undefined where nobody counts: then it counts up from the last recorded. */
  readonly generation: number | undefined;
  readonly spec: unknown;
  readonly specDigest: string;
  /** Of its namespace, where that is more than a part of its name. */
  readonly namespaceUid?: string | undefined;
}

/** A person's commit that holds against the resource. */
export interface Override {
  readonly commit: Commit;
  /** The person removed the file. */
  readonly removed: boolean;
}

export type RecordDecision = { readonly generation: number } & (
  | { readonly action: "keep"; readonly override: Override | undefined }
  /** HEAD says it already: an empty commit remembers it. */
  | { readonly action: "adopt"; readonly by: Commit | undefined }
  | { readonly action: "render"; readonly ends: Commit | undefined }
);

export interface DecisionContext {
  readonly file: RecordedFile | undefined;
  readonly history: History;
  readonly installation: string;
  /** Installations from which nothing is adopted that says the same: they would adopt it back, in commits without end. */
  readonly yieldsTo: ReadonlySet<string>;
}

export function decideRecord(desired: DesiredResource, { file, history, installation, yieldsTo }: DecisionContext): RecordDecision {
  const memory = history.memoryOf(desired.key);
  const last = history.lastChange(resourcePath(desired.key));
  if (memory === undefined || memory.specDigest !== desired.specDigest) {
    const generation = desired.generation ?? (memory === undefined ? 1 : memory.generation + 1);
    if (says(file, desired)) return { action: "adopt", generation, by: byPerson(last) };
    return { action: "render", generation, ends: endedBy(desired.key.kind, { memory, file, last, history }) };
  }
  const generation = desired.generation ?? memory.generation;
  // Another installation recorded it, or it was in a namespace that is gone: from now on it is ours, and what Git holds goes on.
  const others = memory.installation !== installation || !isOfNamespace(memory, desired.namespaceUid);
  if (others && !(memory.installation !== undefined && yieldsTo.has(memory.installation)))
    return { action: "adopt", generation, by: undefined };
  return { action: "keep", generation, override: overrideOf(desired.key.kind, { memory, file, last, history }) };
}

/** Whether it was recorded for the namespace as it is now. A commit that does not say so (of a folder, of an older release) counts as one that was. */
export function isOfNamespace(memory: Memory, uid: string | undefined): boolean {
  return memory.namespaceUid === undefined || uid === undefined || memory.namespaceUid === uid;
}

interface Situation {
  readonly memory: Memory | undefined;
  readonly file: RecordedFile | undefined;
  readonly last: FileChange | undefined;
  readonly history: History;
}

function says(file: RecordedFile | undefined, desired: DesiredResource): boolean {
  return file !== undefined && file.problem === undefined && specDigest(desired.key.kind, file.spec) === desired.specDigest;
}

/** The commit that made the file say something else than what was last recorded. */
function overrideOf(kind: Kind, { memory, file, last, history }: Situation): Override | undefined {
  if (memory === undefined || last === undefined || last.commit.index <= memory.since.index) return undefined;
  if (history.changeAt(resourcePath(memory.key), memory.since)?.blob === last.blob) return undefined;
  if (last.blob === undefined) return memory.specDigest === "none" ? undefined : { commit: last.commit, removed: true };
  const same = file !== undefined && file.problem === undefined && specDigest(kind, file.spec) === memory.specDigest;
  return same ? undefined : { commit: last.commit, removed: false };
}

function endedBy(kind: Kind, situation: Situation): Commit | undefined {
  if (situation.memory !== undefined) return byPerson(overrideOf(kind, situation));
  return situation.file === undefined ? undefined : byPerson(situation.last);
}

function byPerson(change: { readonly commit: Commit } | undefined): Commit | undefined {
  return change?.commit.installation === undefined ? change?.commit : undefined;
}
