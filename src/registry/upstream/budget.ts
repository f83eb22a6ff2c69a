// The rate budget of one upstream: pulls first, then everything else (design: upstream.md, "Rate budget").
// Known to this process alone; sharing it between pods comes with the cluster.

import { readRetryAfter } from "../../domain/retry-after.ts";
import { UpstreamError } from "./errors.ts";
import { readRateLimit, type RateLimit } from "./rate-limit.ts";
import type { UpstreamTarget } from "./target.ts";

export type Priority = "pull" | "tag-sync" | "prefetch" | "probe";

/** Pause after a 429 that names none, seconds. */
const defaultPause = 5;

export class RateBudget {
  readonly #target: UpstreamTarget;
  readonly #now: () => number;
  #learned: RateLimit | undefined;
  #learnedAt = 0;
  #blockedUntil = 0;
  #nextSlot = 0;

  constructor(target: UpstreamTarget, options: { now: () => number }) {
    this.#target = target;
    this.#now = options.now;
  }

  /** Throws UpstreamError RateLimited when the request may not go out now; waits for its turn where requestsPerSecond is set. */
  async admit(priority: Priority): Promise<void> {
    const now = this.#now();
    if (this.#blockedUntil > now)
      throw this.#limited(`answers 429 until ${new Date(this.#blockedUntil).toISOString()}`, this.#blockedUntil);
    const known = this.current();
    if (priority !== "pull" && known !== undefined && known.remaining * 100 < known.limit * this.#target.rateLimit.reservePercent) {
      throw this.#limited(
        `has ${known.remaining} of ${known.limit} requests left, which are kept for pulls`,
        known.resetsAt ?? now + 60_000,
      );
    }
    await this.#turn(now);
  }

  /** Learns from any answer. Returns the pause in seconds when it was a 429. */
  learn(status: number, headers: Readonly<Record<string, string | string[] | undefined>>): number | undefined {
    const now = this.#now();
    const stated = readRateLimit(headers, now);
    if (stated !== undefined) {
      this.#learned = stated;
      this.#learnedAt = now;
    }
    if (status !== 429) return undefined;
    const pause = readRetryAfter(headers, now) ?? defaultPause;
    this.#blockedUntil = Math.max(this.#blockedUntil, now + pause * 1000);
    return pause;
  }

  /** What is known, undefined when nothing is or when it is too old to count. */
  current(): RateLimit | undefined {
    const known = this.#learned;
    if (known === undefined) return undefined;
    const expires = known.resetsAt ?? this.#learnedAt + 6 * 3600_000;
    return expires > this.#now() ? known : undefined;
  }

  /** Milliseconds since 1970 until which the upstream refuses; undefined when it does not. */
  blockedUntil(): number | undefined {
    return this.#blockedUntil > this.#now() ? this.#blockedUntil : undefined;
  }

  async #turn(now: number): Promise<void> {
    const rate = this.#target.rateLimit.requestsPerSecond;
    if (rate === undefined) return;
    const slot = Math.max(now, this.#nextSlot);
    this.#nextSlot = slot + 1000 / rate;
    if (slot > now) await new Promise((resolve) => setTimeout(resolve, slot - now));
  }

  #limited(what: string, until: number): UpstreamError {
    const retryAfter = Math.max(1, Math.ceil((until - this.#now()) / 1000));
    return new UpstreamError("RateLimited", `${this.#target.url.host} ${what}`, { retryAfter });
  }
}
