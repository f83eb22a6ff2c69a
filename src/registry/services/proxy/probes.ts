// Probes of Upstreams that somebody asked for: one for all who ask at the same time, and a few at once.

import { setTimeout as sleep } from "node:timers/promises";

import type { Requester } from "../../upstream/requester.ts";
import { FillSlots } from "./fill-slots.ts";

/** Who wants to know of hundreds does not take the connections and the memory of pulls. */
const atOnce = 8;
/** Milliseconds after which nobody waits any longer: the probe goes on, and who asks again waits for the same one. */
const waitedFor = 30_000;

export class Probes {
  readonly #running = new Map<Requester, Promise<void>>();
  readonly #slots = new FillSlots(atOnce);

  /** Resolves when the requester knows how its upstream does, or half a minute is over. Never rejects. */
  async probe(requester: Requester): Promise<void> {
    const late = new AbortController();
    const waiting = sleep(waitedFor, undefined, { signal: late.signal, ref: false }).catch(() => undefined);
    await Promise.race([this.#once(requester), waiting]);
    late.abort();
  }

  #once(requester: Requester): Promise<void> {
    const running = this.#running.get(requester);
    if (running !== undefined) return running;
    const probe = this.#inTurn(requester).finally(() => this.#running.delete(requester));
    this.#running.set(requester, probe);
    return probe;
  }

  async #inTurn(requester: Requester): Promise<void> {
    const free = await this.#slots.take("", requester.target.key);
    try {
      await requester.probe();
    } finally {
      free();
    }
  }
}
