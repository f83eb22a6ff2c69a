// Keys that wait to be worked on: each once, together with what comes in the same breath, later when it failed.

export interface BatchQueueOptions {
  /** Works on what waited. Resolves with the keys that must be tried again. */
  readonly work: (keys: ReadonlySet<string>) => Promise<Iterable<string>>;
  readonly onError: (error: unknown) => void;
  /** Milliseconds without a new key before work begins, and the longest wait (design: record, "One rule": pushes and publishes take everything that waits). */
  readonly quiet?: number;
  readonly longest?: number;
  /**
   * Milliseconds of the first pause after a failure, and of the longest; it doubles. 30 s are soon enough for a machine that is short of
   * file descriptors, memory or processes, and rare enough for one that is not there: all that is asked is of this machine and of our own registry.
   */
  readonly firstPause?: number;
  readonly longestPause?: number;
}

export class BatchQueue {
  readonly #options: Required<BatchQueueOptions>;
  #waiting = new Set<string>();
  #since = 0;
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;
  #stopped = false;
  readonly #failures = new Map<string, { count: number; timer: NodeJS.Timeout }>();

  constructor(options: BatchQueueOptions) {
    this.#options = { quiet: 200, longest: 2_000, firstPause: 1_000, longestPause: 30_000, ...options };
  }

  /** A key that failed is not kept waiting by its pause: there is something new. The pauses grow on until it succeeds. */
  add(key: string): void {
    if (this.#stopped) return;
    if (this.#waiting.size === 0) this.#since = Date.now();
    this.#waiting.add(key);
    if (this.#working === undefined) this.#schedule();
  }

  /** The same is still to be done, and nothing is new: a key that failed waits for the end of its pause. */
  remind(key: string): void {
    if (!this.#failures.has(key)) this.add(key);
  }

  /** Ends after what is being worked on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const { timer } of this.#failures.values()) clearTimeout(timer);
    await this.#working;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const waited = Date.now() - this.#since;
    const pause = Math.max(0, Math.min(this.#options.quiet, this.#options.longest - waited));
    this.#timer = setTimeout(() => {
      this.#working = this.#run().finally(() => {
        this.#working = undefined;
        if (this.#waiting.size > 0 && !this.#stopped) this.#schedule();
      });
    }, pause);
  }

  async #run(): Promise<void> {
    const keys = this.#waiting;
    this.#waiting = new Set();
    let failed: ReadonlySet<string>;
    try {
      failed = new Set(await this.#options.work(keys));
    } catch (error) {
      this.#options.onError(error);
      failed = keys;
    }
    for (const key of keys) {
      if (failed.has(key)) this.#later(key);
      else this.#forget(key);
    }
  }

  #later(key: string): void {
    if (this.#stopped) return;
    const count = (this.#failures.get(key)?.count ?? 0) + 1;
    this.#forget(key);
    const pause = Math.min(this.#options.firstPause * 2 ** (count - 1), this.#options.longestPause);
    this.#failures.set(key, { count, timer: setTimeout(() => this.add(key), pause) });
  }

  #forget(key: string): void {
    clearTimeout(this.#failures.get(key)?.timer);
    this.#failures.delete(key);
  }
}
