// Proposals of the registry's jobs between the long poll that brings them and the round that looks at them.

import type { Proposal } from "../../api/control/proposals.ts";
import type { Settled } from "./settle-proposals.ts";

export class WaitingProposals {
  #waiting: readonly Proposal[] = [];
  #handed = new Set<() => void>();

  /** Takes the place of what waited. Resolves when a round that began afterwards is over. */
  hand(proposals: readonly Proposal[]): Promise<void> {
    this.#waiting = proposals;
    return new Promise((resolve) => this.#handed.add(resolve));
  }

  /** What a round looks at, and what it calls when it is over. Who hands over proposals from here on waits for the next round. */
  look(): { readonly proposals: readonly Proposal[]; readonly over: () => void } {
    const handed = this.#handed;
    this.#handed = new Set();
    return { proposals: this.#waiting, over: () => handed.forEach((done) => done()) };
  }

  /** The registry knows that these are settled. */
  forget(settled: readonly Settled[]): void {
    const done = new Set(settled.map(({ id }) => id));
    this.#waiting = this.#waiting.filter(({ id }) => !done.has(id));
  }
}
