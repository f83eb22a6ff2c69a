// One process of many does the housekeeping that would be the same work in each: eviction, copies of versions, snapshots. What it does may be done twice
// without harm (a process that was stopped believes for a moment that it still has the turn); it is only not done by all.

import type { Logger } from "../../../observability/logger.ts";
import type { Queryable } from "../../metadata/database.ts";
import { giveBackTurn, takeTurn } from "../../metadata/turns.ts";

/** Read at each step of the work. */
export interface Turn {
  mine(): boolean;
  /** Called when the turn comes to this process. Returns the function that ends the subscription. */
  onTaken(listener: () => void): () => void;
}

/** Of a process that is alone. */
export const alwaysMine: Turn = { mine: () => true, onTaken: () => () => undefined };

export interface TurnTimes {
  /** Milliseconds that a word lasts. */
  readonly holds: number;
  /** Milliseconds between two words. */
  readonly every: number;
}

const usualTimes: TurnTimes = { holds: 30_000, every: 10_000 };

export interface SharedTurnOptions {
  readonly database: Queryable;
  readonly name: string;
  /** Name of this process. */
  readonly pod: string;
  readonly logger: Logger;
  readonly times?: TurnTimes;
}

export class SharedTurn implements Turn {
  readonly #options: SharedTurnOptions;
  readonly #times: TurnTimes;
  readonly #listeners = new Set<() => void>();
  /** Monotonic: when the last word runs out, counted from before it was said. */
  #until = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #asking: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: SharedTurnOptions) {
    this.#options = options;
    this.#times = options.times ?? usualTimes;
  }

  mine(): boolean {
    return performance.now() < this.#until;
  }

  onTaken(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Asks for the turn now, and again and again. */
  start(): void {
    this.#asking = this.#ask().finally(() => {
      if (!this.#stopped) this.#timer = setTimeout(() => this.start(), this.#times.every).unref();
    });
  }

  /** The next process need not wait until the last word runs out. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#asking;
    const { database, name, pod } = this.#options;
    if (this.mine()) await giveBackTurn(database, { name, holder: pod }).catch(() => undefined);
    this.#until = -Infinity;
  }

  async #ask(): Promise<void> {
    const { database, name, pod, logger } = this.#options;
    const sent = performance.now();
    const before = this.mine();
    try {
      const taken = await takeTurn(database, { name, holder: pod, milliseconds: this.#times.holds });
      this.#until = taken ? sent + this.#times.holds : -Infinity;
    } catch (error) {
      logger.debug({ err: error }, `the turn for ${name} could not be asked for`);
    }
    if (before || !this.mine() || this.#stopped) return;
    logger.debug(`this process does the ${name} now`);
    for (const listener of this.#listeners) listener();
  }
}
