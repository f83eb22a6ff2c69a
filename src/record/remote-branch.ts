// What the branch here becomes when the remote's was looked at (design: record, "When Git is not well").

import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Logger } from "../observability/logger.ts";
import { RecordError } from "./errors.ts";
import type { Git } from "./git.ts";
import type { Remote } from "./remote.ts";

export interface RemoteBranchOptions {
  readonly git: Git;
  readonly remote: Remote;
  readonly logger: Logger;
}

export class RemoteBranch {
  readonly #git: Git;
  readonly #remote: Remote;
  readonly #logger: Logger;
  /** Says whose branch the one here is. */
  readonly #note: string;

  constructor({ git, remote, logger }: RemoteBranchOptions) {
    this.#git = git;
    this.#remote = remote;
    this.#logger = logger;
    this.#note = noteOf(git);
  }

  /**
   * Asks the remote, and brings the branch here (`head`; null: it has no commit) to where the remote's is. Never rejects: how it ended is the remote's
   * `problem`.
   */
  async look(head: string | null): Promise<void> {
    const before = this.#remote.problem;
    try {
      await this.#follow(head, await this.#remote.fetchBranch(head));
      this.#remote.looked(undefined);
      if (before !== undefined) this.#logger.info(`${this.#remote.url} answers again`);
    } catch (error) {
      const { message } = error as Error;
      this.#remote.looked(error instanceof RecordError ? error : new RecordError("GitFailed", message, { cause: error }));
      if (message !== before?.message && !this.#remote.hungUp)
        this.#logger.warn(`the record's remote cannot be followed: ${message}; what is published is served on`);
    }
  }

  /** Throws what a push would fail with, without asking: its pause is not over. */
  refuseToPush(): void {
    this.#remote.refuseToPush();
  }

  /** Moves the remote's branch, as Remote.push. From then on it is ours, and what happens to it there counts here. */
  async push(move: Parameters<Remote["push"]>[0]): Promise<void> {
    await this.#remote.push(move);
    await this.#adopt();
  }

  async #follow(head: string | null, fetched: string | null): Promise<void> {
    if (fetched === null) {
      // A remote that is new, or was made anew: what is here is what it had, with its memory.
      if (head === null) return;
      await this.#remote.push({ from: null, to: head });
      this.#logger.warn(`${this.#remote.url} had no branch ${this.#remote.branch}; the record's history was pushed there`);
    } else if (head === null) await this.#move(fetched, head);
    else if (fetched !== head) await this.#bring(head, fetched);
    await this.#adopt();
  }

  async #bring(head: string, fetched: string): Promise<void> {
    // Of a remote that was followed before everything counts, a rewritten history too: what is published is guarded elsewhere.
    if (await this.#adopted()) return this.#move(fetched, head);
    const { url, branch } = this.#remote;
    const base = await this.#git.try(["merge-base", "--end-of-options", head, fetched]);
    const shared = base.stdout.toString("utf8").trim();
    if (shared === fetched) return this.#remote.push({ from: fetched, to: head });
    if (shared !== "") return this.#move(fetched, head);
    throw new RecordError(
      "RecordConflict",
      `${url} has another history on its branch ${branch} than the record here (${this.#git.directory}): nothing is pushed or served from there. ` +
        "Name another branch or repository (record.remote), or move the record here away to go on with theirs",
    );
  }

  async #move(to: string, from: string | null): Promise<void> {
    await this.#git.run([
      "update-ref",
      "-m",
      "wharfinger: fetched",
      `refs/heads/${this.#remote.branch}`,
      to,
      from ?? "0".repeat(to.length),
    ]);
  }

  async #adopted(): Promise<boolean> {
    return (await readFile(this.#note, "utf8").catch(() => "")) === this.#content;
  }

  async #adopt(): Promise<void> {
    if (await this.#adopted()) return;
    await writeFile(`${this.#note}.new`, this.#content, { flush: true });
    await rename(`${this.#note}.new`, this.#note);
  }

  get #content(): string {
    return `${this.#remote.url} ${this.#remote.branch}\n`;
  }
}

/** Beside the repository's own files: whose branch the one here is. */
export function noteOf(git: Git): string {
  return join(git.directory, "wharfinger", "remote");
}
