// So many at a time, the others wait in line, and not for ever.

import { DatabaseUnavailable } from "./unavailable.ts";

/** Those who wait for something. */
export interface Line {
  readonly length: number;
  /** Milliseconds for which the first one has waited: about what the next one has before him. */
  readonly waited: number;
}

export class Slots {
  #free: number;
  readonly #patience: number;
  /** And since when, first come first. */
  readonly #waiting = new Map<() => void, number>();

  /** `patience`: milliseconds in the line. */
  constructor(options: { readonly most: number; readonly patience: number }) {
    this.#free = options.most;
    this.#patience = options.patience;
  }

  get line(): Line {
    const first = this.#waiting.values().next();
    return { length: this.#waiting.size, waited: first.done === true ? 0 : performance.now() - first.value };
  }

  /** Resolves with how to give it back. Rejects with DatabaseUnavailable when none becomes free in time. */
  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free--;
    else await this.#turn();
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const next = this.#waiting.keys().next().value;
      if (next === undefined) this.#free++;
      else next();
    };
  }

  #turn(): Promise<void> {
    return new Promise((resolve, reject) => {
      const mine = () => {
        clearTimeout(timer);
        this.#waiting.delete(mine);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(mine);
        reject(new DatabaseUnavailable("BUSY", "All connections of this process to the database are taken."));
      }, this.#patience);
      this.#waiting.set(mine, performance.now());
    });
  }
}
