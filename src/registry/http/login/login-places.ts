// Places to wait in for a login, shared out so that nobody can hold them against the others: neither one source, nor all who fail together,
// nor a crowd of sources that nobody has seen before.

export interface PlaceLimits {
  readonly all: number;
  readonly ofOneSource: number;
  /** For all sources together that failed lately. */
  readonly failing: number;
  readonly ofOneFailingSource: number;
  /** For all attempts together that nothing speaks for; the rest of the places is for the others. No limit by default. */
  readonly unknown?: number;
  /** Of those, for one network. */
  readonly ofOneUnknownNetwork?: number;
}

export interface LoginAttempt {
  /** As `sourceOf` counts it. */
  readonly source: string;
  /** As `networkOf` counts it. */
  readonly network: string;
  /** This source failed lately. */
  readonly failing: boolean;
  /** This source logged in lately, or just these credentials did. */
  readonly known: boolean;
}

export class LoginPlaces {
  readonly #limits: PlaceLimits;
  readonly #bySource = new Map<string, number>();
  readonly #unknownByNetwork = new Map<string, number>();
  #all = 0;
  #failing = 0;
  #unknown = 0;

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  /** By all together. */
  get taken(): number {
    return this.#all;
  }

  /** Runs `work` in a place; `otherwise` says what happens when there is none. */
  async within<T>(attempt: LoginAttempt, work: () => Promise<T>, otherwise: () => T): Promise<T> {
    if (!this.#hasPlace(attempt)) return otherwise();
    this.#count(attempt, 1);
    try {
      return await work();
    } finally {
      this.#count(attempt, -1);
    }
  }

  #hasPlace({ source, network, failing, known }: LoginAttempt): boolean {
    const limits = this.#limits;
    if (this.#all >= limits.all || (failing && this.#failing >= limits.failing)) return false;
    if (!known && this.#unknown >= (limits.unknown ?? Infinity)) return false;
    if (!known && (this.#unknownByNetwork.get(network) ?? 0) >= (limits.ofOneUnknownNetwork ?? Infinity)) return false;
    return (this.#bySource.get(source) ?? 0) < (failing ? limits.ofOneFailingSource : limits.ofOneSource);
  }

  #count({ source, network, failing, known }: LoginAttempt, by: 1 | -1): void {
    this.#all += by;
    if (failing) this.#failing += by;
    add(this.#bySource, source, by);
    if (known) return;
    this.#unknown += by;
    add(this.#unknownByNetwork, network, by);
  }
}

function add(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}
