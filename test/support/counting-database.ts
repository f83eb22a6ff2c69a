import { setTimeout as sleep } from "node:timers/promises";

import { Database, viewsRunOut, type Queryable, type Statement, type TransactionOptions } from "../../src/registry/metadata/database.ts";

/** Remembers the names of the statements that are sent, transactions' own ones aside. */
export class CountingDatabase extends Database {
  readonly #names: string[] = [];

  /** Names since the last call. */
  statements(): string[] {
    return this.#names.splice(0);
  }

  /** Rows of an ad hoc query. What it changed is seen by everybody then, as after a change that a service made. */
  async rows<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]> {
    const rows = await super.query<Row>({ name: "", text }, values);
    await sleep(viewsRunOut);
    return rows;
  }

  override query<Row>(asked: Statement, values?: readonly unknown[]): Promise<Row[]> {
    this.#names.push(asked.name);
    return super.query<Row>(asked, values);
  }

  override execute(asked: Statement, values?: readonly unknown[]): Promise<number> {
    this.#names.push(asked.name);
    return super.execute(asked, values);
  }

  override transaction<T>(work: (transaction: Queryable) => Promise<T>, options?: TransactionOptions<T>): Promise<T> {
    return super.transaction(
      (inner) =>
        work({
          query: (asked, values) => {
            this.#names.push(asked.name);
            return inner.query(asked, values);
          },
          execute: (asked, values) => {
            this.#names.push(asked.name);
            return inner.execute(asked, values);
          },
        }),
      options,
    );
  }
}
