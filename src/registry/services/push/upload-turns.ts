// One request at a time writes to a session: a newer one ends the older one first. (One in another process loses the row instead.)

import { failpoint } from "#failpoints";

import { Interruption } from "./receive.ts";

interface Turn {
  readonly interruption: Interruption;
  readonly ended: Promise<void>;
}

export class UploadTurns {
  /** By session. */
  readonly #running = new Map<string, Turn>();

  /** Runs `work` when every older request on the session has ended, which are told `reason`. */
  async alone<T>(id: string, reason: () => Error, work: (interruption: Interruption) => Promise<T>): Promise<T> {
    for (; this.#running.has(id);) await this.interrupt(id, reason());
    const interruption = new Interruption();
    let end: () => void = () => undefined;
    this.#running.set(id, { interruption, ended: new Promise<void>((resolve) => (end = resolve)) });
    try {
      return await work(interruption);
    } finally {
      this.#running.delete(id);
      end();
    }
  }

  /** Resolves when nobody writes to the session any more. */
  async interrupt(id: string, reason: Error): Promise<void> {
    const running = this.#running.get(id);
    if (running !== undefined) await failpoint("session.interrupting");
    running?.interruption.interrupt(reason);
    await running?.ended;
  }
}
