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
