// What leaves with what: tags go one by one, a manifest goes when the last thing that needs it went. The order gives each entry its bytes,
// and the apply its batches: nothing in a step needs anything that a later step takes.

import type { Digest } from "../digest.ts";
import { digestOfReferrerTag } from "../reference.ts";
import type { TagFact } from "./facts.ts";
import type { Graph } from "./graph.ts";
import { compareNames } from "./words.ts";

/** A tag, or a manifest that nothing needs (no tag, no index, no subject). */
export type Removal = { readonly tag: TagFact } | { readonly untagged: Digest };

export interface Departure {
  readonly removal: Removal;
  /** Manifests that go now, indexes and subjects before what they held. */
  readonly manifests: readonly Digest[];
}

/**
 * Takes `removals` away in order. Only manifests in `condemned` go, and only when nothing needs them any more:
 * so a part of a plan never takes more than that part may.
 */
export function departures(graph: Graph, condemned: ReadonlySet<Digest>, removals: readonly Removal[]): readonly Departure[] {
  const gone = new Set<Digest>();
  const removedTags = new Set<string>();

  const isFree = (digest: Digest): boolean => {
    if (!graph.manifests.has(digest) || gone.has(digest) || !condemned.has(digest)) return false;
    if (!graph.tagsOf(digest).every(({ name }) => removedTags.has(name))) return false;
    if (!graph.parentsOf(digest).every((parent) => gone.has(parent))) return false;
    const subject = graph.subjectOf(digest);
    return subject === undefined || gone.has(subject);
  };
  const leave = (first: Digest): Digest[] => {
    const leaving: Digest[] = [];
    const waiting = [first];
    for (const digest of waiting) {
      if (!isFree(digest)) continue;
      gone.add(digest);
      leaving.push(digest);
      for (const held of graph.childrenOf(digest)) waiting.push(held);
      for (const held of graph.referrersOf(digest)) waiting.push(held);
    }
    return leaving;
  };

  return removals.map((removal) => {
    if ("tag" in removal) removedTags.add(removal.tag.name);
    return { removal, manifests: leave("tag" in removal ? removal.tag.digest : removal.untagged) };
  });
}

/** The order of a plan: ordinary tags, untagged manifests, `sha256-<hex>` tags, so that referrers go with their subject and never before. */
export function inOrder(removals: readonly Removal[]): readonly Removal[] {
  return removals
    .map((removal) => ({ removal, name: nameOf(removal), place: placeOf(removal) }))
    .sort((a, b) => a.place - b.place || compareNames(a.name, b.name))
    .map(({ removal }) => removal);
}

function placeOf(removal: Removal): number {
  if ("untagged" in removal) return 1;
  return digestOfReferrerTag(removal.tag.name) === undefined ? 0 : 2;
}

/** A digest has a colon and a tag has none: one key space. */
export function nameOf(removal: Removal): string {
  return "tag" in removal ? removal.tag.name : removal.untagged;
}
