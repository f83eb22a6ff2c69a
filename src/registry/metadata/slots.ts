// So many at a time, the others wait in line, and not for ever.

import { DatabaseUnavailable } from "./unavailable.ts";

export class Slots {
  #free: number;
  readonly #patience: number;
  readonly #waiting = new Set<() => void>();

  /** `patience`: milliseconds in the line. */
  constructor(options: { readonly most: number; readonly patience: number }) {
    this.#free = options.most;
    this.#patience = options.patience;
  }

  /** Resolves with how to give it back. Rejects with DatabaseUnavailable when none becomes free in time. */
  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free--;
    else await this.#turn();
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const next = this.#waiting.values().next().value;
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
      this.#waiting.add(mine);
    });
  }
}
