// The work tree follows the branch, also over a crash: what it has to follow from is noted before the branch moves.

import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Logger } from "../observability/logger.ts";
import type { Git } from "./git.ts";
import { clearOwnIndexLock } from "./locks.ts";
import { syncWorkTree, type ReadBlobs } from "./work-tree.ts";

export interface FollowingOptions {
  readonly git: Git;
  readonly folder: string;
  readonly branch: string;
  readonly read: ReadBlobs;
  readonly logger: Logger;
}

export class Following {
  readonly #options: FollowingOptions;
  readonly #note: string;
  #dirty: readonly string[] = [];

  constructor(options: FollowingOptions) {
    this.#options = options;
    this.#note = join(options.git.directory, "wharfinger", "under-way.json");
  }

  /** Files with a person's uncommitted changes that the last commits had to pass by. */
  get dirty(): readonly string[] {
    return this.#dirty;
  }

  /** Before anything else: an index lock that a crash left would be in the way for ever. */
  async mend(): Promise<void> {
    const { git, logger } = this.#options;
    if (await clearOwnIndexLock(git.directory, this.#note)) logger.warn("removed the index lock that a crash left in the record");
  }

  /** The branch is about to move away from this commit (null: from nothing). */
  async begin(from: string | null): Promise<void> {
    if ((await this.#begun()) !== undefined) return;
    const temporary = `${this.#note}.new`;
    await writeFile(temporary, JSON.stringify({ from }), { flush: true });
    await rename(temporary, this.#note);
  }

  /** Brings the work tree to `to`, from where the note says. Nothing is done without a note. */
  async follow(to: string | null): Promise<void> {
    const note = await this.#begun();
    if (note === undefined || to === null) return;
    const { git, folder, branch, read, logger } = this.#options;
    const checkedOut = (await readFile(join(git.directory, "HEAD"), "utf8")).trim() === `ref: refs/heads/${branch}`;
    const result = checkedOut ? await syncWorkTree(git, folder, { from: note.from, to, read }) : { dirty: [], done: true };
    this.#dirty = result.dirty;
    if (result.dirty.length > 0) {
      logger.warn(
        { files: result.dirty },
        `the record has uncommitted changes in files that were committed meanwhile; they are kept as they are, are not served, and show in git -C ${folder} diff`,
      );
    }
    if (result.done) await rm(this.#note, { force: true });
  }

  async #begun(): Promise<{ from: string | null } | undefined> {
    const text = await readFile(this.#note, "utf8").catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as { from: string | null });
  }
}
