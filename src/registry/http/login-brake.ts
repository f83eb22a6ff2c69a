// Slows whoever guesses passwords, per source and per name, in bounded memory. Nobody is locked out: a right password only comes later.

import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { LRUCache } from "lru-cache";

import { ServiceError } from "../services/errors.ts";
import { LoginPlaces, networkOf, sourceOf } from "./login-places.ts";

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

/** A host that logged in today is trusted to be one of ours, for the places that are kept for those. */
const knownFor = 24 * 60 * 60_000;
const remembered = 10_000;

/** `address` is that of the socket: what counts as one source is decided here. */
export class LoginBrake {
  readonly #options: BrakeOptions;
  readonly #failures = new LRUCache<string, number>({ max: remembered, ttl: rememberedFor });
  /** By source and name: what a success takes back of its source's failures. */
  readonly #ofPair = new LRUCache<string, number>({ max: remembered, ttl: rememberedFor });
  readonly #successes = new LRUCache<string, true>({ max: remembered, ttl: knownFor });
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
  async hold(address: string, name: string): Promise<void> {
    const source = sourceOf(address);
    const delay = Math.max(this.#delayOf(`source ${source}`), this.#delayOf(nameKey(name)));
    if (delay === 0) return;
    const failing = this.hasFailed(address);
    const wait = () => sleep(delay, undefined, { ref: false });
    await this.#places.within({ source, network: networkOf(address), failing, known: this.hasSucceeded(address) }, wait, () => {
      if (!failing) return;
      throw new ServiceError("TOOMANYREQUESTS", "Too many failed logins. Try again later.", {
        retryAfter: Math.ceil(this.#options.longest / 1000),
      });
    });
  }

  /** Lately, with a name that it had no success with since. */
  hasFailed(address: string): boolean {
    return this.#failures.has(`source ${sourceOf(address)}`);
  }

  /** Within a day. */
  hasSucceeded(address: string): boolean {
    return this.#successes.has(sourceOf(address));
  }

  failed(address: string, name: string): void {
    const source = sourceOf(address);
    for (const key of [`source ${source}`, nameKey(name)]) this.#failures.set(key, (this.#failures.get(key) ?? 0) + 1);
    const pair = pairOf(source, name);
    this.#ofPair.set(pair, (this.#ofPair.get(pair) ?? 0) + 1);
  }

  /** Forgets what failed with this name. What the source tried with others still counts: one right password is no licence to guess more. */
  succeeded(address: string, name: string): void {
    const source = sourceOf(address);
    const key = `source ${source}`;
    const pair = pairOf(source, name);
    const left = (this.#failures.get(key) ?? 0) - (this.#ofPair.get(pair) ?? 0);
    // Their time goes on: a success does not renew it.
    if (left > 0) this.#failures.set(key, left, { ttl: this.#failures.getRemainingTTL(key) });
    else this.#failures.delete(key);
    this.#ofPair.delete(pair);
    this.#failures.delete(nameKey(name));
    this.#successes.set(source, true);
  }

  #delayOf(key: string): number {
    const counted = (this.#failures.get(key) ?? 0) - this.#options.free;
    return counted <= 0 ? 0 : Math.min(this.#options.first * 2 ** (counted - 1), this.#options.longest);
  }
}

// By hash: a stranger chooses the names, and how long they are.
function nameKey(name: string): string {
  return `name ${createHash("sha256").update(name).digest("base64url")}`;
}

function pairOf(source: string, name: string): string {
  return `${source} ${nameKey(name)}`;
}
