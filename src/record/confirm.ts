// A person's word about the record, from a process beside the one that holds it: one reference is written, which the holder watches.

import { join, resolve } from "node:path";

import { readRef } from "./commits.ts";
import { findGit, Git } from "./git.ts";
import { refs, type Confirmations } from "./repository.ts";

/** Notes `commit` (it may be abbreviated). Resolves with its id, or with null when the record in `folder` has no such commit or there is no record. */
export async function confirm(options: { folder: string; what: keyof Confirmations; commit: string }): Promise<string | null> {
  if (!/^[0-9a-f]{4,64}$/.test(options.commit)) return null;
  const workTree = resolve(options.folder);
  const git = new Git({ program: await findGit(), directory: join(workTree, ".git"), workTree });
  const id = await readRef(git, `${options.commit}^{commit}`).catch(() => null);
  if (id !== null) await git.run(["update-ref", refs[options.what], id]);
  return id;
}
