// A person's word about the record, from a process beside the one that holds it: one reference is written, which the holder watches.

import { join, resolve } from "node:path";

import { readRef } from "./commits.ts";
import { findGit, Git } from "./git.ts";
import { decisionRef, type Decision } from "./references.ts";

/** The id of `commit` (it may be abbreviated); null when the record in `folder` has no such commit or there is no record. */
export async function findCommit(options: { folder: string; commit: string }): Promise<string | null> {
  if (!/^[0-9a-f]{4,64}$/.test(options.commit)) return null;
  return readRef(await gitOf(options.folder), `${options.commit}^{commit}`).catch(() => null);
}

/** Notes `commit`, an id that findCommit found; of a removal in one namespace, or in all. */
export async function confirm(options: {
  readonly folder: string;
  readonly what: Decision;
  readonly commit: string;
  readonly namespace?: string | undefined;
}): Promise<void> {
  const { folder, what, commit, namespace } = options;
  await (await gitOf(folder)).run(["update-ref", decisionRef(what, namespace), commit]);
}

async function gitOf(folder: string): Promise<Git> {
  const workTree = resolve(folder);
  return new Git({ program: await findGit(), directory: join(workTree, ".git"), workTree });
}
