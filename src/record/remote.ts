// The branch of a remote repository that is the record: fetched, and pushed to by compare-and-swap (design: record, "When Git is not well").

import { RecordError } from "./errors.ts";
import type { Git, GitAnswer } from "./git.ts";
import { refs } from "./references.ts";
import { RemoteAccess } from "./remote-access.ts";
import type { RemoteOptions } from "./remote-options.ts";
import { Pace } from "./remote-pace.ts";
import { pushRefusal, readRefusal, remoteFailure } from "./remote-words.ts";

/** Bytes of git's answers that are read: names of references, never content. */
const maxBytes = 1024 * 1024;
/** The first fetch brings the whole history: so many times the usual patience. */
const firstFetch = 10;

/** The name that our calls give the remote. The repository's configuration has none, so that no other call can reach for it. */
const name = "record";

export class Remote {
  readonly #git: Git;
  readonly #options: RemoteOptions;
  readonly #access: RemoteAccess;
  readonly #fetches: Pace;
  readonly #pushes: Pace;
  readonly #abort = new AbortController();
  #credentials: string | undefined;
  #problem: RecordError | undefined;
  #pushProblem: RecordError | undefined;
  #raced = false;

  /** `wake` is called when the remote should be looked at. */
  constructor(git: Git, options: RemoteOptions, wake: () => void) {
    this.#git = git;
    this.#options = options;
    this.#access = new RemoteAccess(options);
    this.#fetches = new Pace({ wake, interval: options.interval });
    this.#pushes = new Pace({ wake });
  }

  get url(): string {
    return this.#options.url;
  }

  /** In words that follow "the record". */
  get place(): string {
    const { url, branch, folder } = this.#options;
    return `at ${url} (branch ${branch}${folder === "" ? "" : `, folder ${folder}`})`;
  }

  get branch(): string {
    return this.#options.branch;
  }

  /** Why what is known of the branch may be old; undefined after a fetch or a push that succeeded. */
  get problem(): RecordError | undefined {
    return this.#problem;
  }

  /** Whether to ask now: its time has come, somebody wants to know, or there are other credentials than the last time. */
  isDue(): boolean {
    const credentials = this.#access.fingerprint();
    if (credentials !== this.#credentials) {
      this.#credentials = credentials;
      this.#fetches.again();
      this.#pushes.again();
    }
    return this.#fetches.due;
  }

  /** The next look asks the remote, unless it just failed to answer: then false. */
  soon(): boolean {
    return this.#fetches.soon();
  }

  /**
   * The commit at which the branch is, its whole history with it; null: there is no such branch. `known`: what is here of it.
   * Rejects with RecordError RemoteUnavailable or RemoteRefused.
   */
  async fetchBranch(known: string | null): Promise<string | null> {
    const options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance"];
    const refspec = `+refs/heads/${this.branch}:${refs.fetched}`;
    const timeout = this.#options.timeout * (known === null ? firstFetch : 1);
    const answer = await this.#ask(["fetch", ...options, "--end-of-options", name, refspec], timeout);
    const absent = answer.code !== 0 && /couldn't find remote ref/.test(answer.stderr);
    if (answer.code !== 0 && !absent) throw remoteFailure("fetch from", this.#options, { timeout, answer });
    this.#problem = undefined;
    return absent ? null : this.#git.line(["rev-parse", "--verify", "--end-of-options", refs.fetched]);
  }

  /** How a look at the remote ended. The next one is sooner after a failure, then less and less soon. */
  looked(problem: RecordError | undefined): void {
    this.#problem = problem;
    if (problem === undefined) this.#fetches.succeeded();
    else this.#fetches.failed();
  }

  /**
   * Moves the remote's branch from a commit (null: there is no such branch) to a descendant of it. Rejects with RecordError: Moved when it is elsewhere
   * (fetch, decide again), PushRefused, RemoteUnavailable or RemoteRefused; after a failure with the same one, without asking, until its pause is over.
   */
  async push({ from, to }: { from: string | null; to: string }): Promise<void> {
    this.refuseToPush();
    try {
      await this.#push(from, to);
      this.#pushProblem = undefined;
      this.#pushes.succeeded();
      this.looked(undefined);
    } catch (error) {
      // Also after a failure: it may have arrived, and the answer not.
      this.#fetches.soon();
      if (!(error instanceof RecordError) || error.code === "Moved") throw error;
      this.#pushProblem = error;
      this.#pushes.failed();
      throw error;
    }
  }

  /** Throws what a push would reject with although it would ask nobody. */
  refuseToPush(): void {
    const known = this.#problem ?? (this.#pushes.due ? undefined : this.#pushProblem);
    if (known !== undefined) throw known;
  }

  /** Ends what is under way; whoever asks from now on is told that there is no answer. */
  hangUp(): void {
    this.#abort.abort();
    this.#fetches.stop();
    this.#pushes.stop();
  }

  get hungUp(): boolean {
    return this.#abort.signal.aborted;
  }

  async close(): Promise<void> {
    this.hangUp();
    await this.#access.close();
  }

  async #push(from: string | null, to: string): Promise<void> {
    const ref = `refs/heads/${this.branch}`;
    // The lease forces nothing, because `to` comes after `from`: it refuses more than a plain push, which would bring a branch forward again
    // that somebody has just taken back.
    const options = ["--porcelain", "--no-verify", "--no-signed", "--recurse-submodules=no", `--force-with-lease=${ref}:${from ?? ""}`];
    const { timeout } = this.#options;
    const answer = await this.#ask(["push", ...options, "--end-of-options", name, `${to}:${ref}`], timeout);
    if (answer.code === 0) {
      this.#raced = false;
      return;
    }
    const refusal = readRefusal(answer.stdout.toString("utf8"));
    if (refusal === undefined) throw remoteFailure("push to", this.#options, { timeout, answer });
    // A remote whose branch cannot be written says the same as one where somebody was faster, but it says it twice.
    const moved = refusal.kind === "moved" || (refusal.kind === "raced" && !this.#raced);
    this.#raced = refusal.kind === "raced";
    if (moved) throw new RecordError("Moved", "Somebody pushed to the record in the meantime");
    throw pushRefusal(this.url, refusal.reason, answer.stderr);
  }

  async #ask(args: readonly string[], timeout: number): Promise<GitAnswer> {
    const { signal } = this.#abort;
    const reach = await this.#access.reach();
    const answer = signal.aborted
      ? undefined
      : await this.#git.try(args, { configuration: [`remote.${name}.url=${this.url}`], reach, timeout, maxBytes, signal });
    if (answer === undefined || signal.aborted) throw new RecordError("RemoteUnavailable", "this process is ending");
    return answer;
  }
}
