// Every repository of a registry's files. Folders may be linked to one another, also in circles: each is walked, none for ever.

import { maxNameLength } from "../domain/reference.ts";
import { SourceError } from "./import-source.ts";
import type { LayoutTree } from "./layout-tree.ts";

/** Names that one folder is walked under. Somebody keeps a second name for a team; thousands are links that multiply. */
const maxNames = 8;

export interface Walk {
  readonly tree: LayoutTree;
  /** The folder `repositories`. */
  readonly root: string;
  /** A folder that cannot be walked; the others go on. */
  readonly leftOut: (folder: string, why: SourceError) => void;
}

/**
 * In no order. Distribution knows a repository by its tags or its layers; one without manifests has nothing to import. A name that is too long is
 * given, and nothing below it. Rejects with SourceError when it can be different in a moment, or nothing can be read.
 */
export async function* repositoryFolders(walk: Walk): AsyncGenerator<string> {
  yield* foldersBelow(walk, { parent: "", above: new Set(), names: new Map() });
}

interface Position {
  readonly parent: string;
  /** Places of the folders that `parent` lies in. */
  readonly above: ReadonlySet<string>;
  /** Place of a folder → names that it was walked under. */
  readonly names: Map<string, number>;
}

async function* foldersBelow(walk: Walk, position: Position): AsyncGenerator<string> {
  const { parent, above, names } = position;
  if (parent.length > maxNameLength) return yield parent;
  const opened = await openFolder(walk, position);
  if (opened === undefined) return;
  const { place, folders } = opened;
  if (parent !== "" && folders.includes("_manifests")) yield parent;
  const inside = new Set([...above, place]);
  // Upload sessions and layers are no repositories.
  for (const folder of folders.filter((name) => !name.startsWith("_")).sort())
    yield* foldersBelow(walk, { parent: parent === "" ? folder : `${parent}/${folder}`, above: inside, names });
}

async function openFolder({ tree, root, leftOut }: Walk, { parent, above, names }: Position) {
  const path = parent === "" ? root : `${root}/${parent}`;
  try {
    const place = await tree.place(path);
    if (above.has(place)) throw new SourceError("BrokenLink", `${path} is a link to a folder that it lies in`);
    const known = names.get(place) ?? 0;
    if (known === maxNames) throw new SourceError("BrokenLink", `${path} is the same folder as ${maxNames} others, which were looked at`);
    names.set(place, known + 1);
    return { place, folders: await tree.folders(path) };
  } catch (error) {
    if (!(error instanceof SourceError) || !["BrokenLink", "Denied"].includes(error.code) || parent === "") throw error;
    leftOut(parent, error);
    return undefined;
  }
}
