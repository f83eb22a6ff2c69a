// A record that gets a remote, and one that has it no longer: who commits where.

import { readdir, readFile, rm } from "node:fs/promises";

import type { Logger } from "../observability/logger.ts";
import { readRef } from "./commits.ts";
import type { Git } from "./git.ts";
import { noteOf } from "./remote-branch.ts";
import { syncWorkTree } from "./work-tree.ts";

/** With a remote the folder is no place to commit: the files of its work tree go, except those in which somebody has changes. */
export async function giveAway(git: Git, options: { from: string; to: string; folder: string; logger: Logger }): Promise<void> {
  const { from, to, folder, logger } = options;
  await rename(git, from, to);
  const head = await readRef(git, `refs/heads/${to}`);
  if (head !== null && (await readdir(folder)).length > 1) {
    const nothing = await git.line(["hash-object", "-t", "tree", "--stdin"], { input: "" });
    const { dirty } = await syncWorkTree(git.at(folder), folder, { from: head, to: nothing, read: () => Promise.resolve(new Map()) });
    const message = `the record has a remote now; files with uncommitted changes stay in ${folder} and count for nothing`;
    if (dirty.length > 0) logger.warn({ files: dirty }, message);
  }
  await git.run(["config", "core.bare", "true"]);
}

/** Without the remote that it had, the record goes on from here, on this branch. Returns whether it had one: then its work tree has to be filled. */
export async function takeHome(git: Git, branch: string): Promise<boolean> {
  const note = noteOf(git);
  const there = (await readFile(note, "utf8").catch(() => "")).trim().split(" ").at(-1) ?? "";
  if (there === "") return false;
  await rename(git, there, branch);
  await git.run(["config", "core.bare", "false"]);
  return true;
}

/** It is noted elsewhere that the work tree has to be filled. */
export async function settleIn(git: Git): Promise<void> {
  await rm(noteOf(git), { force: true });
}

/** The copy is shown by `git log` too: HEAD goes along. What the new name had before is older. */
async function rename(git: Git, from: string, to: string): Promise<void> {
  const commit = from === to ? null : await readRef(git, `refs/heads/${from}`);
  if (commit !== null) {
    await git.run(["update-ref", `refs/heads/${to}`, commit]);
    await git.run(["update-ref", "-d", `refs/heads/${from}`]);
  }
  await git.run(["symbolic-ref", "HEAD", `refs/heads/${to}`]);
}
