// A batch of commits on top of what was read: written and judged, then at the remote, then on the branch here, with the work tree behind it.

import { failpoint } from "#failpoints";

import type { Logger } from "../observability/logger.ts";
import type { AllowedSigners } from "./allowed-signers.ts";
import { moveBranch, writeCommits, type PlannedCommit } from "./commits.ts";
import { RecordError } from "./errors.ts";
import { firstFiles } from "./first-files.ts";
import type { Following } from "./following.ts";
import type { Author, Git } from "./git.ts";
import { clearStaleLocks } from "./locks.ts";
import type { Reading } from "./reading.ts";
import type { RemoteBranch } from "./remote-branch.ts";
import type { Signing } from "./signing.ts";

export interface CommittingOptions {
  readonly git: Git;
  readonly branch: string;
  readonly author: Author;
  readonly now: () => Date;
  /** Of the repository, where the record lies; "": its root. */
  readonly place: string;
  readonly reading: Reading;
  readonly following: Following | undefined;
  readonly remoteBranch: RemoteBranch | undefined;
  readonly signing: Signing | undefined;
  readonly signers: AllowedSigners | undefined;
  readonly logger: Logger;
}

/** Milliseconds: an older reference lock belongs to nobody. */
const staleLock = 10_000;

export class Committing {
  readonly #options: CommittingOptions;
  /** Why the first commit could not be made, as last said. */
  #obstacle: string | undefined;

  constructor(options: CommittingOptions) {
    this.#options = options;
  }

  /** Rejects as GitRecord.commit. Returns the ids, in order. */
  async commit(commits: readonly PlannedCommit[]): Promise<readonly string[]> {
    const { git, branch, author, now, place, reading, following, remoteBranch, signing, signers } = this.#options;
    const from = reading.view.head;
    remoteBranch?.refuseToPush();
    if (signers?.problem !== undefined) throw signers.problem;
    const ids = await writeCommits(git, commits, { parent: from, author, now: now(), folder: place, signing });
    const to = ids.at(-1);
    if (to === undefined) return ids;
    await signers?.judgeOwn(git, ids);
    await failpoint("record.written");
    await this.clearLocks();
    await remoteBranch?.push({ from, to });
    await failpoint("record.pushed");
    await following?.begin(from);
    await moveBranch(git, branch, { from, to });
    await failpoint("record.moved");
    await reading.advance(to);
    // A person may have committed on top meanwhile: the work tree goes where the branch is now.
    await reading.references.read();
    await following?.follow(reading.references.head);
    return ids;
  }

  /**
   * The first commit. At a remote another operator may be faster: `moved` is called, and the next look finds theirs. What is in the way keeps nobody
   * from serving.
   */
  async begin(installation: string, moved: () => void): Promise<void> {
    try {
      await this.commit([firstFiles(installation)]);
      this.#obstacle = undefined;
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      if (error.code === "Moved") return moved();
      if (error.message !== this.#obstacle) this.#options.logger.warn(`the record cannot begin: ${error.message}`);
      this.#obstacle = error.message;
    }
  }

  /** Before the branch moves. */
  async clearLocks(): Promise<void> {
    const { git, branch, logger } = this.#options;
    const removed = await clearStaleLocks(git.directory, branch, { age: staleLock, wait: false });
    if (removed.length > 0) logger.warn({ locks: removed }, "removed lock files that another git left in the record");
  }
}
