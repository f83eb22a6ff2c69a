// Files whose resource is gone: ours are removed, those of others are orphans (design: record, "One rule").

import { keyString, type ResourceKey } from "../domain/resource.ts";
import type { History } from "../record/history.ts";
import type { RecordView } from "../record/record-view.ts";

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

/** `present`: keys of the source. `isSeen`: all of a namespace could be read. `confirmed`: the commit at which a person let them go. */
export function findRemovals(
  view: RecordView,
  history: History,
  options: {
    present: ReadonlySet<string>;
    isSeen: (namespace: string) => boolean;
    installation: string;
    confirmed: string | null;
  },
): Removals {
  const { present, isSeen, installation } = options;
  const ours = history.memories().filter((memory) => memory.installation === installation && memory.specDigest !== "none");
  const gone = ours.filter(({ key }) => isSeen(key.namespace) && !present.has(keyString(key)));
  const removals = gone.map(({ key, generation }) => ({ key, generation, present: view.resources.has(keyString(key)) }));
  const removed = new Set(removals.map(({ key }) => keyString(key)));
  const orphans = [...view.resources.entries()]
    .filter(([id, { key }]) => isSeen(key.namespace) && !present.has(id) && !removed.has(id))
    .map(([, { key }]) => key);
  const files = removals.filter((removal) => removal.present).length;
  const many = files > mostFiles && files > view.resources.size * mostShare;
  return { removals, orphans, waiting: many && (view.head === null || options.confirmed !== view.head) };
}
