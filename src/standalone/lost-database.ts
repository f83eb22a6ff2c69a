// A new database beside the images of an earlier one: somebody lost it, and not everything comes back by itself. Where the images have a marker
// the start is refused (registry/services/upkeep/marker.ts); this is for folders of before there was one.

import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** What to tell the person, where `made` says that the database is new; undefined when nothing was stored before. */
export async function lostDatabase(options: {
  readonly made: boolean;
  readonly data: string;
  readonly blobs: string;
}): Promise<string | undefined> {
  if (!options.made || existsSync(join(options.blobs, "marker")) || !(await holdsObjects(options.blobs))) return undefined;
  return (
    `the database is new, and ${join(options.data, "blobs")} holds images of an earlier one. Configuration and versions come back from the record; ` +
    "images that were pushed here do not, because only the database knew their names and tags. " +
    `To have them back, stop now, put the whole folder ${options.data} back from a backup, and start again; without one, push them again`
  );
}

/** Finished blobs, as the folder store keeps them; one that was never used has no folder below `objects`. */
async function holdsObjects(blobs: string): Promise<boolean> {
  const found = await readdir(join(blobs, "objects"), { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return found.some((entry) => entry.isFile());
}
