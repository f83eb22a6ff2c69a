// How two commits of a repository stand to each other, and what was in one: also of those that are no part of the history which is followed.

import type { Git } from "./git.ts";
import { listTree } from "./tree.ts";

/** Whether `ancestor` is in the history of `commit`; false when one of them does not exist here. */
export async function isAncestor(git: Git, ancestor: string, commit: string): Promise<boolean> {
  return (await git.try(["merge-base", "--is-ancestor", "--end-of-options", ancestor, commit])).code === 0;
}

/** The newest commit that both have; null when they share none, or one does not exist here. */
export async function forkPoint(git: Git, one: string, other: string): Promise<string | null> {
  const answer = await git.try(["merge-base", "--end-of-options", one, other]);
  return answer.code === 0 ? answer.stdout.toString("utf8").trim() : null;
}

/** Paths (from `folder` on) and blobs of a commit; undefined when it does not exist here. */
export async function filesAt(git: Git, commit: string, folder: string): Promise<ReadonlyMap<string, string> | undefined> {
  try {
    return new Map((await listTree(git, commit, folder)).map(({ path, blob }) => [path, blob]));
  } catch (error) {
    if ((await git.try(["cat-file", "-e", `${commit}^{tree}`])).code === 0) throw error;
    return undefined;
  }
}
