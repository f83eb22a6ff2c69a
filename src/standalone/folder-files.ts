// Which resource files a folder has, and when that changed. Asked by looking, twice a second, not by inotify: a look costs a stat a file, and
// it sees what notifications miss or garble: editors that write beside and rename, ConfigMap mounts that swap a symbolic link, network file
// systems, folders mounted into a container.

import { readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

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

/** Files at any depth, symbolic links followed. Names that begin with a dot are skipped: editors, `.git`, and where ConfigMap mounts keep the originals. */
export async function listFolder(folder: string): Promise<FolderListing> {
  const files: FolderFile[] = [];
  const unreadable: UnreadablePlace[] = [];
  const visit = async (path: string, above: readonly string[]): Promise<void> => {
    const name = relative(folder, path);
    try {
      const found = await stat(path, { bigint: true });
      const identity = `${found.dev}:${found.ino}`;
      if (found.isDirectory()) {
        if (above.includes(identity)) return; // a link to a folder around it
        const entries = (await readdir(path)).filter((entry) => !entry.startsWith(".")).sort();
        for (const entry of entries) await visit(join(path, entry), [...above, identity]);
      } else if (found.isFile() && resourceFile.test(path)) {
        files.push({ name, path, fingerprint: `${identity}:${found.size}:${found.mtimeNs}:${found.ctimeNs}` });
      }
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      // Gone between the list and the look, or a link to nothing, which no editor's file is: only resource files and folders are missed.
      if (code === "ENOENT" && name !== "" && !resourceFile.test(name)) return;
      unreadable.push({ name, message: `cannot be read (${code ?? message})` });
    }
  };
  await visit(folder, []);
  return { files, unreadable };
}

export interface FolderWatchOptions {
  readonly folder: string;
  /** Called with each listing that differs from the one before, when it is the same twice in a row. */
  readonly onChange: (listing: FolderListing) => Promise<void>;
  /** What has been read already. */
  readonly known: FolderListing;
  readonly onError: (error: unknown) => void;
  readonly times?: WatchTimes;
  /** Tests only: another way to look. */
  readonly look?: (folder: string) => Promise<FolderListing>;
}

/** Milliseconds. */
export interface WatchTimes {
  /** Between two looks. */
  readonly pause: number;
  /** Between two looks that must agree: an editor that empties a file before it writes is not caught half way. */
  readonly settle: number;
}

const ordinaryTimes: WatchTimes = { pause: 400, settle: 120 };
/** Milliseconds. With it an edit counts within 2 s: this, two looks and the settling. */
const longestRest = 1_000;
/** Milliseconds. Twenty times what a look costs: a large folder is looked at less often. */
const restPerPlace = 1;

/**
 * Milliseconds until the next look. By what the look had to do, never by how long it took: a process that is busy with other things would
 * take its own delay for a slow folder, and heed a revocation the later the more it has to do.
 */
export function restAfter({ files, unreadable }: FolderListing, pause: number): number {
  return Math.max(pause, Math.min(longestRest, (files.length + unreadable.length) * restPerPlace));
}

/** Looks until the function it returns is called. */
export function watchFolder(options: FolderWatchOptions): () => Promise<void> {
  const stopping = new AbortController();
  const { signal } = stopping;
  const { times: { pause, settle } = ordinaryTimes, look = listFolder } = options;
  const loop = async () => {
    let known = signature(options.known);
    let rest = pause;
    while (await awake(rest, signal)) {
      try {
        let listing = await look(options.folder);
        rest = restAfter(listing, pause);
        if (signature(listing) === known) continue;
        for (let last = ""; last !== signature(listing);) {
          last = signature(listing);
          if (!(await awake(settle, signal))) return;
          listing = await look(options.folder);
        }
        if (signature(listing) === known) continue;
        await options.onChange(listing);
        known = signature(listing);
      } catch (error) {
        options.onError(error);
      }
    }
  };
  const done = loop();
  return async () => {
    stopping.abort();
    await done;
  };
}

function signature({ files, unreadable }: FolderListing): string {
  return JSON.stringify([files.map(({ name, fingerprint }) => [name, fingerprint]), unreadable]);
}

/** False when it is time to end. */
async function awake(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  return sleep(milliseconds, true, { signal }).catch(() => false);
}
