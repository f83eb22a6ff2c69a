// What leads to itself, found in one walk. The graphs are pushed by strangers: as deep as they like, so nothing here recurs or walks twice.

import type { Digest } from "../digest.ts";

interface Visit {
  readonly digest: Digest;
  readonly order: number;
  readonly rest: Iterator<Digest>;
  /** The earliest open visit that this one leads back to. */
  earliest: number;
  /** It is not known yet which component it belongs to. */
  open: boolean;
}

/**
 * The strongly connected components of what `from` leads to (Tarjan 1972): two digests are in one when each leads to the other.
 * Each component comes after those that it leads to. Time and memory are linear in digests and steps.
 */
export function components(from: Iterable<Digest>, next: (digest: Digest) => readonly Digest[]): readonly (readonly Digest[])[] {
  const found: Digest[][] = [];
  const visits = new Map<Digest, Visit>();
  const path: Visit[] = [];
  const open: Visit[] = [];
  const enter = (digest: Digest): void => {
    const order = visits.size;
    const visit: Visit = { digest, order, rest: next(digest)[Symbol.iterator](), earliest: order, open: true };
    visits.set(digest, visit);
    path.push(visit);
    open.push(visit);
  };
  const leave = (visit: Visit): void => {
    path.pop();
    const before = path.at(-1);
    if (before !== undefined) before.earliest = Math.min(before.earliest, visit.earliest);
    if (visit.earliest === visit.order) found.push(close(open, visit));
  };
  for (const first of from) {
    if (!visits.has(first)) enter(first);
    for (let visit = path.at(-1); visit !== undefined; visit = path.at(-1)) {
      const step = visit.rest.next();
      if (step.done === true) {
        leave(visit);
        continue;
      }
      const seen = visits.get(step.value);
      if (seen === undefined) enter(step.value);
      else if (seen.open) visit.earliest = Math.min(visit.earliest, seen.order);
    }
  }
  return found;
}

/** Takes the component that was entered by `root`: it and all that was opened after it. */
function close(open: Visit[], root: Visit): Digest[] {
  const members: Digest[] = [];
  for (let visit = open.pop(); visit !== undefined; visit = visit === root ? undefined : open.pop()) {
    visit.open = false;
    members.push(visit.digest);
  }
  return members;
}
