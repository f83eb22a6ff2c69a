// Memory that requests take together while it waits for their clients, counted in bytes: of one sender a quarter.

import { ServiceError } from "../../services/errors.ts";

const retryAfter = 2;

export interface MemoryBudgetOptions {
  /** Bytes of all senders together. */
  readonly most: number;
  /** What is said to a sender that has its quarter, and to anybody when all is taken. */
  readonly words: { readonly ofSender: string; readonly ofAll: string };
}

export class MemoryBudget {
  readonly #options: MemoryBudgetOptions;
  readonly #bySender = new Map<string, number>();
  #taken = 0;

  constructor(options: MemoryBudgetOptions) {
    this.#options = options;
  }

  /** Throws ServiceError UNAVAILABLE, which clients try again, when there is no room left for this sender or for anybody. */
  take(bytes: number, sender: string): void {
    const { most, words } = this.#options;
    const ofSender = (this.#bySender.get(sender) ?? 0) + bytes;
    if (ofSender > most / 4) throw busy(words.ofSender);
    if (this.#taken + bytes > most) throw busy(words.ofAll);
    this.#taken += bytes;
    this.#bySender.set(sender, ofSender);
  }

  give(bytes: number, sender: string): void {
    this.#taken -= bytes;
    const left = (this.#bySender.get(sender) ?? 0) - bytes;
    if (left > 0) this.#bySender.set(sender, left);
    else this.#bySender.delete(sender);
  }
}

function busy(message: string): ServiceError {
  return new ServiceError("UNAVAILABLE", message, { retryAfter });
}
