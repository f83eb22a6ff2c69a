// The history of this process' changes: written behind the answers, pruned now and then.

import type { Logger } from "../../observability/logger.ts";
import type { Database } from "../metadata/database.ts";
import { forgetOldActivity, noteActivity, type NewActivity } from "./activity.ts";

/** Milliseconds between two looks at what is too old to keep. */
const forgetEvery = 6 * 3_600_000;

export class History {
  readonly #database: Database;
  readonly #logger: Logger;
  readonly #running = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: { database: Database; logger: Logger }) {
    this.#database = options.database;
    this.#logger = options.logger;
  }

  start(): void {
    const forget = () => this.#follow(forgetOldActivity(this.#database));
    forget();
    this.#timer ??= setInterval(forget, forgetEvery).unref();
  }

  /** Does not wait and does not fail: the change has happened, whether or not it can be noted. */
  note(entry: NewActivity): void {
    this.#follow(noteActivity(this.#database, entry));
  }

  /** Resolves when everything noted is stored. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }

  #follow(work: Promise<void>): void {
    const done = work
      .catch((error: unknown) => this.#logger.warn({ err: error }, "the history could not be kept"))
      .finally(() => this.#running.delete(done));
    this.#running.add(done);
  }
}
