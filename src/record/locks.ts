// Lock files that a killed git left behind. Our commits need only the branch's lock, which a living git holds for milliseconds.

import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Removes the locks of references and configuration that are older than `age` milliseconds, and returns their names. With `wait` younger ones get that
 * time to go by themselves. The index is not ours: a person's editor may hold it for an hour.
 */
export async function clearStaleLocks(
  directory: string,
  branch: string,
  { age, wait }: { age: number; wait: boolean },
): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const name of await lockNames(directory, branch)) {
    const file = join(directory, name);
    const seen = await modifiedAt(file);
    if (seen === undefined) continue;
    const left = age - (Date.now() - seen);
    if (left > 0 && !wait) continue;
    if (left > 0) await sleep(left);
    if ((await modifiedAt(file)) !== seen) continue;
    await rm(file, { force: true });
    removed.push(name);
  }
  return removed;
}

async function lockNames(directory: string, branch: string): Promise<readonly string[]> {
  const own = await readdir(join(directory, "refs", "wharfinger")).catch(() => []);
  const ours = own.filter((name) => name.endsWith(".lock")).map((name) => `refs/wharfinger/${name}`);
  return ["config.lock", "HEAD.lock", "packed-refs.lock", `refs/heads/${branch}.lock`, ...ours];
}

async function modifiedAt(file: string): Promise<number | undefined> {
  return stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );
}

/** Removes the index's lock when the process that a crash interrupted made it: it is not older than the note of what was under way. */
export async function clearOwnIndexLock(directory: string, noteFile: string): Promise<boolean> {
  const lock = join(directory, "index.lock");
  const [held, note] = await Promise.all([stat(lock).catch(() => undefined), stat(noteFile).catch(() => undefined)]);
  if (held === undefined || note === undefined || held.mtimeMs < note.mtimeMs) return false;
  await rm(lock, { force: true });
  return true;
}
