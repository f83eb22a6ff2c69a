// Slows whoever guesses passwords, per source and per name, in bounded memory. Nobody is locked out: a right password only comes later.

import { setTimeout as sleep } from "node:timers/promises";

import { LRUCache } from "lru-cache";

import { ServiceError } from "../services/errors.ts";

export interface BrakeOptions {
  /** Failures that cost nothing yet. */
  readonly free: number;
  /** Milliseconds after the first one that does; doubled by each further one. */
  readonly first: number;
  readonly longest: number;
  /** Attempts that may be held back at the same time. */
  readonly waiting: number;
}

export const defaultBrake: BrakeOptions = { free: 3, first: 250, longest: 8_000, waiting: 64 };

const rememberedFor = 15 * 60_000;

export class LoginBrake {
  readonly #options: BrakeOptions;
  readonly #failures = new LRUCache<string, number>({ max: 10_000, ttl: rememberedFor });
  #waiting = 0;

  constructor(options: BrakeOptions = defaultBrake) {
    this.#options = options;
  }

  /** Resolves when the attempt may be checked; rejects with ServiceError TOOMANYREQUESTS when too many wait. */
  async hold(source: string, name: string): Promise<void> {
    const delay = Math.max(this.#delayOf(`source ${source}`), this.#delayOf(`name ${name}`));
    if (delay === 0) return;
    if (this.#waiting >= this.#options.waiting) {
      throw new ServiceError("TOOMANYREQUESTS", "Too many failed logins. Try again later.", {
        retryAfter: Math.ceil(this.#options.longest / 1000),
      });
    }
    this.#waiting++;
    try {
      await sleep(delay, undefined, { ref: false });
    } finally {
      this.#waiting--;
    }
  }

  failed(source: string, name: string): void {
    for (const key of [`source ${source}`, `name ${name}`]) this.#failures.set(key, (this.#failures.get(key) ?? 0) + 1);
  }

  succeeded(source: string, name: string): void {
    this.#failures.delete(`source ${source}`);
    this.#failures.delete(`name ${name}`);
  }

  #delayOf(key: string): number {
    const counted = (this.#failures.get(key) ?? 0) - this.#options.free;
    return counted <= 0 ? 0 : Math.min(this.#options.first * 2 ** (counted - 1), this.#options.longest);
  }
}
