// Which resource files a folder has. Asked by looking, twice a second, not by inotify: a look costs a stat a file, and
// it sees what notifications miss or garble: editors that write beside and rename, ConfigMap mounts that swap a symbolic link, network file
// systems, folders mounted into a container.

import { readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";

export interface FolderFile {
  /** Below the folder, as messages call it: `team-a/upstream.yaml`. */
  readonly name: string;
  readonly path: string;
  /** Differs whenever the content may. */
  readonly fingerprint: string;
}

export interface FolderListing {
  /** In the order of their names. */
  readonly files: readonly FolderFile[];
  /** What could not be looked into: then a missing file is not a deleted one. */
  readonly unreadable: readonly UnreadablePlace[];
}

export interface UnreadablePlace {
  /** Below the folder; empty for the folder itself. */
  readonly name: string;
  readonly message: string;
}

const resourceFile = /\.(?:ya?ml|json)$/i;

/** What one look may cost: whoever can write links into the folder could make it endless, and then no revocation would be heeded. */
export interface FolderLimits {
  /** Files and folders, whatever is in them. */
  readonly entries: number;
  /** Folders below each other. */
  readonly depth: number;
}

const usualLimits: FolderLimits = { entries: 20_000, depth: 32 };

export interface LookOptions {
  /** Ends the look: it rejects with the reason. */
  readonly signal?: AbortSignal;
  readonly limits?: FolderLimits;
}

/**
 * Files at any depth up to the limit, symbolic links followed. A folder with several names is read under one of them, the one that is least
 * deep: links beside each other would double what there is at every level. Names that begin with a dot are skipped: editors, `.git`, and
 * where ConfigMap mounts keep the originals.
 */
export async function listFolder(folder: string, { signal, limits = usualLimits }: LookOptions = {}): Promise<FolderListing> {
  const files: FolderFile[] = [];
  const unreadable: UnreadablePlace[] = [];
  const seen = new Set<string>();
  // Level by level: what lies deepest comes last, and is what a limit leaves off.
  const places = [{ path: folder, depth: 0 }];
  let isLeftOff = false;
  for (const { path, depth } of places) {
    signal?.throwIfAborted();
    const name = relative(folder, path);
    try {
      const found = await stat(path, { bigint: true });
      const identity = `${found.dev}:${found.ino}`;
      if (found.isFile() && resourceFile.test(path)) {
        files.push({ name, path, fingerprint: `${identity}:${found.size}:${found.mtimeNs}:${found.ctimeNs}` });
      }
      if (!found.isDirectory() || seen.has(identity)) continue;
      seen.add(identity);
      if (depth > limits.depth) throw new Error(`more than ${limits.depth} folders deep`);
      const entries = (await readdir(path)).filter((entry) => !entry.startsWith(".")).sort();
      const room = limits.entries - places.length + 1;
      isLeftOff ||= entries.length > room;
      for (const entry of entries.slice(0, room)) places.push({ path: join(path, entry), depth: depth + 1 });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      // Gone between the list and the look, or a link to nothing, which no editor's file is: only resource files and folders are missed.
      if (code === "ENOENT" && name !== "" && !resourceFile.test(name)) continue;
      unreadable.push({ name, message: `cannot be read (${code ?? message})` });
    }
  }
  if (isLeftOff) {
    // Of the whole folder: what is left off may be anywhere in it.
    const message = `has more than ${limits.entries} files and folders, and the rest is not read: keep configuration alone in it`;
    unreadable.push({ name: "", message });
  }
  return { files: files.sort((a, b) => (a.name < b.name ? -1 : 1)), unreadable };
}
