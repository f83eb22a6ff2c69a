// Lock files that a killed git left behind. Our commits need only the branch's lock, which a living git holds for milliseconds.

import { rm, stat } from "node:fs/promises";
import { join } from "node:path";

/** Removes the reference locks older than `age` milliseconds, and returns what it removed. The index is not ours: a person's editor may hold it for an hour. */
export async function clearStaleLocks(directory: string, branch: string, age: number): Promise<readonly string[]> {
  const names = [
    `refs/heads/${branch}.lock`,
    "refs/wharfinger/next.lock",
    "refs/wharfinger/published.lock",
    "packed-refs.lock",
    "HEAD.lock",
  ];
  const removed: string[] = [];
  for (const name of names) {
    const file = join(directory, name);
    const found = await stat(file).catch(() => undefined);
    if (found === undefined || Date.now() - found.mtimeMs < age) continue;
    await rm(file, { force: true });
    removed.push(name);
  }
  return removed;
}

/** Removes the index's lock when the process that a crash interrupted made it: it is not older than the note of what was under way. */
export async function clearOwnIndexLock(directory: string, noteFile: string): Promise<boolean> {
  const lock = join(directory, "index.lock");
  const [held, note] = await Promise.all([stat(lock).catch(() => undefined), stat(noteFile).catch(() => undefined)]);
  if (held === undefined || note === undefined || held.mtimeMs < note.mtimeMs) return false;
  await rm(lock, { force: true });
  return true;
}
