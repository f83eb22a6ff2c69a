// Files whose resource is gone: ours are removed, those of others are orphans (design: record, "One rule"). Another one's are also those of a namespace
// that was deleted and made again since, and those of a namespace in which nobody looks any more: nobody has deleted these resources one by one.

import { keyString, type ResourceKey } from "../domain/resource.ts";
import type { History } from "../record/history.ts";
import type { RecordView } from "../record/record-view.ts";
import { meaningOfMissing, type ResourceSnapshot } from "./ports.ts";
import { isOfNamespace } from "./record-decision.ts";

export interface Removal {
  readonly key: ResourceKey;
  readonly generation: number;
  /** Its file is still there. */
  readonly present: boolean;
}

export interface Removals {
  readonly removals: readonly Removal[];
  /** Files that nobody here recorded, or that a person brought back: served on until a person removes them. */
  readonly orphans: readonly ResourceKey[];
  /** So many at once wait for a person. */
  readonly waiting: boolean;
}

/** A deleted CRD or an empty folder must not empty the registry. */
const mostFiles = 3;
const mostShare = 1 / 3;

/** `confirmed`: the commit at which a person let them go. */
export function findRemovals(
  view: Pick<RecordView, "head" | "resources">,
  history: Pick<History, "memories">,
  options: { snapshot: ResourceSnapshot; installation: string; confirmed: string | null },
): Removals {
  const { snapshot, installation } = options;
  const present = new Set(snapshot.resources.map(keyString));
  const ours = history.memories().filter((memory) => memory.installation === installation && memory.specDigest !== "none");
  const gone = ours.filter(
    (memory) =>
      !present.has(keyString(memory.key)) &&
      meaningOfMissing(snapshot, memory.key.namespace) === "gone" &&
      isOfNamespace(memory, snapshot.namespaces?.get(memory.key.namespace)?.uid),
  );
  const removals = gone.map(({ key, generation }) => ({ key, generation, present: view.resources.has(keyString(key)) }));
  const removed = new Set(removals.map(({ key }) => keyString(key)));
  const orphans = [...view.resources.entries()]
    .filter(([id, { key }]) => !present.has(id) && !removed.has(id) && meaningOfMissing(snapshot, key.namespace) !== "unread")
    .map(([, { key }]) => key);
  const files = removals.filter((removal) => removal.present).length;
  const many = files > mostFiles && files > view.resources.size * mostShare;
  return { removals, orphans, waiting: many && (view.head === null || options.confirmed !== view.head) };
}
