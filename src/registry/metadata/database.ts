// Statements, whole-transaction retries, and what becomes of both when the server goes away. All SQL of the registry lives in this room, in sets,
// one statement a name.

import { setTimeout as sleep } from "node:timers/promises";

import { marked, markFor, newToken, type CommitMark } from "./commit-marks.ts";
import { Commits, notReplicated } from "./commits.ts";
import { Connections, type Connection, type Result } from "./connections.ts";
import { limitsOf, type DatabaseOptions, type DatabaseTimeouts } from "./database-options.ts";
import { Slots } from "./slots.ts";
import { codeOf } from "./sql-state.ts";
import { isRead, type Queryable, type Statement } from "./statement.ts";
import { asUnavailable, reasonOf } from "./unavailable.ts";

export { codeOf, constraintOf, isForeignKeyViolation } from "./sql-state.ts";
export { statement, type Queryable, type Statement } from "./statement.ts";

/** Milliseconds after a COMMIT when every view that could miss it has run out (services/view.ts: 10, and some for the clock). */
export const viewsRunOut = 15;

/** deadlock_detected, serialization_failure: the whole transaction is tried again. */
const retried = new Set(["40P01", "40001"]);
const attempts = 3;
/** One in so many connections is kept for reads: pulls go on while every writer waits for a synchronous standby. */
const reservedForReads = 4;

export interface Copying extends Queryable {
  /** Begins a COPY, to be read from or written to. */
  readonly stream: Connection["stream"];
}

export interface TransactionOptions<T> {
  /** One snapshot throughout, nothing is written, and no statement is too long (audit, snapshots). */
  readonly repeatable?: boolean;
  /**
   * It deletes or moves what pulls remember (or its result says that it did), so it is over only when no process can still give it out
   * (storage.md, "Reading").
   */
  readonly takesAway?: boolean | ((result: T) => boolean);
  /** The result says that nothing was changed: it is undone instead of committed, which waits for no disk and no standby. */
  readonly unchanged?: (result: T) => boolean;
  /** Statements may take as long as they need (migrations). */
  readonly unhurried?: boolean;
  /** Its own rows say whether it was committed, so it may simply run again (migrations: the table of marks is made by one). */
  readonly unmarked?: boolean;
}

/** All methods reject with DatabaseUnavailable when it is the database's fault, and with the driver's error when it is the statement's. */
export class Database implements Queryable {
  /** As they were given; the URL may hold a password. */
  readonly options: DatabaseOptions;
  readonly #connections: Connections;
  readonly #writers: Slots;
  readonly #commits: Commits;
  /** What else begins a transaction: a pooler's session has no limits of ours. */
  readonly #limits: string;

  /** Throws DatabaseOptionsError. Connects when it is asked for something. */
  constructor(options: DatabaseOptions, beside?: Database) {
    this.options = options;
    this.#connections = new Connections(options, beside === undefined ? undefined : beside.#connections.primary);
    const { most, timeouts } = this.#connections;
    this.#writers = new Slots({ most: most - Math.floor(most / reservedForReads), patience: timeouts.wait });
    this.#limits = this.#connections.pooled ? `${limitsOf(timeouts, "LOCAL")}; ` : "";
    this.#commits = new Commits({ database: this, patience: timeouts.commit });
  }

  /**
   * Another way in, to the same server, with one connection and its own `timeouts`: for statements that must not wait behind others. To be closed
   * on its own.
   */
  dedicated(timeouts: Partial<DatabaseTimeouts> = {}): Database {
    return new Database({ ...this.options, connections: 1, timeouts: { ...this.options.timeouts, ...timeouts } }, this);
  }

  /** Those who wait to be let in, for each connection of this process: what who comes now has before him. */
  get line(): { readonly perConnection: number; readonly waited: number } {
    const lines = [this.#writers.line, this.#connections.line];
    const length = lines.reduce((sum, line) => sum + line.length, 0);
    return { perConnection: length / this.#connections.most, waited: Math.max(...lines.map(({ waited }) => waited)) };
  }

  async query<Row = Record<string, unknown>>(statement: Statement, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.#alone(statement, values)).rows as Row[];
  }

  async execute(statement: Statement, values: readonly unknown[] = []): Promise<number> {
    return (await this.#alone(statement, values)).changed;
  }

  /**
   * Runs `work` in one READ COMMITTED transaction. A deadlock, or a connection that is lost before COMMIT, runs it again from the start, so it
   * must not touch anything but the database. When the answer to COMMIT gets lost, the database is asked whether it happened; `OUTCOME_UNKNOWN`:
   * it could not say so in time.
   */
  async transaction<T>(work: (transaction: Queryable) => Promise<T>, options: TransactionOptions<T> = {}): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        const result = await (options.repeatable === true ? this.#reading(work) : this.#writing(work, options));
        const { takesAway = false } = options;
        if (typeof takesAway === "boolean" ? takesAway : takesAway(result)) await sleep(viewsRunOut);
        return result;
      } catch (error) {
        const again = retried.has(codeOf(error) ?? "") || (attempt === 1 && reasonOf(error) === "LOST");
        if (attempt === attempts || !again) throw asUnavailable(error);
      }
    }
  }

  /**
   * Runs `work` on one connection without a transaction, however long its statements take. The connection is closed after it. Behind a pooler each
   * statement has a session of its own, with the limits that the server gives it.
   */
  async session<T>(work: (session: Queryable) => Promise<T>): Promise<T> {
    const connection = await this.#connections.take();
    try {
      if (!this.#connections.pooled) await connection.send({ text: "SET statement_timeout = 0; SET lock_timeout = 0" });
      return await work(on(connection, { within: null }));
    } catch (error) {
      throw asUnavailable(error);
    } finally {
      connection.release(undefined, { close: true });
    }
  }

  /**
   * One transaction with COPY in it, once: no statement is too long for it. When `work` rejects the connection is closed, since it may be in the
   * middle of a table.
   */
  async copying<T>(work: (transaction: Copying) => Promise<T>, options: { readonly repeatable?: boolean } = {}): Promise<T> {
    const connection = await this.#connections.take();
    const begin = options.repeatable === true ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" : "BEGIN";
    let failed = true;
    try {
      await connection.send({ text: `${begin}; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0` });
      const result = await work({ ...on(connection, { within: null }), stream: (copy) => connection.stream(copy) });
      await connection.send({ text: "COMMIT" });
      if (connection.unreplicated()) throw notReplicated();
      failed = false;
      return result;
    } catch (error) {
      throw asUnavailable(error);
    } finally {
      connection.release(undefined, { close: failed });
    }
  }

  async close(): Promise<void> {
    this.#commits.close();
    await this.#connections.close();
  }

  /** One statement outside a transaction. A read whose connection was lost is asked once more, on another one. */
  async #alone(statement: Statement, values: readonly unknown[]): Promise<Result> {
    try {
      if (!isRead(statement)) return await this.#change(statement, values);
      return await this.#ask(statement, values).catch((error: unknown) => {
        if (reasonOf(error) !== "LOST") throw error;
        return this.#ask(statement, values);
      });
    } catch (error) {
      throw asUnavailable(error);
    }
  }

  async #ask(statement: Statement, values: readonly unknown[]): Promise<Result> {
    const connection = await this.#connections.take();
    let failure: unknown;
    try {
      return await connection.send({ ...statement, values });
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      connection.release(failure);
    }
  }

  /** Its COMMIT is part of it, and may wait for a standby as any other. */
  async #change(statement: Statement, values: readonly unknown[]): Promise<Result> {
    const { connection, done } = await this.#takeToWrite();
    return this.#commits.inTime(connection, connection.send({ within: null, ...statement, values }), done);
  }

  async #takeToWrite(): Promise<{ readonly connection: Connection; readonly done: (failure?: unknown) => void }> {
    const giveBack = await this.#writers.take();
    const connection = await this.#connections.take().catch((error: unknown) => {
      giveBack();
      throw error;
    });
    const done = (failure?: unknown) => {
      connection.release(failure);
      giveBack();
    };
    return { connection, done };
  }

  async #reading<T>(work: (transaction: Queryable) => Promise<T>): Promise<T> {
    const connection = await this.#connections.take();
    let failure: unknown;
    try {
      await connection.send({ text: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0" });
      const result = await work(on(connection, { within: null }));
      await connection.send({ text: "COMMIT" });
      return result;
    } catch (error) {
      failure = await rollBack(connection, error);
      throw error;
    } finally {
      connection.release(failure);
    }
  }

  async #writing<T>(work: (transaction: Queryable) => Promise<T>, options: TransactionOptions<T>): Promise<T> {
    const { connection, done } = await this.#takeToWrite();
    let result: T;
    let mark: CommitMark | undefined;
    let unchanged: boolean;
    try {
      mark = await begin(connection, { ...options, limits: this.#limits });
      result = await work(on(connection, options.unhurried === true ? { within: null } : {}));
      unchanged = options.unchanged?.(result) === true;
    } catch (error) {
      done(await rollBack(connection, error));
      throw error;
    }
    if (unchanged) done(await undo(connection));
    else await this.#commits.commit(connection, mark, done);
    return result;
  }
}

async function begin(
  connection: Connection,
  { unhurried, unmarked, limits }: Pick<TransactionOptions<unknown>, "unhurried" | "unmarked"> & { readonly limits: string },
): Promise<CommitMark | undefined> {
  const token = newToken();
  const settings = unhurried === true ? `${limits}SET LOCAL statement_timeout = 0; ` : limits;
  const { rows } = await connection.send({ text: `BEGIN; ${settings}${unmarked === true ? "" : markFor(token)}` });
  return unmarked === true ? undefined : marked(token, rows[0]);
}

function on(connection: Connection, limit: { readonly within?: null }): Queryable {
  return {
    query: async <Row>(statement: Statement, values: readonly unknown[] = []) =>
      (await connection.send({ ...statement, ...limit, values })).rows as Row[],
    execute: async (statement, values = []) => (await connection.send({ ...statement, ...limit, values })).changed,
  };
}

/** Resolves with `error`, or with what is wrong with the connection. */
async function rollBack(connection: Connection, error: unknown): Promise<unknown> {
  if (reasonOf(error) === "LOST") return error;
  return (await undo(connection)) ?? error;
}

/** Resolves with what is wrong with the connection, if anything is. */
async function undo(connection: Connection): Promise<unknown> {
  return connection.send({ text: "ROLLBACK" }).then(
    () => undefined,
    (failure: unknown) => failure,
  );
}
