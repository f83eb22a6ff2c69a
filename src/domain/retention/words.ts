// How plans speak about times and names. Absolute times, so that the words of a plan do not change while its verdicts stay.

import type { Digest } from "../digest.ts";

/** 2026-11-21 14:03 UTC */
export function formatTime(time: number): string {
  return `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** sha256:0123456789ab…: enough for people, the entry has the whole. */
export function shortDigest(digest: Digest): string {
  return `${digest.slice(0, digest.indexOf(":") + 13)}…`;
}

/** Bytewise, as the database sorts. */
export function compareNames(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
