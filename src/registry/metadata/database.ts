// The pool, named statements and whole-transaction retries. All SQL of the registry lives in this room, in sets, one statement a name.

import { Pool, TypeOverrides, type PoolClient, type QueryResult } from "pg";

/** One statement with the name under which Postgres keeps it prepared. The name is unique in the registry. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  /** Milliseconds after which it is given up, and its connection with it: for questions that somebody waits for. */
  readonly within?: number;
}

/** Declares a statement. `text` uses $1, $2 …; sets travel as arrays (`unnest`, `= ANY`). */
export function statement(name: string, text: string, options: { readonly within?: number } = {}): Statement {
  return { name, text, ...options };
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

export interface DatabaseOptions {
  readonly url: string;
  /** At most this many at once; 16 by default. */
  readonly connections?: number;
  /** False for a pooler that gives each transaction another session: nothing is kept in one. True by default. */
  readonly preparedStatements?: boolean;
  /** An idle connection broke; it is replaced. */
  readonly onError?: (error: Error) => void;
}

export interface TransactionOptions<T> {
  /** One snapshot throughout, and nothing is written (audit). */
  readonly repeatable?: boolean;
  /**
   * It deletes or moves what pulls remember (or its result says that it did), so it is over only when no process can still give it out
   * (storage.md, "Reading").
   */
  readonly takesAway?: boolean | ((result: T) => boolean);
}

export class Database implements Queryable {
  readonly #options: DatabaseOptions;
  readonly #pool: Pool;
  readonly #prepares: boolean;

  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.#prepares = options.preparedStatements ?? true;
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

  /** Another way in, with one connection: for statements that must not wait behind others. To be closed on its own. */
  dedicated(): Database {
    return new Database({ ...this.#options, connections: 1 });
  }

  async query<Row = Record<string, unknown>>(statement: Statement, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.#send(this.#pool, statement, values)).rows as Row[];
  }

  async execute(statement: Statement, values: readonly unknown[] = []): Promise<number> {
    return (await this.#send(this.#pool, statement, values)).rowCount ?? 0;
  }

  /** Runs `work` in one READ COMMITTED transaction; a deadlock runs it again from the start, so it must not touch anything but the database. */
  async transaction<T>(work: (transaction: Queryable) => Promise<T>, options: TransactionOptions<T> = {}): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        const result = await this.#once(work, options.repeatable === true ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" : "BEGIN");
        const { takesAway = false } = options;
        if (typeof takesAway === "boolean" ? takesAway : takesAway(result))
          await new Promise((resolve) => setTimeout(resolve, viewsRunOut));
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
      const result = await work(this.#on(client));
      await client.query("COMMIT");
      return result;
    } catch (error) {
      await client.query("ROLLBACK").catch((cause: Error) => (broken = cause));
      throw error;
    } finally {
      client.release(broken);
    }
  }

  #on(client: PoolClient): Queryable {
    return {
      query: async <Row>(statement: Statement, values?: readonly unknown[]) => (await this.#send(client, statement, values)).rows as Row[],
      execute: async (statement, values) => (await this.#send(client, statement, values)).rowCount ?? 0,
    };
  }

  /** Without a name Postgres parses and plans it each time, and keeps nothing. */
  #send(to: Pool | PoolClient, { name, text, within }: Statement, values: readonly unknown[] = []): Promise<QueryResult> {
    const query = { ...(this.#prepares ? { name } : {}), text, values: [...values], query_timeout: within };
    return to.query(query);
  }
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
