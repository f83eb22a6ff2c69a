// The pool, named statements and whole-transaction retries. All SQL of the registry lives in this room, in sets, one statement a name.

import { Pool, TypeOverrides, type PoolClient } from "pg";

/** One statement with the name under which Postgres keeps it prepared. The name is unique in the registry. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** Declares a statement. `text` uses $1, $2 …; sets travel as arrays (`unnest`, `= ANY`). */
export function statement(name: string, text: string): Statement {
  return { name, text };
}

export interface Queryable {
  query<Row = Record<string, unknown>>(statement: Statement, values?: readonly unknown[]): Promise<Row[]>;
  /** Rows that the statement changed. */
  execute(statement: Statement, values?: readonly unknown[]): Promise<number>;
}

/** bigint as number: sizes, offsets and ids here stay under 2^53. */
const int8 = 20;
const numericTypes = new TypeOverrides();
numericTypes.setTypeParser(int8, Number);

/** Milliseconds after a COMMIT when every view that could miss it has run out (services/view.ts: 10, and some for the clock). */
export const viewsRunOut = 15;

/** deadlock_detected, serialization_failure: the whole transaction is tried again. */
const retried = new Set(["40P01", "40001"]);
const attempts = 3;

export class Database implements Queryable {
  readonly #pool: Pool;

  constructor(options: { url: string; connections?: number; onError?: (error: Error) => void }) {
    this.#pool = new Pool({
      connectionString: options.url,
      max: options.connections ?? 16,
      types: numericTypes,
      connectionTimeoutMillis: 10_000,
      application_name: "wharfinger",
    });
    // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
    this.#pool.on("error", (error) => options.onError?.(error));
  }

  async query<Row = Record<string, unknown>>(statement: Statement, values: readonly unknown[] = []): Promise<Row[]> {
    const result = await this.#pool.query({ name: statement.name, text: statement.text, values: [...values] });
    return result.rows as Row[];
  }

  async execute(statement: Statement, values: readonly unknown[] = []): Promise<number> {
    const result = await this.#pool.query({ name: statement.name, text: statement.text, values: [...values] });
    return result.rowCount ?? 0;
  }

  /**
   * Runs `work` in one READ COMMITTED transaction; a deadlock runs it again from the start, so it must not touch anything but the database.
   * `repeatable` reads one snapshot throughout (audit). `takesAway`: it deletes or moves what pulls remember, so it is over only when no process
   * can still give it out (storage.md, "Reading").
   */
  async transaction<T>(
    work: (transaction: Queryable) => Promise<T>,
    options: { readonly repeatable?: boolean; readonly takesAway?: boolean } = {},
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        const result = await this.#once(work, options.repeatable === true ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" : "BEGIN");
        if (options.takesAway === true) await new Promise((resolve) => setTimeout(resolve, viewsRunOut));
        return result;
      } catch (error) {
        if (attempt === attempts || !retried.has(codeOf(error) ?? "")) throw error;
      }
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  async #once<T>(work: (transaction: Queryable) => Promise<T>, begin: string): Promise<T> {
    const client = await this.#pool.connect();
    let broken: Error | undefined;
    try {
      await client.query(begin);
      const result = await work(on(client));
      await client.query("COMMIT");
      return result;
    } catch (error) {
      await client.query("ROLLBACK").catch((cause: Error) => (broken = cause));
      throw error;
    } finally {
      client.release(broken);
    }
  }
}

function on(client: PoolClient): Queryable {
  const send = (statement: Statement, values: readonly unknown[] = []) =>
    client.query({ name: statement.name, text: statement.text, values: [...values] });
  return {
    query: async <Row>(statement: Statement, values?: readonly unknown[]) => (await send(statement, values)).rows as Row[],
    execute: async (statement, values) => (await send(statement, values)).rowCount ?? 0,
  };
}

/** SQLSTATE of an error from Postgres, undefined for others. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** Something is named that is not here, or taken away that is still named. */
export function isForeignKeyViolation(error: unknown): boolean {
  return codeOf(error) === "23503";
}

/** Name of the constraint that a statement broke. */
export function constraintOf(error: unknown): string | undefined {
  const constraint = (error as { constraint?: unknown } | null)?.constraint;
  return typeof constraint === "string" ? constraint : undefined;
}
