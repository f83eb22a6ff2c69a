// Files whose resource is gone: ours are removed, those of others are orphans (design: record, "One rule"). Another one's are also those of a namespace
// that was deleted and made again since, and those of a namespace in which nobody looks any more: nobody has deleted these resources one by one.

import { keyString, type ResourceKey } from "../../domain/resource.ts";
import type { History, Memory } from "../../record/history.ts";
import type { RecordView } from "../../record/record-view.ts";
import { removalWordFor, removalWordText, type RemovalWord } from "../../record/removal-word.ts";
import { meaningOfMissing, type ResourceSnapshot } from "../ports.ts";
import { isOfNamespace } from "./record-decision.ts";
import { heldBack, removalWindow, type Loss } from "./removal-guard.ts";

export interface Removal {
  readonly key: ResourceKey;
  readonly generation: number;
  /** Its file is still there. */
  readonly present: boolean;
  /** The word of the person who let it go. */
  readonly confirmedBy?: string;
}

/** Resources of one namespace whose removal waits for a person. */
export interface WaitingRemovals {
  readonly namespace: string;
  readonly keys: readonly ResourceKey[];
  /** Why they wait. */
  readonly loss: Loss;
  /** The newest commit that recorded one of them: whoever names it, or a later one, has these in mind. */
  readonly commit: string;
  /** What lets them go. */
  readonly word: string;
}

export interface Removals {
  /** They go now. */
  readonly removals: readonly Removal[];
  /** Those with most resources first. */
  readonly waiting: readonly WaitingRemovals[];
  /** Lets go all that wait; undefined: none do. */
  readonly wordForAll: string | undefined;
  /** Files that nobody here recorded, or that a person brought back: served on until a person removes them. */
  readonly orphans: readonly ResourceKey[];
  /** Words of persons that have had their effect once this is committed, whether they had any or not. */
  readonly heard: readonly RemovalWord[];
}

export interface RemovalOptions {
  readonly snapshot: ResourceSnapshot;
  readonly installation: string;
  /** What persons said, and was not heard yet. */
  readonly words: readonly RemovalWord[];
  readonly now: Date;
}

export function findRemovals(
  view: Pick<RecordView, "resources">,
  history: Pick<History, "memories" | "presencesSince" | "commit" | "hasTaken">,
  { snapshot, installation, words, now }: RemovalOptions,
): Removals {
  const present = new Set(snapshot.resources.map(keyString));
  const ours = history.memories().filter((memory) => memory.installation === installation && memory.specDigest !== "none");
  const gone = ours.filter(
    (memory) =>
      !present.has(keyString(memory.key)) &&
      meaningOfMissing(snapshot, memory.key.namespace) === "gone" &&
      isOfNamespace(memory, snapshot.namespaces?.get(memory.key.namespace)?.uid),
  );
  const removed = new Set(gone.map(({ key }) => keyString(key)));
  const orphans = [...view.resources.entries()]
    .filter(([id, { key }]) => !present.has(id) && !removed.has(id) && meaningOfMissing(snapshot, key.namespace) !== "unread")
    .map(([, { key }]) => key);
  const leaving = gone.filter(({ key }) => view.resources.has(keyString(key))).map(({ key }) => key);
  const held = new Map(
    leaving.length === 0
      ? []
      : heldBack({
          files: [...view.resources.values()].map(({ key }) => key),
          leaving,
          past: history.presencesSince(new Date(now.getTime() - removalWindow)),
        }).map(({ key, loss }) => [keyString(key), loss]),
  );
  const wordOf = wordsThatCount(words, history);
  const waiting: (Memory & { readonly loss: Loss })[] = [];
  const removals: Removal[] = [];
  for (const memory of gone) {
    const { key, generation } = memory;
    const loss = held.get(keyString(key));
    const confirmedBy = loss === undefined ? undefined : wordOf(memory);
    if (loss !== undefined && confirmedBy === undefined) waiting.push({ ...memory, loss });
    else {
      const stands = view.resources.has(keyString(key));
      removals.push({ key, generation, present: stands, ...(confirmedBy === undefined ? {} : { confirmedBy }) });
    }
  }
  const newest = newestOf(waiting);
  return {
    removals,
    orphans,
    waiting: groups(waiting),
    wordForAll: newest === undefined ? undefined : removalWordText({ commit: newest }),
    heard: words.filter((word) => isRead(snapshot, word)),
  };
}

/**
 * Of each resource the word that lets it go. It is about what was recorded when it was said: its commit, or one before. A word counts once, also when the
 * process ended before it was put away.
 */
function wordsThatCount(
  words: readonly RemovalWord[],
  history: Pick<History, "commit" | "hasTaken">,
): (memory: Memory) => string | undefined {
  const counting = words.filter((word) => !history.hasTaken(removalWordText(word)));
  return ({ key, commit }) => {
    const found = counting.find((word) => {
      const said = history.commit(word.commit);
      return said !== undefined && said.index >= commit.index && (word.namespace ?? key.namespace) === key.namespace;
    });
    return found === undefined ? undefined : removalWordText(found);
  };
}

/** What cannot be read may be what the person had in mind. */
function isRead(snapshot: ResourceSnapshot, { namespace }: RemovalWord): boolean {
  if (namespace !== undefined) return meaningOfMissing(snapshot, namespace) !== "unread";
  return snapshot.namespaces === undefined ? snapshot.complete : [...snapshot.namespaces.values()].some(({ whole }) => whole);
}

function groups(waiting: readonly (Memory & { readonly loss: Loss })[]): readonly WaitingRemovals[] {
  const found = [...Map.groupBy(waiting, ({ key }) => key.namespace)].flatMap(([namespace, members]): WaitingRemovals[] => {
    const commit = newestOf(members);
    const [loss] = members.map((member) => member.loss).sort((a, b) => b.gone - a.gone);
    if (commit === undefined || loss === undefined) return [];
    return [{ namespace, keys: members.map(({ key }) => key), loss, commit, word: removalWordText(removalWordFor(namespace, commit)) }];
  });
  return found.sort((a, b) => b.keys.length - a.keys.length || (a.namespace < b.namespace ? -1 : 1));
}

function newestOf(memories: readonly Memory[]): string | undefined {
  const [newest] = [...memories].sort((a, b) => b.commit.index - a.commit.index);
  return newest?.commit.id;
}
