// The files of one commit, and their bytes by blob id.

import type { Git } from "./git.ts";

export interface TreeFile {
  readonly path: string;
  readonly blob: string;
  /** Symbolic links, submodules: never followed, never read. */
  readonly regular: boolean;
}

/** All files of a commit under `folder` ("": all), in path order; their paths begin there. */
export async function listTree(git: Git, commit: string, folder: string): Promise<readonly TreeFile[]> {
  const only = folder === "" ? [] : [`${folder}/`];
  const output = await git.run(["ls-tree", "-r", "-z", "--full-tree", "--end-of-options", commit, ...only]);
  return output
    .toString("utf8")
    .split("\0")
    .filter((entry) => entry !== "")
    .map((entry) => {
      const tab = entry.indexOf("\t");
      const [mode = "", , blob = ""] = entry.slice(0, tab).split(" ");
      const path = withinFolder(entry.slice(tab + 1), folder) ?? "";
      return { path, blob, regular: mode === "100644" || mode === "100755" };
    });
}

/** A path of the repository as the record has it; undefined when it lies elsewhere. */
export function withinFolder(path: string, folder: string): string | undefined {
  if (folder === "") return path;
  return path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : undefined;
}

/** Bytes of blobs; ids that do not exist (a shallow or pruned history) are absent from the answer. */
export async function readBlobs(git: Git, blobs: Iterable<string>): Promise<ReadonlyMap<string, Buffer>> {
  const wanted = [...new Set(blobs)];
  const found = new Map<string, Buffer>();
  if (wanted.length === 0) return found;
  const output = await git.run(["cat-file", "--batch"], { input: `${wanted.join("\n")}\n` });
  let at = 0;
  while (at < output.length) {
    const end = output.indexOf(0x0a, at);
    const [id = "", type, size = "0"] = output.toString("utf8", at, end).split(" ");
    at = end + 1;
    if (type === "missing") continue;
    const length = Number(size);
    found.set(id, output.subarray(at, at + length));
    at += length + 1;
  }
  return found;
}
