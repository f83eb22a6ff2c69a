import { expect, test } from "vitest";

import { keyString, type ResourceKey } from "../domain/resource.ts";
import type { Memory } from "../record/history.ts";
import type { RecordedFile } from "../record/record-view.ts";
import type { ReadNamespace, ResourceSnapshot } from "./ports.ts";
import { findRemovals } from "./removals.ts";

const keyIn = (namespace: string): ResourceKey => ({ kind: "AccessPolicy", namespace, name: "one" });
const recorded = ["registry", "leaving", "anew", "older", "unwatched"];
const memories = recorded.map((namespace) => ({
  key: keyIn(namespace),
  generation: 1,
  specDigest: "sha256:x",
  installation: "ours",
  // What an older release recorded does not say it.
  namespaceUid: namespace === "older" ? undefined : `${namespace} as it was`,
})) as unknown as readonly Memory[];
const view = {
  head: "h",
  resources: new Map(recorded.map((namespace) => [keyString(keyIn(namespace)), { key: keyIn(namespace) } as RecordedFile])),
};
const removalsOf = (snapshot: Partial<ResourceSnapshot>) => {
  const empty = { resources: [], problems: [], complete: false, ...snapshot };
  const found = findRemovals(view, { memories: () => memories }, { snapshot: empty, installation: "ours", confirmed: "h" });
  return { removed: found.removals.map(({ key }) => key.namespace), orphans: found.orphans.map(({ namespace }) => namespace) };
};

test("what is missing is removed where all was read, whatever becomes of other namespaces", () => {
  const namespaces = new Map<string, ReadNamespace>([
    ["registry", { whole: true, uid: "registry as it was" }],
    ["leaving", { whole: false, uid: "leaving as it was" }],
    ["anew", { whole: true, uid: "another" }],
    ["older", { whole: true, uid: "whichever" }],
  ]);
  expect(removalsOf({ namespaces })).toEqual({ removed: ["registry", "older"], orphans: ["anew", "unwatched"] });
});

test("of a folder that was read whole everything that is missing is gone, of another nothing", () => {
  expect(removalsOf({ complete: true })).toEqual({ removed: recorded, orphans: [] });
  expect(removalsOf({ complete: false })).toEqual({ removed: [], orphans: [] });
});
