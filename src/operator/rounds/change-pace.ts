// How often one resource is recorded, and how much of one tenant. Two programs that fight over a field change it each second for as long as nobody looks, and
// a tenant may have a thousand resources: each change would be a commit, a push and a job, and every process that has the record keeps its whole
// history in mind.

/** So many changes are recorded as they come; from then on one each `every` milliseconds, and what was saved up again. */
export interface Pace {
  readonly burst: number;
  readonly every: number;
}

const ofResource: Pace = { burst: 100, every: 60_000 };
/** As many resources as a tenant applies at once, and then one a second: 86,400 commits are a day of it. */
const ofNamespace: Pace = { burst: 1_000, every: 1_000 };

export class ChangePace {
  readonly #resources: Budgets;
  readonly #namespaces: Budgets;

  /** `now`: milliseconds of a clock that only goes forward. */
  constructor({
    resource = ofResource,
    namespace = ofNamespace,
    now = () => performance.now(),
  }: { readonly resource?: Pace; readonly namespace?: Pace; readonly now?: () => number } = {}) {
    this.#resources = new Budgets(resource, now);
    this.#namespaces = new Budgets(namespace, now);
  }

  /** `id`: kind/namespace/name. */
  mayRecord(id: string): boolean {
    return this.#resources.left(id) >= 1;
  }

  /** How many changes of a tenant are recorded now. */
  roomIn(namespace: string): number {
    return Math.max(0, Math.floor(this.#namespaces.left(namespace)));
  }

  /** Removals among them: they are commits too. */
  recorded(ids: readonly string[]): void {
    this.#resources.spend(ids);
    this.#namespaces.spend(ids.map((id) => id.split("/")[1] ?? ""));
  }
}

class Budgets {
  readonly #pace: Pace;
  readonly #now: () => number;
  /** Of those that changed lately. */
  readonly #known = new Map<string, { readonly left: number; readonly at: number }>();

  constructor(pace: Pace, now: () => number) {
    [this.#pace, this.#now] = [pace, now];
  }

  left(name: string): number {
    const { burst, every } = this.#pace;
    const budget = this.#known.get(name);
    return budget === undefined ? burst : Math.min(burst, budget.left + (this.#now() - budget.at) / every);
  }

  /** Removals wait for no room, and leave no debt: for each of them something was recorded before, which did wait. */
  spend(names: readonly string[]): void {
    for (const name of this.#known.keys()) if (this.left(name) >= this.#pace.burst) this.#known.delete(name);
    for (const name of names) this.#known.set(name, { left: Math.max(0, this.left(name) - 1), at: this.#now() });
  }
}
