// Answers that wait until there is something to say: rung in this process, and looked up again every second where other processes may have done it.

import { setTimeout as sleep } from "node:timers/promises";

export interface Waiting {
  readonly waitSeconds: number;
  readonly signal: AbortSignal;
  /** Whether it is looked up again every second (default), or only when the bell rings. */
  readonly lookAgain?: boolean;
}

const maxWaitSeconds = 60;
const lookInterval = 1_000;

/** Wakes everything that waits. */
export class Bell {
  #waiting = new Set<() => void>();

  ring(): void {
    const woken = this.#waiting;
    this.#waiting = new Set();
    for (const wake of woken) wake();
  }

  /** Resolves at the next ring, after `milliseconds`, or when `signal` aborts. */
  async heard(milliseconds: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const rung = new Promise<void>((resolve) => {
      this.#waiting.add(resolve);
      over.signal.addEventListener("abort", () => this.#waiting.delete(resolve), { once: true });
    });
    const either = AbortSignal.any([signal, over.signal]);
    await Promise.race([rung, sleep(milliseconds, undefined, { signal: either }).catch(() => {})]);
    over.abort();
  }
}

/** Asks until the answer is `enough`, time is over, or nobody listens any more. Resolves with the last answer. */
export async function askUntil<T>(bell: Bell, ask: () => Promise<T>, enough: (answer: T) => boolean, waiting: Waiting): Promise<T> {
  const interval = waiting.lookAgain === false ? Infinity : lookInterval;
  const end = performance.now() + Math.min(Math.max(waiting.waitSeconds, 0), maxWaitSeconds) * 1_000;
  for (;;) {
    // The ear is open before the question goes out, so that nothing rings in between.
    const heard = new AbortController();
    // Timers drop fractions and may be a millisecond early: without the two the last question would be asked twice.
    const pause = Math.max(0, Math.min(interval, end - performance.now() + 2));
    const rung = bell.heard(pause, AbortSignal.any([heard.signal, waiting.signal]));
    try {
      const answer = await ask();
      if (enough(answer) || waiting.signal.aborted || performance.now() >= end) return answer;
      await rung;
    } finally {
      // Also when the question failed: nobody hears the ring any more.
      heard.abort();
      await rung;
    }
  }
}
