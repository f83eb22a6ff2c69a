// When there is more to do than can be done, what is new is told at once to come again: somebody who is refused after half a minute, with his
// bytes already sent, comes again too. What is measured and why: docs/adr/0011-what-is-shed.md. Probes, the control API, pulls of what is in
// memory, and pushes that have begun are never refused here. Lists have an amount of memory of their own.

import { totalmem } from "node:os";

import { ServiceError } from "../../services/errors.ts";
import { MemoryBudget } from "./memory-budget.ts";

export interface PressureOptions {
  readonly database: {
    /** Those who wait for each of its connections, and the milliseconds for which the first has waited. */
    readonly line: { readonly perConnection: number; readonly waited: number };
  };
  readonly transfers: { readonly all: number };
  readonly onRefused?: (reason: "database" | "memory") => void;
  /** Bytes that the process has, and may have; what the system says by default. */
  readonly memory?: () => { readonly used: number; readonly limit: number };
}

/** Milliseconds in line after which nobody new is let in; a place is given up after `database.timeouts.wait`, 5 s by default. */
const longestWait = 2_000;
/** Of many who come at the same moment nobody has waited yet. A push asks some five times, a few milliseconds each. */
const longestLine = 16;
const retryAfter = 2;
/** Part of the memory that may be in use when another transfer begins. */
const mostMemory = 0.8;
/** So few transfers are not what fills it: memory that was used and not given back must not stop them for ever. */
const harmlessTransfers = 16;
/** Bytes of lists that wait for their readers: who reads nothing keeps one for as long as a client may be silent. */
const listBytes = 64 * 1024 * 1024;
/** Bytes of one list that count as nothing: most lists are smaller. */
const shortList = 64 * 1024;
/** Milliseconds for which a look at the memory counts. */
const lookEvery = 100;

export class Pressure {
  readonly #options: PressureOptions;
  readonly #memory: () => { readonly used: number; readonly limit: number };
  readonly #lists = new MemoryBudget({
    most: listBytes,
    words: {
      ofSender: "You have as many long lists under way as you may. Read those, and ask again.",
      ofAll: "Too many long lists are under way. Try again shortly.",
    },
  });
  #isFull = false;
  #lookedAt = -Infinity;

  constructor(options: PressureOptions) {
    this.#options = options;
    this.#memory = options.memory ?? memoryOfProcess;
  }

  /** `bytes`: some will be on their way. Throws ServiceError UNAVAILABLE with the seconds after which to come again. */
  refuse(request: { readonly asksDatabase: boolean; readonly bytes: boolean }): void {
    const { database, onRefused } = this.#options;
    if (request.asksDatabase && (database.line.waited > longestWait || database.line.perConnection > longestLine)) {
      onRefused?.("database");
      throw new ServiceError("UNAVAILABLE", "The registry's database has more to do than it can at the moment. Try again shortly.", {
        retryAfter,
      });
    }
    if (request.bytes && this.#lacksMemory()) {
      onRefused?.("memory");
      throw new ServiceError("UNAVAILABLE", "The registry has as many transfers under way as its memory holds. Try again shortly.", {
        retryAfter,
      });
    }
  }

  /**
   * For one list, of which the result is told how many bytes it has so far, while it is made and when it is done: throws ServiceError UNAVAILABLE
   * when there is no room for them. `whenOver` is called once, with what to do when the list was sent or its client left.
   */
  list(sender: string, whenOver: (work: () => void) => void): (bytes: number) => void {
    let held = 0;
    let isOver = false;
    const giveBack = () => {
      isOver = true;
      this.#lists.give(held, sender);
    };
    return (bytes) => {
      if (isOver) throw new Error("The client did not wait for the list");
      if (bytes <= held + shortList) return;
      this.#takeForList(bytes - held, sender);
      const isFirst = held === 0;
      held = bytes;
      if (isFirst) whenOver(giveBack);
    };
  }

  #takeForList(bytes: number, sender: string): void {
    try {
      this.#lists.take(bytes, sender);
    } catch (error) {
      this.#options.onRefused?.("memory");
      throw error;
    }
  }

  #lacksMemory(): boolean {
    if (this.#options.transfers.all < harmlessTransfers) return false;
    const now = performance.now();
    if (now - this.#lookedAt < lookEvery) return this.#isFull;
    const { used, limit } = this.#memory();
    this.#lookedAt = now;
    this.#isFull = used > mostMemory * limit;
    return this.#isFull;
  }
}

/** The limit of the container, where there is one: who exceeds it is killed. */
export function memoryOfProcess(): { used: number; limit: number } {
  const constrained = process.constrainedMemory();
  return { used: process.memoryUsage.rss(), limit: constrained > 0 ? Math.min(constrained, totalmem()) : totalmem() };
}
