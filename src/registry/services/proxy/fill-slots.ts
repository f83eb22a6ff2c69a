// How many blobs are fetched from one Upstream at once. The others wait: an upstream that never ends its answers holds so many, and no more.
// Senders take turns: who asks for a thousand blobs is not ahead of who comes later and wants one.

/** By sender, in the order in which they are served; of each the oldest first. */
type Line = Map<string, (() => void)[]>;

export class FillSlots {
  readonly #max: number;
  readonly #taken = new Map<string, number>();
  readonly #waiting = new Map<string, Line>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Resolves when one of the slots of `upstream` is free and it is `sender`'s turn. Call the result once, when it is to be free again. */
  async take(upstream: string, sender: string): Promise<() => void> {
    const taken = this.#taken.get(upstream) ?? 0;
    if (taken < this.#max) this.#taken.set(upstream, taken + 1);
    else {
      await new Promise<void>((resolve) => {
        const line: Line = this.#waiting.get(upstream) ?? new Map();
        const mine = line.get(sender) ?? [];
        mine.push(resolve);
        line.set(sender, mine);
        this.#waiting.set(upstream, line);
      });
    }
    return () => this.#free(upstream);
  }

  /** Whoever's turn it is takes the slot over. */
  #free(upstream: string): void {
    const next = this.#next(upstream);
    if (next !== undefined) return next();
    const taken = (this.#taken.get(upstream) ?? 1) - 1;
    if (taken === 0) this.#taken.delete(upstream);
    else this.#taken.set(upstream, taken);
  }

  #next(upstream: string): (() => void) | undefined {
    const line = this.#waiting.get(upstream);
    const [turn] = line ?? [];
    if (line === undefined || turn === undefined) return undefined;
    const [sender, mine] = turn;
    const next = mine.shift();
    // Behind the others, if there is more.
    line.delete(sender);
    if (mine.length > 0) line.set(sender, mine);
    if (line.size === 0) this.#waiting.delete(upstream);
    return next;
  }
}
