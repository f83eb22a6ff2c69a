// Noticing commits of others: a watch for speed, a look at a few small files twice a second because watches miss things on some file systems.

import { watch, type FSWatcher } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";

import { refs, removalsFolder } from "./references.ts";

const interval = 500;

/** Calls `moved` when a reference may have changed. Returns the function that ends it. */
export function watchReferences(directory: string, branch: string, moved: () => void): () => void {
  // A folder is another one when a reference in it is written or goes.
  const files = [`refs/heads/${branch}`, "packed-refs", "reftable/tables.list", refs.accepted, removalsFolder].map((name) =>
    join(directory, name),
  );
  let last: string | undefined;
  const look = async (): Promise<void> => {
    const now = (await Promise.all(files.map(fingerprint))).join(" ");
    if (last !== undefined && now !== last) moved();
    last = now;
  };
  const timer = setInterval(() => void look(), interval);
  timer.unref();
  void look();
  const watchers = [join(directory, "refs", "heads"), join(directory, "refs", "wharfinger")].flatMap((folder) =>
    tryWatch(folder, () => void look()),
  );
  return () => {
    clearInterval(timer);
    for (const watcher of watchers) watcher.close();
  };
}

async function fingerprint(file: string): Promise<string> {
  const found = await stat(file, { bigint: true }).catch(() => undefined);
  return found === undefined ? "-" : `${found.ino}:${found.size}:${found.mtimeNs}`;
}

/** No watch (limits of the system, folder not there yet) is no failure: the timer looks. */
function tryWatch(folder: string, changed: () => void): FSWatcher[] {
  try {
    const watcher = watch(folder, { persistent: false }, changed);
    watcher.on("error", () => watcher.close());
    return [watcher];
  } catch {
    return [];
  }
}
