// How often one resource is recorded. Two programs that fight over a field change it each second for as long as nobody looks: each change would be a
// commit, a push and a job, and every process that has the record keeps its whole history in mind.

/** So many changes are recorded as they come; from then on one each `every` milliseconds, and what was saved up again. */
const defaults = { burst: 100, every: 60_000 } as const;

interface Budget {
  readonly left: number;
  readonly at: number;
}

export class ChangePace {
  readonly #burst: number;
  readonly #every: number;
  readonly #now: () => number;
  /** Of those that changed lately, by id. */
  readonly #budgets = new Map<string, Budget>();

  /** `now`: milliseconds of a clock that only goes forward. */
  constructor({
    burst = defaults.burst,
    every = defaults.every,
    now = () => performance.now(),
  }: { readonly burst?: number; readonly every?: number; readonly now?: () => number } = {}) {
    [this.#burst, this.#every, this.#now] = [burst, every, now];
  }

  mayRecord(id: string): boolean {
    return this.#left(id) >= 1;
  }

  recorded(ids: readonly string[]): void {
    for (const id of this.#budgets.keys()) if (this.#left(id) >= this.#burst) this.#budgets.delete(id);
    for (const id of ids) this.#budgets.set(id, { left: this.#left(id) - 1, at: this.#now() });
  }

  #left(id: string): number {
    const budget = this.#budgets.get(id);
    return budget === undefined ? this.#burst : Math.min(this.#burst, budget.left + (this.#now() - budget.at) / this.#every);
  }
}
