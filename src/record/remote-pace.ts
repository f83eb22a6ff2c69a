// When the remote is asked next: at an interval while it answers, less and less often while it does not, at once when there is a reason.

/** Milliseconds: the first pause after a failure, and the longest. It doubles. A remote that is back is found within the longest. */
const firstPause = 1_000;
const longestPause = 20_000;

export class Pace {
  readonly #wake: () => void;
  readonly #interval: number | undefined;
  #next = -Infinity;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** `wake` is called when something is due; `interval` (milliseconds): also without a failure. */
  constructor({ wake, interval }: { wake: () => void; interval?: number }) {
    this.#wake = wake;
    this.#interval = interval;
  }

  get due(): boolean {
    return performance.now() >= this.#next;
  }

  /** Somebody asks. What fails is left its pause, and the answer is false: asking more often makes no remote well. */
  soon(): boolean {
    if (this.#failures === 0) this.#next = -Infinity;
    return this.#failures === 0;
  }

  /** What failed may work now: other credentials. */
  again(): void {
    this.#failures = 0;
    this.#next = -Infinity;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#plan(this.#interval);
  }

  failed(): void {
    this.#plan(Math.min(firstPause * 2 ** this.#failures, longestPause));
    this.#failures += 1;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #plan(pause: number | undefined): void {
    clearTimeout(this.#timer);
    this.#next = pause === undefined ? -Infinity : performance.now() + pause;
    if (pause !== undefined && !this.#stopped) this.#timer = setTimeout(this.#wake, pause).unref();
  }
}
