// Places to wait in for a login, shared out so that neither one source nor all who fail together can hold them against the others.

import ipaddr from "ipaddr.js";

export interface PlaceLimits {
  readonly all: number;
  readonly ofOneSource: number;
  /** For all sources together that failed lately. */
  readonly failing: number;
  readonly ofOneFailingSource: number;
}

export interface LoginAttempt {
  /** As `sourceOf` counts it. */
  readonly source: string;
  /** This source failed lately. */
  readonly failing: boolean;
}

export class LoginPlaces {
  readonly #limits: PlaceLimits;
  readonly #bySource = new Map<string, number>();
  #all = 0;
  #failing = 0;

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
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

  #hasPlace({ source, failing }: LoginAttempt): boolean {
    const limits = this.#limits;
    if (this.#all >= limits.all || (failing && this.#failing >= limits.failing)) return false;
    return (this.#bySource.get(source) ?? 0) < (failing ? limits.ofOneFailingSource : limits.ofOneSource);
  }

  #count({ source, failing }: LoginAttempt, by: 1 | -1): void {
    this.#all += by;
    if (failing) this.#failing += by;
    const ofSource = (this.#bySource.get(source) ?? 0) + by;
    if (ofSource > 0) this.#bySource.set(source, ofSource);
    else this.#bySource.delete(source);
  }
}

/** What counts as one source: an IPv4 address, of IPv6 the /64 that one subscriber has whole. */
export function sourceOf(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  return parsed instanceof ipaddr.IPv6
    ? `${parsed.parts
        .slice(0, 4)
        .map((part) => part.toString(16))
        .join(":")}::/64`
    : parsed.toString();
}
