// The repository in a folder of this machine: found or made, cleared of what a crash left, with a work tree where it has no remote.

import { mkdir, readdir } from "node:fs/promises";
import { join, resolve } from "node:path";

import type { Logger } from "../observability/logger.ts";
import { RecordError } from "./errors.ts";
import { findGit, Git, type Author } from "./git.ts";
import { clearStaleLocks } from "./locks.ts";
import { giveAway, takeHome } from "./moving.ts";
import type { NamedSecret } from "./named-secret.ts";
import type { RemoteOptions } from "./remote-options.ts";

export interface OpeningOptions {
  /** Made when it is missing. Without a remote it is a work tree in which a person may commit; with one, the copy in its `.git` is ours alone. */
  readonly folder: string;
  /** Default `wharfinger`; a remote says its own. */
  readonly branch?: string;
  /** Where the record is, when it is not this folder. */
  readonly remote?: RemoteOptions | undefined;
  readonly logger: Logger;
}

export interface RecordOptions extends OpeningOptions {
  readonly author: Author;
  /** An id made once; without it one is made and kept beside the repository's own files. */
  readonly installation?: string;
  readonly now?: () => Date;
  /** The Secret of the key that signs the commits; undefined: they are not signed. */
  readonly signingKey?: NamedSecret | undefined;
  /** Lines of an ALLOWED SIGNERS file: only commits by their keys are followed, and made. Undefined: whoever can push is believed. */
  readonly allowedSigners?: readonly string[] | undefined;
}

export interface OpenedRepository {
  readonly git: Git;
  /** Absolute. */
  readonly folder: string;
  readonly branch: string;
  /** It had a remote until now: its work tree is empty. */
  readonly emptied: boolean;
}

/** A reference lock that is older than this (milliseconds) belongs to nobody: git holds it for as many. */
const staleLock = 1_000;

/** Rejects with RecordError GitMissing, NotARepository. */
export async function openRepository({
  folder: given,
  branch: own = "wharfinger",
  remote,
  logger,
}: OpeningOptions): Promise<OpenedRepository> {
  const folder = resolve(given);
  const directory = join(folder, ".git");
  const git = new Git({ program: await findGit(), directory, ...(remote === undefined ? { workTree: folder } : {}) });
  await mkdir(folder, { recursive: true });
  const entries = await readdir(folder);
  if (!entries.includes(".git") && entries.length > 0) {
    throw new RecordError(
      "NotARepository",
      `${folder} is not empty and is no Git repository; the record would be mixed with what lies there. Move it away, or name another folder.`,
    );
  }
  const branch = remote?.branch ?? own;
  const locks = await clearStaleLocks(directory, branch, { age: staleLock, wait: true });
  if (locks.length > 0) logger.warn({ locks }, "removed lock files that a crash left in the record");
  // Also in a repository that is there: git init repairs what a crash left out of it, and changes nothing else.
  await git.run(["init", "--quiet", `--initial-branch=${branch}`, "--template="]);
  await mkdir(join(directory, "wharfinger"), { recursive: true });
  await mkdir(join(directory, "refs", "wharfinger"), { recursive: true });
  if (remote === undefined) return { git, folder, branch, emptied: await takeHome(git, own) };
  await giveAway(git, { from: own, to: branch, folder, logger });
  return { git, folder, branch, emptied: false };
}
