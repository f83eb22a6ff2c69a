// What passes is tried again: as long as either side says, otherwise after pauses that double and vary.

import { setTimeout as sleep } from "node:timers/promises";

import { ClientError } from "../client/errors.ts";
import { SourceError } from "./import-source.ts";

export interface PatienceOptions {
  /** Attempts of one thing; those that only a limit refused do not count. */
  readonly attempts?: number;
  /** Milliseconds after the first failure. */
  readonly firstPause?: number;
  readonly longestPause?: number;
  /** Ends every pause. */
  readonly signal?: AbortSignal;
  /** Somebody waits because he was told to, or so long that he may wonder. `pause` in milliseconds. */
  readonly onWait?: (pause: number, reason: string) => void;
}

/** Milliseconds. */
const worthSaying = 2000;

export class Patience {
  readonly #options: Required<Omit<PatienceOptions, "signal">> & Pick<PatienceOptions, "signal">;

  constructor(options: PatienceOptions = {}) {
    this.#options = { attempts: 8, firstPause: 500, longestPause: 30_000, onWait: () => {}, ...options };
  }

  /** `attempt`: counted from 1. Rejects with the last failure. */
  async with<T>(work: (attempt: number) => Promise<T>): Promise<T> {
    for (let attempt = 1, counted = 1; ; attempt++) {
      try {
        return await work(attempt);
      } catch (error) {
        this.#options.signal?.throwIfAborted();
        if (!passes(error)) throw error;
        const limited = isLimit(error);
        if (!limited && counted++ >= this.#options.attempts) throw error;
        await this.#pause(counted, error);
      }
    }
  }

  async #pause(counted: number, error: SourceError | ClientError): Promise<void> {
    const { firstPause, longestPause, onWait, signal } = this.#options;
    const own = Math.min(firstPause * 2 ** (counted - 2), longestPause);
    // All who were told the same come back one after the other.
    const pause = error.retryAfter === undefined ? own * (0.5 + Math.random()) : error.retryAfter * 1000 + Math.random() * firstPause;
    if (error.retryAfter !== undefined || pause >= worthSaying) onWait(pause, error.message);
    await sleep(pause, undefined, signal === undefined ? {} : { signal });
  }
}

function passes(error: unknown): error is SourceError | ClientError {
  return (error instanceof SourceError || error instanceof ClientError) && error.temporary;
}

const isLimit = (error: SourceError | ClientError) => (error instanceof SourceError ? error.code === "Busy" : error.status === 429);
