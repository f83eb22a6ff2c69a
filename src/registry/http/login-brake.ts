// Slows whoever guesses passwords, per source and per name, in bounded memory. Nobody is locked out: a right password only comes later.

import { setTimeout as sleep } from "node:timers/promises";

import { LRUCache } from "lru-cache";

import { ServiceError } from "../services/errors.ts";
import { LoginPlaces } from "./login-places.ts";

export interface BrakeOptions {
  /** Failures that cost nothing yet. */
  readonly free: number;
  /** Milliseconds after the first one that does; doubled by each further one. */
  readonly first: number;
  readonly longest: number;
  /** Attempts that may be held back at the same time: of one source a quarter, of all sources that failed a half. */
  readonly waiting: number;
}

export const defaultBrake: BrakeOptions = { free: 3, first: 250, longest: 8_000, waiting: 64 };

const rememberedFor = 15 * 60_000;

export class LoginBrake {
  readonly #options: BrakeOptions;
  readonly #failures = new LRUCache<string, number>({ max: 10_000, ttl: rememberedFor });
  readonly #places: LoginPlaces;

  constructor(options: BrakeOptions = defaultBrake) {
    this.#options = options;
    const quarter = Math.ceil(options.waiting / 4);
    this.#places = new LoginPlaces({
      all: options.waiting,
      ofOneSource: quarter,
      failing: Math.ceil(options.waiting / 2),
      ofOneFailingSource: quarter,
    });
  }

  /**
   * Resolves when the attempt may be checked; rejects with ServiceError TOOMANYREQUESTS when too many wait. A source that never failed is not
   * refused for the failures of others with its name: where it finds no place it is checked at once.
   */
  async hold(source: string, name: string): Promise<void> {
    const delay = Math.max(this.#delayOf(`source ${source}`), this.#delayOf(`name ${name}`));
    if (delay === 0) return;
    const failing = this.hasFailed(source);
    const wait = () => sleep(delay, undefined, { ref: false });
    await this.#places.within({ source, failing }, wait, () => {
      if (!failing) return;
      throw new ServiceError("TOOMANYREQUESTS", "Too many failed logins. Try again later.", {
        retryAfter: Math.ceil(this.#options.longest / 1000),
      });
    });
  }

  /** Lately, and without a success since. */
  hasFailed(source: string): boolean {
    return this.#failures.has(`source ${source}`);
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
