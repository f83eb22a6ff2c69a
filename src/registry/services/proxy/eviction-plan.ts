// What cached content goes: by manifest and what belongs to it, never by blob (design: upstream.md, "Eviction"). Pure; idle times come with the input.

import { addTo } from "../../../domain/groups.ts";

export interface CachedManifest {
  readonly id: string;
  /** Children of an index, and what is attached to it: referrers, cosign's tags. They are kept with it, and their pulls count for it. */
  readonly parts: readonly string[];
  /** Milliseconds since it was fetched or last pulled itself. */
  readonly idle: number;
  readonly pinned: boolean;
  readonly blobs: readonly { readonly digest: string; readonly size: number }[];
}

export interface EvictionLimits {
  /** Milliseconds. */
  readonly unusedFor: number;
  /** Bytes of stored blobs; undefined: no limit. */
  readonly maxSize?: number;
  /** Milliseconds for which pulls have been counted: nothing is called unused before that is `unusedFor`. */
  readonly countedFor: number;
}

/** Somebody may still be pulling what was asked for this recently, milliseconds. */
const busy = 600_000;

/** Ids to evict. */
export function planEviction(manifests: readonly CachedManifest[], limits: EvictionLimits): ReadonlySet<string> {
  const graph = new Graph(manifests);
  const kept =
    limits.countedFor < limits.unusedFor
      ? new Set(graph.byId.keys())
      : graph.withParts(manifests.filter(({ id, pinned }) => pinned || graph.idleOf(id) < limits.unusedFor).map(({ id }) => id));
  if (limits.maxSize !== undefined) shrink(graph, kept, limits.maxSize);
  return new Set([...graph.byId.keys()].filter((id) => !kept.has(id)));
}

/** Takes whole images out of `kept`, the least recently pulled first, until its blobs fit. */
function shrink(graph: Graph, kept: Set<string>, maxSize: number): void {
  const names = new Map<string, number>();
  let size = 0;
  for (const id of kept) {
    for (const blob of graph.blobsOf(id)) {
      const count = names.get(blob.digest) ?? 0;
      if (count === 0) size += blob.size;
      names.set(blob.digest, count + 1);
    }
  }
  const pinned = graph.withParts([...kept].filter((id) => graph.byId.get(id)?.pinned === true));
  /** How many of what is kept each belongs to. */
  const holders = new Map<string, number>();
  for (const id of kept) for (const part of graph.partsOf(id)) holders.set(part, (holders.get(part) ?? 0) + 1);
  const roots = [...kept].filter((id) => !holders.has(id));
  roots.sort((a, b) => graph.idleOf(b) - graph.idleOf(a));
  for (const root of roots) {
    if (size <= maxSize) return;
    if (pinned.has(root) || graph.idleOf(root) < busy) continue;
    const going = [root];
    for (let id = going.pop(); id !== undefined; id = going.pop()) {
      kept.delete(id);
      for (const blob of graph.blobsOf(id)) {
        const count = (names.get(blob.digest) ?? 1) - 1;
        names.set(blob.digest, count);
        if (count === 0) size -= blob.size;
      }
      for (const part of graph.partsOf(id)) {
        const left = (holders.get(part) ?? 1) - 1;
        holders.set(part, left);
        if (left === 0 && kept.has(part) && !pinned.has(part)) going.push(part);
      }
    }
  }
}

const none: readonly never[] = [];

class Graph {
  readonly byId: ReadonlyMap<string, CachedManifest>;
  /** Those that are here, each once, never the manifest itself. */
  readonly #parts = new Map<string, readonly string[]>();
  readonly #wholes = new Map<string, string[]>();
  readonly #idle = new Map<string, number>();

  constructor(manifests: readonly CachedManifest[]) {
    this.byId = new Map(manifests.map((manifest) => [manifest.id, manifest]));
    for (const { id, parts } of manifests) {
      const here = [...new Set(parts)].filter((part) => this.byId.has(part) && part !== id);
      this.#parts.set(id, here);
      for (const part of here) addTo(this.#wholes, part, id);
    }
    // From the most recently pulled on upwards: the first to reach a manifest is the most recent of its parts. What upstream wrote may go in circles.
    for (const manifest of manifests.toSorted((a, b) => a.idle - b.idle)) {
      const going = [manifest.id];
      for (let id = going.pop(); id !== undefined; id = going.pop()) {
        if (this.#idle.has(id)) continue;
        this.#idle.set(id, manifest.idle);
        for (const whole of this.#wholes.get(id) ?? none) going.push(whole);
      }
    }
  }

  /** Since it or a part of it was pulled. */
  idleOf(id: string): number {
    return this.#idle.get(id) ?? 0;
  }

  partsOf(id: string): readonly string[] {
    return this.#parts.get(id) ?? none;
  }

  blobsOf(id: string): CachedManifest["blobs"] {
    return this.byId.get(id)?.blobs ?? none;
  }

  withParts(ids: readonly string[]): Set<string> {
    const found = new Set<string>();
    const going = [...ids];
    for (let id = going.pop(); id !== undefined; id = going.pop()) {
      if (found.has(id)) continue;
      found.add(id);
      for (const part of this.partsOf(id)) going.push(part);
    }
    return found;
  }
}
