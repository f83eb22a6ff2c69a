// Every repository of a registry's files. Folders may be linked to one another, also in circles: each is walked, none for ever.

import { maxNameLength } from "../domain/reference.ts";
import { SourceError } from "./import-source.ts";
import type { LayoutTree } from "./layout-tree.ts";

/** Names that one folder is walked under. Somebody keeps a second name for a team; thousands are links that multiply. */
const maxNames = 8;
/** Folders looked into together: in a bucket each is a request. */
const atOnce = 16;

export interface Walk {
  readonly tree: LayoutTree;
  /** The folder `repositories`. */
  readonly root: string;
  /** A folder that cannot be walked; the others go on. */
  readonly leftOut: (folder: string, why: SourceError) => void;
}

interface Folder {
  /** From the root; the root's is empty. */
  readonly name: string;
  /** Places of the folders that it lies in. */
  readonly above: ReadonlySet<string>;
}

interface OpenFolder extends Folder {
  readonly place: string;
  readonly folders: readonly string[];
}

/**
 * In no order. Distribution knows a repository by its tags or its layers; one without manifests has nothing to import. A name that is too long is
 * given, and nothing below it. Rejects with SourceError when it can be different in a moment, or nothing can be read.
 */
export async function* repositoryFolders(walk: Walk): AsyncGenerator<string> {
  const known = new Map<string, number>();
  let level: readonly Folder[] = [{ name: "", above: new Set() }];
  while (level.length > 0) {
    const next: Folder[] = [];
    for (let from = 0; from < level.length; from += atOnce) {
      const some = level.slice(from, from + atOnce);
      const opened = await Promise.all(some.map((folder) => open(walk, folder, known)));
      for (const [place, folder] of opened.entries()) {
        if (folder instanceof SourceError) {
          walk.leftOut(some[place]!.name, folder);
          continue;
        }
        const { name, folders } = folder;
        if (name !== "" && (folders.includes("_manifests") || isTooLong(name))) yield name;
        next.push(...inside(folder));
      }
    }
    level = next;
  }
}

const isTooLong = (name: string) => name.length > maxNameLength;

/** Upload sessions and layers are no repositories. */
function inside({ name, above, place, folders }: OpenFolder): readonly Folder[] {
  const around = new Set([...above, place]);
  return folders
    .filter((folder) => !folder.startsWith("_"))
    .map((folder) => ({ name: name === "" ? folder : `${name}/${folder}`, above: around }));
}

/** `known`: place of a folder → names that it was walked under. Resolves with why it cannot be walked, where the others can. */
async function open({ tree, root }: Walk, folder: Folder, known: Map<string, number>): Promise<OpenFolder | SourceError> {
  const { name, above } = folder;
  if (isTooLong(name)) return { ...folder, place: name, folders: [] };
  const path = name === "" ? root : `${root}/${name}`;
  try {
    const place = await tree.place(path);
    if (above.has(place)) throw new SourceError("BrokenLink", `${path} is a link to a folder that it lies in`);
    const before = known.get(place) ?? 0;
    if (before === maxNames) throw new SourceError("BrokenLink", `${path} is the same folder as ${maxNames} others, which were looked at`);
    known.set(place, before + 1);
    return { ...folder, place, folders: await tree.folders(path) };
  } catch (error) {
    if (!(error instanceof SourceError) || !["BrokenLink", "Denied"].includes(error.code) || name === "") throw error;
    return error;
  }
}
