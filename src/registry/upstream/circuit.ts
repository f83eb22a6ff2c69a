// A circuit breaker: an upstream that fails again and again is not asked by everybody, but by one probe at a time.

/** Failures in a row that open the circuit. */
const threshold = 5;
const firstPause = 1000;
/** Short, so that a pull works within seconds of the upstream's return. */
const longestPause = 4000;

export class Circuit {
  #failures = 0;
  #openUntil = 0;
  #probing = false;
  readonly #now: () => number;

  constructor(options: { now: () => number }) {
    this.#now = options.now;
  }

  /** Milliseconds to wait; 0: go on (and report `succeeded` or `failed`, always). While it is open one request at a time is let through as a probe. */
  admit(): number {
    if (this.#failures < threshold) return 0;
    const wait = this.#openUntil - this.#now();
    if (wait > 0) return wait;
    if (this.#probing) return firstPause;
    this.#probing = true;
    return 0;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#probing = false;
  }

  failed(): void {
    this.#probing = false;
    this.#failures++;
    if (this.#failures < threshold) return;
    this.#openUntil = this.#now() + Math.min(firstPause * 2 ** (this.#failures - threshold), longestPause);
  }

  /** The request ended without saying anything about the upstream (the caller went away). */
  abandoned(): void {
    this.#probing = false;
  }
}
