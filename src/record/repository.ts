// The record as the operator holds it: opened once, read when the branch moves, written in batches.

import { mkdir, readdir } from "node:fs/promises";
import { join, resolve } from "node:path";

import type { Logger } from "../observability/logger.ts";
import { moveBranch, writeCommits, type PlannedCommit } from "./commits.ts";
import { RecordError } from "./errors.ts";
import { firstFiles } from "./first-files.ts";
import { Following } from "./following.ts";
import { findGit, Git, type Author } from "./git.ts";
import { History } from "./history.ts";
import { installationOf } from "./installation.ts";
import { clearStaleLocks } from "./locks.ts";
import { emptyView, ViewReader, type RecordView } from "./record-view.ts";
import { References, type Confirmations } from "./references.ts";
import { listTree } from "./tree.ts";
import { watchReferences } from "./watch.ts";

export interface RecordOptions {
  /** The work tree; made when it is missing. */
  readonly folder: string;
  readonly branch?: string;
  readonly author: Author;
  readonly logger: Logger;
  /** An id made once; without it one is made and kept beside the repository's own files. */
  readonly installation?: string;
  readonly now?: () => Date;
}

/** A reference lock that is older than this belongs to nobody: git holds it for milliseconds. */
const staleAtStart = 1_000;
const staleLater = 10_000;

/** Opens the record, or makes it. Rejects with RecordError GitMissing, NotARepository. What a crash left half done is finished here. */
export async function openRecord(options: RecordOptions): Promise<GitRecord> {
  const folder = resolve(options.folder);
  const directory = join(folder, ".git");
  const git = new Git({ program: await findGit(), directory, workTree: folder });
  await mkdir(folder, { recursive: true });
  const entries = await readdir(folder);
  if (!entries.includes(".git") && entries.length > 0) {
    throw new RecordError(
      "NotARepository",
      `${folder} is not empty and is no Git repository; the record would be mixed with what lies there. Move it away, or name another folder.`,
    );
  }
  const branch = options.branch ?? "wharfinger";
  const locks = await clearStaleLocks(directory, branch, { age: staleAtStart, wait: true });
  if (locks.length > 0) options.logger.warn({ locks }, "removed lock files that a crash left in the record");
  // Also in a repository that is there: git init repairs what a crash left out of it, and changes nothing else.
  await git.run(["init", "--quiet", `--initial-branch=${branch}`, "--template="]);
  await mkdir(join(directory, "wharfinger"), { recursive: true });
  await mkdir(join(directory, "refs", "wharfinger"), { recursive: true });
  const record = new GitRecord(git, branch, { ...options, folder }, options.installation ?? (await installationOf(directory)));
  await record.start();
  return record;
}

export class GitRecord {
  readonly installation: string;
  readonly folder: string;
  readonly branch: string;
  readonly #git: Git;
  readonly #options: RecordOptions;
  readonly #reader: ViewReader;
  readonly #references: References;
  readonly #following: Following;
  readonly #listeners = new Set<() => void>();
  #history = new History();
  #view: RecordView = emptyView;
  #stopWatching: () => void = () => undefined;
  #work: Promise<unknown> = Promise.resolve();
  #housekeeping: Promise<unknown> = Promise.resolve();

  constructor(git: Git, branch: string, options: RecordOptions, installation: string) {
    this.#git = git;
    this.branch = branch;
    this.#options = options;
    this.folder = options.folder;
    this.installation = installation;
    this.#reader = new ViewReader(git);
    this.#references = new References(git, branch);
    const { folder, logger } = options;
    this.#following = new Following({ git, folder, branch, logger, read: (blobs) => this.#reader.bytesOf(blobs) });
  }

  /** Mends what a crash left, reads the history once, writes the first commit of a new record. */
  async start(): Promise<void> {
    await this.#following.mend();
    await this.refresh();
    if (this.#view.head === null) await this.commit([firstFiles(this.installation)]);
    // Six objects a commit: git packs them when there are thousands. Nobody waits for it.
    this.#housekeeping = this.#git
      .try(["gc", "--auto", "--quiet"])
      .catch((error: unknown) => this.#options.logger.warn({ err: error }, "git could not tidy the record; the next start tries again"));
    this.#stopWatching = watchReferences(this.#git.directory, this.branch, () => {
      for (const listener of this.#listeners) listener();
    });
  }

  get view(): RecordView {
    return this.#view;
  }

  get history(): History {
    return this.#history;
  }

  /** Files with a person's uncommitted changes that the last commits had to pass by. */
  get dirty(): readonly string[] {
    return this.#following.dirty;
  }

  /** Called when somebody else may have moved the branch or confirmed something. Returns the function that ends it. */
  onMove(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads what is new. Cheap when nothing is. */
  refresh(): Promise<RecordView> {
    return this.#alone(async () => {
      await this.#references.read();
      const { head } = this.#references;
      if (head !== this.#view.head) {
        if (head === null || !(await this.#continues(head))) this.#history = new History();
        await this.#advance(head);
      }
      await this.#following.follow(head);
      return this.#view;
    });
  }

  /**
   * Commits on top of the view. Rejects with RecordError Moved when somebody else committed first (read again, decide again), GitFailed when git cannot.
   * Returns the ids, in order.
   */
  commit(commits: readonly PlannedCommit[]): Promise<readonly string[]> {
    return this.#alone(async () => {
      const from = this.#view.head;
      const ids = await writeCommits(this.#git, commits, {
        parent: from,
        author: this.#options.author,
        now: this.#options.now?.() ?? new Date(),
      });
      const to = ids.at(-1);
      if (to === undefined) return ids;
      await this.#clearLocks();
      await this.#following.begin(from);
      await moveBranch(this.#git, this.branch, { from, to });
      await this.#advance(to);
      // A person may have committed on top meanwhile: the work tree goes where the branch is now.
      await this.#references.read();
      await this.#following.follow(this.#references.head);
      return ids;
    });
  }

  /** Whether `ancestor` is in the history of `commit`; false when one of them does not exist here. */
  async isAncestor(ancestor: string, commit: string): Promise<boolean> {
    if (commit === this.#history.head) return this.#history.has(ancestor);
    const answer = await this.#git.try(["merge-base", "--is-ancestor", "--end-of-options", ancestor, commit]);
    return answer.code === 0;
  }

  /** The newest commit that both have; null when they share none, or one does not exist here. */
  async forkPoint(one: string, other: string): Promise<string | null> {
    const answer = await this.#git.try(["merge-base", "--end-of-options", one, other]);
    return answer.code === 0 ? answer.stdout.toString("utf8").trim() : null;
  }

  /** Paths and blobs of a commit; undefined when it does not exist here. */
  async filesAt(commit: string): Promise<ReadonlyMap<string, string> | undefined> {
    try {
      return new Map((await listTree(this.#git, commit)).map(({ path, blob }) => [path, blob]));
    } catch (error) {
      if ((await this.#git.try(["cat-file", "-e", `${commit}^{tree}`])).code === 0) throw error;
      return undefined;
    }
  }

  /** As of the last refresh, like the view. */
  get published(): string | null {
    return this.#references.published;
  }

  async markPublished(commit: string): Promise<void> {
    await this.#references.set("published", commit);
  }

  /** As of the last refresh, like the view. */
  get confirmations(): Confirmations {
    return this.#references.confirmations;
  }

  /** A person's word. `accepted`: a rewritten history counts from this commit on; `removal`: what waits to be removed at this commit may go. */
  async confirm(what: keyof Confirmations, commit: string): Promise<void> {
    await this.#references.set(what, commit);
    for (const listener of this.#listeners) listener();
  }

  /** The word was taken; it does not count for what comes later. */
  async spend(what: keyof Confirmations): Promise<void> {
    await this.#references.remove(what);
  }

  async close(): Promise<void> {
    this.#stopWatching();
    this.#listeners.clear();
    await Promise.allSettled([this.#work, this.#housekeeping]);
  }

  /** Whether what is known of the history is part of the history of `head`. */
  async #continues(head: string): Promise<boolean> {
    const known = this.#history.head;
    return known === null || (await this.isAncestor(known, head));
  }

  async #advance(head: string | null): Promise<void> {
    if (head !== null) await this.#history.advance(this.#git, head);
    this.#view = await this.#reader.read(this.#history);
  }

  async #clearLocks(): Promise<void> {
    const removed = await clearStaleLocks(this.#git.directory, this.branch, { age: staleLater, wait: false });
    if (removed.length > 0) this.#options.logger.warn({ locks: removed }, "removed lock files that another git left in the record");
  }

  /** One reader or writer at a time. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#work.then(work, work);
    this.#work = next.catch(() => undefined);
    return next;
  }
}
