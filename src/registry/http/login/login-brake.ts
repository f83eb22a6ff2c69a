// How long whoever guesses passwords is slowed, per source and per name, in bounded memory. Nobody is locked out: a right password only comes later.

import { createHash } from "node:crypto";

import { LRUCache } from "lru-cache";

import type { LoginAttempt } from "./login-places.ts";
import { networkOf, sourceOf } from "../limits/sources.ts";

export interface BrakeOptions {
  /** Failures that cost nothing yet. */
  readonly free: number;
  /** Milliseconds after the first one that does; doubled by each further one. */
  readonly first: number;
  readonly longest: number;
}

export const defaultBrake: BrakeOptions = { free: 3, first: 250, longest: 8_000 };

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

  constructor(options: BrakeOptions = defaultBrake) {
    this.#options = options;
  }

  /** Milliseconds before the attempt may be checked. */
  pauseOf(address: string, name: string): number {
    return Math.max(this.#delayOf(`source ${sourceOf(address)}`), this.#delayOf(nameKey(name)));
  }

  /** How an attempt counts in the queue. `recognized`: these credentials were right lately. */
  attemptOf(address: string, { recognized }: { readonly recognized: boolean }): LoginAttempt {
    return {
      source: sourceOf(address),
      network: networkOf(address),
      failing: !recognized && this.hasFailed(address),
      known: recognized || this.hasSucceeded(address),
    };
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
