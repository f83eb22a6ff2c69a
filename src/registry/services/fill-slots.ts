// How many blobs are fetched from one Upstream at once. The others wait: an upstream that never ends its answers holds so many, and no more.

export class FillSlots {
  readonly #max: number;
  readonly #taken = new Map<string, number>();
  readonly #waiting = new Map<string, (() => void)[]>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Resolves in the order of the calls, when one of the slots of `upstream` is free. Call the result once, when it is to be free again. */
  async take(upstream: string): Promise<() => void> {
    const taken = this.#taken.get(upstream) ?? 0;
    if (taken < this.#max) this.#taken.set(upstream, taken + 1);
    else {
      await new Promise<void>((resolve) => {
        const waiting = this.#waiting.get(upstream) ?? [];
        waiting.push(resolve);
        this.#waiting.set(upstream, waiting);
      });
    }
    return () => this.#free(upstream);
  }

  /** Whoever waits longest takes the slot over. */
  #free(upstream: string): void {
    const waiting = this.#waiting.get(upstream);
    const next = waiting?.shift();
    if (waiting?.length === 0) this.#waiting.delete(upstream);
    if (next !== undefined) return next();
    const taken = (this.#taken.get(upstream) ?? 1) - 1;
    if (taken === 0) this.#taken.delete(upstream);
    else this.#taken.set(upstream, taken);
  }
}
