// How many transfers one sender has at once: a stream holds a socket, a file and some hundred kilobytes for as long as it likes.

import { ServiceError } from "../../services/errors.ts";

/** Seconds after which somebody with too many should ask again: transfers that are under way must end first. */
const retryAfter = 5;

export class Transfers {
  readonly #most: number;
  readonly #bySender = new Map<string, number>();
  #all = 0;

  /** `most` of one sender. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Transfers under way. */
  get all(): number {
    return this.#all;
  }

  /** Throws ServiceError TOOMANYREQUESTS. Call the result once, when the transfer has ended. */
  begin(sender: string): () => void {
    const count = this.#bySender.get(sender) ?? 0;
    if (count >= this.#most) {
      throw new ServiceError(
        "TOOMANYREQUESTS",
        `You have ${this.#most} transfers under way, the most there may be. Try again when some have ended.`,
        { retryAfter },
      );
    }
    this.#bySender.set(sender, count + 1);
    this.#all++;
    return () => {
      this.#all--;
      const left = (this.#bySender.get(sender) ?? 1) - 1;
      if (left > 0) this.#bySender.set(sender, left);
      else this.#bySender.delete(sender);
    };
  }
}
