// The record as the operator holds it: opened once, read when the branch moves, written in batches.

import { failpoint } from "#failpoints";

import { AllowedSigners } from "./allowed-signers.ts";
import { moveBranch, writeCommits, type PlannedCommit } from "./commits.ts";
import { RecordError } from "./errors.ts";
import { firstFiles } from "./first-files.ts";
import { Following } from "./following.ts";
import type { Author, Git } from "./git.ts";
import { History } from "./history.ts";
import { HttpBackend, type GitAnswer, type GitExchange } from "./http-backend.ts";
import { installationOf } from "./installation.ts";
import { clearStaleLocks } from "./locks.ts";
import { settleIn } from "./moving.ts";
import { openRepository, type OpenedRepository, type OpeningOptions } from "./opening.ts";
import { emptyView, ViewReader, type RecordView } from "./record-view.ts";
import type { NamedSecret } from "./named-secret.ts";
import { References, type Confirmations } from "./references.ts";
import { RemoteBranch } from "./remote-branch.ts";
import { Remote } from "./remote.ts";
import { Signing } from "./signing.ts";
import { listTree } from "./tree.ts";
import { watchReferences } from "./watch.ts";

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

/** Milliseconds: an older reference lock belongs to nobody. */
const staleLock = 10_000;

/** Opens the record, or makes it. Rejects with RecordError GitMissing, NotARepository. What a crash left half done is finished here. */
export async function openRecord(options: RecordOptions): Promise<GitRecord> {
  const opened = await openRepository(options);
  const installation = options.installation ?? (await installationOf(opened.git.directory));
  const record = new GitRecord(opened, options, installation);
  await record.start(opened);
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
  /** Where the record is this folder. */
  readonly #following: Following | undefined;
  readonly #backend: HttpBackend | undefined;
  /** Where it is not. */
  readonly #remote: Remote | undefined;
  readonly #remoteBranch: RemoteBranch | undefined;
  /** Of the repository, where the record lies. */
  readonly #place: string;
  readonly #signing: Signing | undefined;
  readonly #signers: AllowedSigners | undefined;
  readonly #listeners = new Set<() => void>();
  #history: History;
  #view: RecordView = emptyView;
  /** What the registry has published, where nothing here says from where on commits are judged; undefined: it was not asked. */
  #anchor: string | null | undefined;
  /** Why the first commit could not be made, as last said. */
  #obstacle: string | undefined;
  #stopWatching: () => void = () => undefined;
  #work: Promise<unknown> = Promise.resolve();
  #housekeeping: Promise<unknown> = Promise.resolve();

  constructor({ git, branch, folder }: OpenedRepository, options: RecordOptions, installation: string) {
    this.#git = git;
    this.branch = branch;
    this.#options = options;
    this.folder = folder;
    this.installation = installation;
    const { logger, remote, signingKey, allowedSigners } = options;
    this.#signing = signingKey === undefined ? undefined : new Signing(signingKey);
    this.#signers = allowedSigners === undefined ? undefined : new AllowedSigners(allowedSigners, logger);
    this.#place = remote?.folder ?? "";
    this.#history = new History(this.#place);
    this.#reader = new ViewReader({ git, folder: this.#place });
    this.#references = new References(git, branch);
    if (remote === undefined) {
      this.#following = new Following({ git, folder, branch, logger, read: (blobs) => this.#reader.bytesOf(blobs) });
      this.#backend = new HttpBackend(git, branch);
      return;
    }
    this.#remote = new Remote(git, remote, () => this.#notify());
    this.#remoteBranch = new RemoteBranch({ git, remote: this.#remote, logger });
  }

  /**
   * Mends what a crash left, reads the history once, writes the first commit of a new record where that can be. A remote is not asked yet: it may take its time.
   * `emptied`: the work tree is, and gets its files back.
   */
  async start({ emptied }: Pick<OpenedRepository, "emptied">): Promise<void> {
    await this.#following?.mend();
    if (emptied) {
      await this.#following?.begin(null);
      await settleIn(this.#git);
    }
    if (this.#remote === undefined) await this.refresh();
    else await this.#alone(() => this.#readHere());
    // Six objects a commit: git packs them when there are thousands. Nobody waits for it.
    this.#housekeeping = this.#git
      .try(["gc", "--auto", "--quiet"])
      .catch((error: unknown) => this.#options.logger.warn({ err: error }, "git could not tidy the record; the next start tries again"));
    this.#stopWatching = watchReferences(this.#git.directory, this.branch, () => this.#notify());
  }

  get view(): RecordView {
    return this.#view;
  }

  get history(): History {
    return this.#history;
  }

  /** Files with a person's uncommitted changes that the last commits had to pass by. */
  get dirty(): readonly string[] {
    return this.#following?.dirty ?? [];
  }

  /**
   * Why the view may be older than the record: its remote could not be followed, or a commit is by nobody who is allowed. Then nothing is published,
   * and nothing can be committed.
   */
  get problem(): RecordError | undefined {
    return this.#remote?.problem ?? this.#signers?.problem;
  }

  /** Whether only commits of allowed signers are followed. */
  get verifies(): boolean {
    return this.#signers !== undefined;
  }

  /** There are commits to judge, and nothing here says which of them are trusted: until `trustFrom` none is followed. */
  get needsAnchor(): boolean {
    return this.#signers !== undefined && this.#references.head !== null && this.#trusted().length === 0 && this.#anchor === undefined;
  }

  /** What the registry has published is trusted; null: nothing is, and the newest commit vouches for those below it. */
  trustFrom(published: string | null): void {
    this.#anchor = published;
  }

  /** Somebody wants to know: the next refresh asks the remote. False when it does not: there is none, or it just failed to answer. */
  askRemote(): boolean {
    return this.#remote?.soon() ?? false;
  }

  /** Called when somebody else may have moved the branch or confirmed something. Returns the function that ends it. */
  onMove(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads what is new; asks the remote when that is due. Cheap when nothing is new. */
  refresh(): Promise<RecordView> {
    return this.#alone(async () => {
      if (this.#remote?.isDue() === true) {
        await this.#references.read();
        await this.#remoteBranch?.look(this.#references.head);
      }
      await this.#readHere();
      if (this.#references.head === null && this.problem === undefined) await this.#begin();
      await this.#following?.follow(this.#references.head);
      return this.#view;
    });
  }

  /**
   * Commits on top of the view, at the remote first. Rejects with RecordError Moved when somebody else committed first (read again, decide again),
   * GitFailed when git cannot, and as Remote.push. Returns the ids, in order.
   */
  commit(commits: readonly PlannedCommit[]): Promise<readonly string[]> {
    return this.#alone(() => this.#commit(commits));
  }

  async #commit(commits: readonly PlannedCommit[]): Promise<readonly string[]> {
    const from = this.#view.head;
    this.#remote?.refuseToPush();
    if (this.#signers?.problem !== undefined) throw this.#signers.problem;
    const ids = await writeCommits(this.#git, commits, {
      parent: from,
      author: this.#options.author,
      now: this.#options.now?.() ?? new Date(),
      folder: this.#place,
      signing: this.#signing,
    });
    const to = ids.at(-1);
    if (to === undefined) return ids;
    await this.#judgeOwn(ids);
    await failpoint("record.written");
    await this.#clearLocks();
    await this.#remoteBranch?.push({ from, to });
    await failpoint("record.pushed");
    await this.#following?.begin(from);
    await moveBranch(this.#git, this.branch, { from, to });
    await failpoint("record.moved");
    await this.#advance(to);
    // A person may have committed on top meanwhile: the work tree goes where the branch is now.
    await this.#references.read();
    await this.#following?.follow(this.#references.head);
    return ids;
  }

  /**
   * One exchange with a person's git over HTTP, where the record is this folder. What it pushes is a commit as any that a person makes in there.
   * Rejects with RecordError GitFailed.
   */
  async serve(exchange: GitExchange): Promise<GitAnswer> {
    const backend = this.#backend;
    if (backend === undefined) throw new Error("a record that has a remote is served by that");
    if (exchange.step !== "receive-pack") return backend.answer(exchange);
    return this.#alone(async () => {
      await this.#clearLocks();
      await this.#references.read();
      await this.#following?.begin(this.#references.head);
      // Nobody's slow connection holds up the record: what was pushed is here, and the answer is taken whole.
      const answer = await backend.whole(exchange);
      this.#notify();
      return answer;
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
      return new Map((await listTree(this.#git, commit, this.#place)).map(({ path, blob }) => [path, blob]));
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
    this.#notify();
  }

  /** The word was taken; it does not count for what comes later. */
  async spend(what: keyof Confirmations): Promise<void> {
    await this.#references.remove(what);
  }

  /** Ends what is under way with the remote; nothing more is asked of it. */
  hangUp(): void {
    this.#remote?.hangUp();
  }

  async close(): Promise<void> {
    this.hangUp();
    this.#stopWatching();
    this.#listeners.clear();
    await Promise.allSettled([this.#work, this.#housekeeping]);
    await Promise.all([this.#remote?.close(), this.#signing?.close(), this.#signers?.close()]);
  }

  /** The first commit. At a remote another operator may be faster: then the next look finds theirs. What is in the way keeps nobody from serving. */
  async #begin(): Promise<void> {
    try {
      await this.#commit([firstFiles(this.installation)]);
      this.#obstacle = undefined;
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      if (error.code === "Moved") return this.#notify();
      if (error.message !== this.#obstacle) this.#options.logger.warn(`the record cannot begin: ${error.message}`);
      this.#obstacle = error.message;
    }
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  async #readHere(): Promise<void> {
    await this.#references.read();
    const head = await this.#followable();
    if (head === this.#view.head) return;
    if (head === null || !(await this.#continues(head))) this.#history = new History(this.#place);
    await this.#advance(head);
  }

  /** Where the branch is; while it holds a commit of somebody who is not allowed, what was trusted last. */
  async #followable(): Promise<string | null> {
    const { head, published } = this.#references;
    if (this.needsAnchor) return null;
    const own = this.#trusted();
    const trusted = own.length > 0 ? own : await this.#anchored(head);
    const allowed = (await this.#signers?.allow(this.#git, { head, trusted })) ?? true;
    return allowed ? head : (this.#view.head ?? published ?? trusted[0] ?? null);
  }

  /** As far as this copy of the record knows. */
  #trusted(): readonly string[] {
    const { published, confirmations } = this.#references;
    return [this.#view.head, published, confirmations.accepted].filter((commit) => commit !== null);
  }

  /** What is published, where it is part of the branch. A branch that lost it waits for a person elsewhere. */
  async #anchored(head: string | null): Promise<readonly string[]> {
    if (head === null || this.#anchor === undefined || this.#anchor === null) return [];
    return (await this.isAncestor(this.#anchor, head)) ? [this.#anchor] : [];
  }

  /** Before anybody sees them: everybody who follows this record by the same list would refuse them. */
  async #judgeOwn(ids: readonly string[]): Promise<void> {
    const doubt = await this.#signers?.doubt(this.#git, ["--no-walk", "--end-of-options", ...ids]);
    if (doubt === undefined) return;
    throw new RecordError(
      "SigningFailed",
      `the registry's own ${doubt}: nothing is committed. Name the public half of the key of record.signing there`,
    );
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
    const removed = await clearStaleLocks(this.#git.directory, this.branch, { age: staleLock, wait: false });
    if (removed.length > 0) this.#options.logger.warn({ locks: removed }, "removed lock files that another git left in the record");
  }

  /** One reader or writer at a time. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#work.then(work, work);
    this.#work = next.catch(() => undefined);
    return next;
  }
}
