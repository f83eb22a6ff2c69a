// After a commit the work tree follows, file by file, and only where the file is as the last commit left it. A person's uncommitted change stays as it is,
// in the file and in the index, and is named: it shows in `git diff` against the new commit. record.md is silent here; docs/adr has the decision.

import { createHash } from "node:crypto";
import { lstat, mkdir, readFile, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { Git } from "./git.ts";

export interface SyncResult {
  /** Files with uncommitted changes: not written. */
  readonly dirty: readonly string[];
  /** False: another git holds the index (`git commit` with an open editor); try again later. */
  readonly done: boolean;
}

/** Bytes of blobs; those that do not exist are absent from the answer. */
export type ReadBlobs = (blobs: readonly string[]) => Promise<ReadonlyMap<string, Buffer>>;

interface Difference {
  readonly path: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** Takes the work tree and the index from commit `from` (null: nothing) to commit `to`. */
export async function syncWorkTree(
  git: Git,
  root: string,
  { from, to, read }: { from: string | null; to: string; read: ReadBlobs },
): Promise<SyncResult> {
  const differences = await differencesOf(git, from, to);
  const staged = await indexOf(git);
  const dirty = new Set<string>();
  const entries: string[] = [];
  const writes: Difference[] = [];
  for (const difference of differences) {
    const { path, before, after } = difference;
    const entry = staged.get(path);
    const found = await blobAt(root, path, to.length);
    if (found === before) writes.push(difference);
    else if (found !== after) dirty.add(path);
    if (entry === before) entries.push(after === undefined ? `0 ${"0".repeat(to.length)}\t${path}\0` : `100644 ${after}\t${path}\0`);
    else if (entry !== after) dirty.add(path);
  }
  if (entries.length > 0) {
    const answer = await git.try(["update-index", "-z", "--index-info"], { input: entries.join("") });
    if (answer.code !== 0) return { dirty: [...dirty], done: false };
  }
  const contents = await read(writes.flatMap(({ after }) => after ?? []));
  for (const { path, after } of writes) {
    const content = after === undefined ? undefined : contents.get(after);
    if (content === undefined) await remove(root, path);
    else await write(git, root, path, content);
  }
  return { dirty: [...dirty], done: true };
}

async function differencesOf(git: Git, from: string | null, to: string): Promise<Difference[]> {
  const base = from ?? (await git.line(["hash-object", "-t", "tree", "--stdin"], { input: "" }));
  const output = await git.run(["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--end-of-options", base, to]);
  const tokens = output.toString("utf8").split("\0");
  const differences: Difference[] = [];
  for (let at = 0; at + 1 < tokens.length; at += 2) {
    const [, , before = "", after = ""] = (tokens[at] ?? "").split(" ");
    differences.push({ path: tokens[at + 1] ?? "", before: orUndefined(before), after: orUndefined(after) });
  }
  return differences;
}

/** Blob of each path in the index; a path in conflict has no answer that equals a blob. */
async function indexOf(git: Git): Promise<Map<string, string>> {
  const output = await git.run(["ls-files", "-s", "-z"]);
  const found = new Map<string, string>();
  for (const entry of output.toString("utf8").split("\0")) {
    const tab = entry.indexOf("\t");
    const [, blob = "", stage] = entry.slice(0, tab).split(" ");
    if (tab > 0) found.set(entry.slice(tab + 1), stage === "0" ? blob : "unmerged");
  }
  return found;
}

/** Blob id of the file as it lies there; undefined: none; "other" for what is no file, or lies behind a symbolic link. */
async function blobAt(root: string, path: string, idLength: number): Promise<string | undefined> {
  if (!(await isInside(root, path))) return "other";
  const file = join(root, path);
  const stat = await lstat(file).catch(() => undefined);
  if (stat === undefined) return undefined;
  if (!stat.isFile()) return "other";
  const bytes = await readFile(file);
  return createHash(idLength === 64 ? "sha256" : "sha1")
    .update(`blob ${bytes.length}\0`)
    .update(bytes)
    .digest("hex");
}

/** False when a folder on the way is a symbolic link or a file. */
async function isInside(root: string, path: string): Promise<boolean> {
  const parts = path.split("/").slice(0, -1);
  for (let depth = 1; depth <= parts.length; depth++) {
    const stat = await lstat(join(root, ...parts.slice(0, depth))).catch(() => undefined);
    if (stat === undefined) return true;
    if (!stat.isDirectory()) return false;
  }
  return true;
}

/** Through a file that is no part of the work tree: a crash leaves nothing that `git status` shows. */
async function write(git: Git, root: string, path: string, content: Buffer): Promise<void> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  const temporary = join(git.directory, "wharfinger", "file.new");
  await writeFile(temporary, content);
  await rename(temporary, file);
}

async function remove(root: string, path: string): Promise<void> {
  await rm(join(root, path), { force: true });
  // Empty folders go too, as with git's own checkout; the first that is not empty ends it.
  for (let folder = dirname(path); folder !== "."; folder = dirname(folder)) {
    const gone = await rmdir(join(root, folder)).then(
      () => true,
      () => false,
    );
    if (!gone) return;
  }
}

function orUndefined(blob: string): string | undefined {
  return /^0+$/.test(blob) ? undefined : blob;
}
