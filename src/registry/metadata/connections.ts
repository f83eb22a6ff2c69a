// The pool, and the watch over it.

import { Pool, TypeOverrides, type Client, type ClientBase, type PoolClient, type Submittable } from "pg";

import { connectionParameters, isSocket, tlsContext } from "./connection-parameters.ts";
import { defaultConnections, defaultTimeouts, limitsOf, type DatabaseOptions, type DatabaseTimeouts } from "./database-options.ts";
import { DriverClient } from "./driver.ts";
import { cut, Primary } from "./primary.ts";
import { Slots, type Line } from "./slots.ts";
import { asUnavailable, DatabaseUnavailable, reasonOf } from "./unavailable.ts";

/** bigint as number: sizes, offsets and ids here stay under 2^53. */
const int8 = 20;
const numericTypes = new TypeOverrides();
numericTypes.setTypeParser(int8, Number);

/** Milliseconds between two looks at whether something waits for long. */
const lookEvery = 1_000;
/** After this long without an answer the address is asked who is there; otherwise every `askEvery`. Milliseconds. */
const suspicious = 1_500;
const askEvery = 5_000;
/** What a server is given beyond its own limit to say that it has ended a statement. Milliseconds. */
const grace = 5_000;
const keepAliveAfter = 10_000;

export interface Sent {
  readonly name?: string;
  readonly text: string;
  readonly values?: readonly unknown[];
  /** Milliseconds after which the connection is given up; null: never. By default a little more than the server's own limit. */
  readonly within?: number | null;
}

export interface Result {
  readonly rows: unknown[];
  readonly changed: number;
  /** `COMMIT`, `ROLLBACK` …: what was really done. */
  readonly command: string;
}

/** A connection that is in use by one. */
export interface Connection {
  /** Rejects as the driver does. Several statements in one text have the result of the last one. */
  send(sent: Sent): Promise<Result>;
  /** Begins a COPY, to be read from or written to: no limit holds for it, and nothing else is sent before its end. */
  stream<T extends Submittable>(copy: T): T;
  /** The server said since the last question that a COMMIT is not on the synchronous standby, although it was asked to wait for it. */
  unreplicated(): boolean;
  /** Ends it under whoever waits on it. */
  cut(): void;
  /** Back into the pool; closed when it is of no use any more, or when `close` says so. */
  release(error?: unknown, options?: { readonly close?: boolean }): void;
}

export class Connections {
  readonly timeouts: DatabaseTimeouts;
  readonly most: number;
  /** Nothing is kept in a session, because a pooler gives each transaction another one. */
  readonly pooled: boolean;
  readonly primary: Primary;
  readonly #pool: Pool;
  /** What a session begins with. */
  readonly #session: string;
  /** The pool is never asked for more than it may have: who waits for a connection and who waits for the network are told apart. */
  readonly #free: Slots;
  readonly #connect: () => Client;
  /** Another pool of this process looks where the address leads; this one only when somebody in it waits for long. */
  readonly #isBeside: boolean;
  /** Statements that are under way, and since when. */
  readonly #underWay = new Map<symbol, number>();
  readonly #unreplicated = new WeakSet<ClientBase>();
  #asked = 0;
  #watch: NodeJS.Timeout | undefined;

  /** `primary`: of another pool in this process, which shall lead to the same server. Throws DatabaseOptionsError. */
  constructor(options: DatabaseOptions, primary?: Primary) {
    let { tls, ...where } = connectionParameters(options);
    const timeouts = { ...defaultTimeouts, ...options.timeouts };
    const onTrouble = options.onTrouble ?? (() => undefined);
    this.pooled = options.preparedStatements === false;
    this.#isBeside = primary !== undefined;
    this.primary = primary ?? new Primary({ patience: timeouts.connect, onTrouble });
    let context = tlsContext(tls);
    const renew = () => {
      try {
        if (options.urlFile !== undefined) ({ tls, ...where } = connectionParameters(options));
        context = tlsContext(tls);
      } catch (error) {
        onTrouble(`${(error as Error).message}; the one before is used`);
      }
      return { ...where, ssl: context };
    };
    const config = () => ({
      ...renew(),
      types: numericTypes,
      application_name: "wharfinger",
      connectionTimeoutMillis: timeouts.connect,
      keepAlive: true,
      keepAliveInitialDelayMillis: keepAliveAfter,
    });
    this.timeouts = timeouts;
    this.most = options.connections ?? defaultConnections;
    this.#session = `${limitsOf(timeouts, "SESSION")}${options.readOnly === true ? "; SET default_transaction_read_only = on" : ""}`;
    this.#free = new Slots({ most: this.most, patience: timeouts.wait });
    this.#connect = () => new DriverClient(config());
    this.#pool = new Pool({
      max: this.most,
      connectionTimeoutMillis: timeouts.connect,
      Client: class extends DriverClient {
        constructor() {
          super(config());
        }
      },
      verify: (client, done) => void this.#verify(client, done),
    });
    // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
    this.#pool.on("error", ({ message }) => onTrouble(`a database connection broke: ${message}`));
    this.#pool.on("remove", (client) => this.primary.forget(client));
    // Also on a loopback address: a proxy may listen there that leads elsewhere.
    if (!isSocket(where.host)) this.#watch = setInterval(() => void this.#look(), lookEvery).unref();
  }

  /** Those who wait for a connection. */
  get line(): Line {
    return this.#free.line;
  }

  /** Rejects with DatabaseUnavailable. */
  async take(): Promise<Connection> {
    const giveBack = await this.#free.take();
    const client = await this.#pool.connect().catch((error: unknown) => {
      giveBack();
      throw refused(error);
    });
    return {
      send: (sent) => this.#send(client, sent),
      stream: (copy) => client.query(copy),
      unreplicated: () => this.#unreplicated.delete(client),
      cut: () => cut(client),
      release: (error, { close = isUseless(error) } = {}) => {
        client.release(close);
        giveBack();
      },
    };
  }

  async close(): Promise<void> {
    clearInterval(this.#watch);
    this.#watch = undefined;
    await this.#pool.end();
  }

  async #send(client: PoolClient, { name, text, values, within }: Sent): Promise<Result> {
    const limit = within === undefined ? this.timeouts.statement + grace : within;
    const own = Symbol();
    this.#underWay.set(own, performance.now());
    const timer = limit === null ? undefined : setTimeout(() => cut(client), limit);
    try {
      const prepared = name === undefined || this.pooled ? {} : { name };
      const answer = await client.query({ ...prepared, text, ...(values === undefined ? {} : { values: [...values] }) });
      const result = Array.isArray(answer) ? (answer as (typeof answer)[]).at(-1)! : answer;
      return { rows: result.rows as unknown[], changed: result.rowCount ?? 0, command: result.command };
    } finally {
      clearTimeout(timer);
      this.#underWay.delete(own);
    }
  }

  async #verify(client: ClientBase, done: (problem?: Error) => void): Promise<void> {
    let problem: Error | undefined;
    // Between two statements nobody listens, and an error that nobody hears ends the process.
    client.on("error", () => undefined);
    client.on("notice", ({ routine }) => {
      if (routine === "SyncRepWaitForLSN") this.#unreplicated.add(client);
    });
    try {
      await this.primary.meet(client);
      // Not with the start of the connection: a pooler knows none of these there, and would refuse it.
      if (!this.pooled) await client.query(this.#session);
    } catch (error) {
      problem = error as Error;
    }
    done(problem);
  }

  /** Connections outlive a failover when the old primary does: only a new one shows where the address leads. */
  async #look(): Promise<void> {
    const now = performance.now();
    const oldest = this.#underWay.values().next().value ?? now;
    const pause = now - oldest > suspicious ? suspicious : this.#isBeside ? Infinity : askEvery;
    if (this.#pool.totalCount === 0 || now - this.#asked < pause) return;
    this.#asked = now;
    const client = this.#connect();
    client.on("error", () => undefined);
    try {
      await client.connect();
      await this.primary.meet(client);
    } catch {
      // Whoever needs a connection hears why there is none.
    } finally {
      this.primary.forget(client);
      client.end().catch(() => undefined);
    }
  }
}

function isUseless(error: unknown): boolean {
  const reason = reasonOf(error);
  return reason === "LOST" || reason === "NOT_PRIMARY";
}

/** Whatever else goes wrong before the first statement is somebody saying no: TLS, credentials, rights. */
function refused(error: unknown): DatabaseUnavailable {
  const unavailable = asUnavailable(error);
  if (unavailable instanceof DatabaseUnavailable) return unavailable;
  return new DatabaseUnavailable("REFUSED", `The database refuses the registry: ${(error as Error).message}`, error);
}
