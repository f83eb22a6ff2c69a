// The record as the operator holds it: opened once, read when the branch moves, written in batches.

import type { Logger } from "../observability/logger.ts";
import { AllowedSigners } from "./allowed-signers.ts";
import { forkPoint } from "./ancestry.ts";
import type { PlannedCommit } from "./commits.ts";
import { Committing } from "./committing.ts";
import type { RecordError } from "./errors.ts";
import { Following } from "./following.ts";
import type { Git } from "./git.ts";
import type { History } from "./history.ts";
import type { GitAnswer, GitExchange } from "./http-backend.ts";
import { installationOf } from "./installation.ts";
import { settleIn } from "./moving.ts";
import { openRepository, type OpenedRepository, type RecordOptions } from "./opening.ts";
import { Reading } from "./reading.ts";
import type { RecordView } from "./record-view.ts";
import { decisionRef, refs, type Confirmations, type Decision } from "./references.ts";
import { RemoteBranch } from "./remote-branch.ts";
import { Remote } from "./remote.ts";
import type { RemovalWord } from "./removal-word.ts";
import { ServedRecord } from "./served-record.ts";
import { Signing } from "./signing.ts";
import { watchReferences } from "./watch.ts";

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
  readonly #logger: Logger;
  readonly #reading: Reading;
  readonly #committing: Committing;
  /** Where the record is this folder. */
  readonly #following: Following | undefined;
  readonly #served: ServedRecord | undefined;
  /** Where it is not. */
  readonly #remote: Remote | undefined;
  readonly #remoteBranch: RemoteBranch | undefined;
  readonly #signing: Signing | undefined;
  readonly #signers: AllowedSigners | undefined;
  readonly #listeners = new Set<() => void>();
  #stopWatching: () => void = () => undefined;
  #work: Promise<unknown> = Promise.resolve();
  #housekeeping: Promise<unknown> = Promise.resolve();

  constructor({ git, branch, folder }: OpenedRepository, options: RecordOptions, installation: string) {
    this.#git = git;
    this.branch = branch;
    this.folder = folder;
    this.installation = installation;
    const { logger, remote, signingKey, allowedSigners } = options;
    this.#logger = logger;
    this.#signing = signingKey === undefined ? undefined : new Signing(signingKey);
    this.#signers = allowedSigners === undefined ? undefined : new AllowedSigners(allowedSigners, logger);
    const [place, signing, signers] = [remote?.folder ?? "", this.#signing, this.#signers];
    const reading = new Reading({ git, branch, place, signers });
    this.#reading = reading;
    if (remote === undefined) {
      const following = new Following({ git, folder, branch, logger, read: (blobs) => reading.bytesOf(blobs) });
      this.#following = following;
      this.#served = new ServedRecord({ git, branch, reading, following, signers, logger });
    } else {
      this.#remote = new Remote(git, remote, () => this.#notify());
      this.#remoteBranch = new RemoteBranch({ git, remote: this.#remote, logger });
    }
    const { author, now = () => new Date() } = options;
    const [following, remoteBranch] = [this.#following, this.#remoteBranch];
    this.#committing = new Committing({ git, branch, author, now, place, reading, following, remoteBranch, signing, signers, logger });
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
    else await this.#alone(() => this.#reading.read());
    // Six objects a commit: git packs them when there are thousands. Nobody waits for it.
    this.#housekeeping = this.#git
      .try(["gc", "--auto", "--quiet"])
      .catch((error: unknown) => this.#logger.warn({ err: error }, "git could not tidy the record; the next start tries again"));
    this.#stopWatching = watchReferences(this.#git.directory, this.branch, () => this.#notify());
  }

  /** Where it is, in words that follow "the record". */
  get place(): string {
    return this.#remote === undefined ? `in ${this.folder}` : this.#remote.place;
  }

  /** What names another place. */
  get placedBy(): string {
    return this.#remote === undefined ? "the folder of the record" : "record.remote.branch, record.remote.folder";
  }

  get view(): RecordView {
    return this.#reading.view;
  }

  get history(): History {
    return this.#reading.history;
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
    return this.#reading.needsAnchor;
  }

  /** What the registry has published is trusted; null: nothing is, and the newest commit vouches for those below it. */
  trustFrom(published: string | null): void {
    this.#reading.trustFrom(published);
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
        await this.#reading.references.read();
        await this.#remoteBranch?.look(this.#reading.references.head);
      }
      await this.#reading.read();
      if (this.#reading.references.head === null && this.problem === undefined)
        await this.#committing.begin(this.installation, () => this.#notify());
      await this.#following?.follow(this.#reading.references.head);
      return this.view;
    });
  }

  /**
   * Commits on top of the view, at the remote first. Rejects with RecordError Moved when somebody else committed first (read again, decide again),
   * GitFailed when git cannot, and as Remote.push. Returns the ids, in order.
   */
  commit(commits: readonly PlannedCommit[]): Promise<readonly string[]> {
    return this.#alone(() => this.#committing.commit(commits));
  }

  /**
   * One exchange with a person's git over HTTP, where the record is this folder. What it pushes is a commit as any that a person makes in there.
   * Rejects with RecordError GitFailed.
   */
  async serve(exchange: GitExchange): Promise<GitAnswer> {
    const served = this.#served;
    if (served === undefined) throw new Error("a record that has a remote is served by that");
    if (exchange.step !== "receive-pack") return served.read(exchange);
    return this.#alone(async () => {
      await this.#committing.clearLocks();
      const answer = await served.push(exchange);
      this.#notify();
      return answer;
    });
  }

  /** Whether `ancestor` is in the history of `commit`; false when one of them does not exist here. */
  isAncestor(ancestor: string, commit: string): Promise<boolean> {
    return this.#reading.isAncestor(ancestor, commit);
  }

  /** The newest commit that both have; null when they share none, or one does not exist here. */
  forkPoint(one: string, other: string): Promise<string | null> {
    return forkPoint(this.#git, one, other);
  }

  /** Paths and blobs of a commit; undefined when it does not exist here. */
  filesAt(commit: string): Promise<ReadonlyMap<string, string> | undefined> {
    return this.#reading.filesAt(commit);
  }

  /** As of the last refresh, like the view. */
  get published(): string | null {
    return this.#reading.references.published;
  }

  async markPublished(commit: string): Promise<void> {
    await this.#reading.references.set(refs.published, commit);
  }

  /** As of the last refresh, like the view. */
  get confirmations(): Confirmations {
    return this.#reading.references.confirmations;
  }

  /**
   * A person's word. `accepted`: a rewritten history counts from this commit on; `removal`: what waits to be removed at this commit may go, where
   * `namespace` is named only what is in it.
   */
  async confirm(what: Decision, commit: string, namespace?: string): Promise<void> {
    await this.#reading.references.set(decisionRef(what, namespace), commit);
    this.#notify();
  }

  /** This word was taken; it does not count for what comes later. Another one, said meanwhile, does. */
  async spend(what: Decision, { commit, namespace }: RemovalWord): Promise<void> {
    await this.#reading.references.remove(decisionRef(what, namespace), commit);
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
    await Promise.all([this.#remote?.close(), this.#served?.close(), this.#signing?.close(), this.#signers?.close()]);
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  /** One reader or writer at a time. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#work.then(work, work);
    this.#work = next.catch(() => undefined);
    return next;
  }
}
