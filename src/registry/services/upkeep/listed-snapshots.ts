// The snapshots that a refused restore leaves to choose from. `wharfinger backup list` asks a registry, and there is none without its database.

import { compareNames } from "../../../domain/retention/words.ts";
import { timeOf, type SnapshotsFound } from "./snapshot-manifest.ts";

const listed = 20;

const flaws = { NotFound: "is not whole", Broken: "cannot be read", Newer: "was written by a newer Wharfinger" } as const;

/** All that are in the store, newest first, but for the one that is `refused`: a line each, with how it is named and when it was taken. */
export function listOthers({ stored, unread }: SnapshotsFound, refused?: string): string {
  const whole = stored.filter(({ name }) => name !== refused).map(({ name, manifest }) => ({ name, is: `taken at ${manifest.takenAt}` }));
  const flawed = unread.filter(({ name }) => name !== refused).map(({ name, error }) => ({ name, is: flaws[error.code] }));
  const others = [...flawed, ...whole];
  if (others.length === 0) return "The store has no other snapshot.";
  const newestFirst = others.sort((a, b) => compareNames(timeOf(b.name), timeOf(a.name)));
  return [
    whole.length === 0 ? "None of the others in the store can be restored:" : "In the store, newest first; take one with --snapshot NAME:",
    ...newestFirst.slice(0, listed).map(({ name, is }) => `  ${name}  ${is}`),
    ...(others.length > listed ? [`  and ${others.length - listed} older ones`] : []),
  ].join("\n");
}
