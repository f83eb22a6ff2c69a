// The history of this process' changes, written behind the answers.

import type { Logger } from "../../observability/logger.ts";
import { appendActivity, type NewActivity } from "../metadata/activity.ts";
import type { Database } from "../metadata/database.ts";

export class History {
  readonly #database: Database;
  readonly #logger: Logger;
  readonly #running = new Set<Promise<void>>();

  constructor(options: { database: Database; logger: Logger }) {
    this.#database = options.database;
    this.#logger = options.logger;
  }

  /** Does not wait and does not fail: the change has happened, whether or not it can be noted. */
  note(entry: NewActivity): void {
    const done = appendActivity(this.#database, entry)
      .catch((error: unknown) => this.#logger.warn({ err: error }, "the history could not be kept"))
      .finally(() => this.#running.delete(done));
    this.#running.add(done);
  }

  /** Resolves when everything noted is stored. */
  async stop(): Promise<void> {
    await Promise.all(this.#running);
  }
}
