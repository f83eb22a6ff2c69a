// Where the rows of a cluster are: the embedded PostgreSQL, or a primary with a synchronous standby that takes over.

import { join } from "node:path";
import type { NetConnectOpts } from "node:net";

import { startEmbeddedPostgres } from "../../src/standalone/postgres/server.ts";
import { eventually } from "../support/eventually.ts";
import { startPostgresServer, type PostgresServer } from "../support/postgres-server.ts";

export interface ClusterDatabase {
  /** For questions of the harness, beside the pods. */
  url(): string;
  /** Where a pod's next connection goes. */
  address(): NetConnectOpts;
  /** kill -9 of the postmaster and a new one on the same files. */
  crash(): Promise<void>;
  stop(): Promise<void>;
}

const maxConnections = 100;
const settings = { max_connections: String(maxConnections) };

/** Durable: a killed server must not lose what it said. */
export async function embeddedDatabase(folder: string): Promise<ClusterDatabase> {
  const start = () => startEmbeddedPostgres({ folder, maxConnections });
  let server = await start();
  return {
    url: () => server.url,
    address: () => ({ path: join(new URL(server.url).searchParams.get("host") ?? "", ".s.PGSQL.5432") }),
    crash: async () => {
      const ended = server.died;
      process.kill(server.pid, "SIGKILL");
      await ended;
      server = await start();
    },
    stop: () => server.stop(),
  };
}

const name = "registry";
/** In synchronous_standby_names. */
const follower = "follower";

export class ReplicatedDatabase implements ClusterDatabase {
  #primary: PostgresServer;
  #standby: PostgresServer | undefined;
  readonly #left: PostgresServer[] = [];

  private constructor(primary: PostgresServer) {
    this.#primary = primary;
  }

  static async start(): Promise<ReplicatedDatabase> {
    const primary = await startPostgresServer({ settings });
    await primary.run(`CREATE DATABASE ${name}`);
    const database = new ReplicatedDatabase(primary);
    await database.follow();
    return database;
  }

  url(): string {
    return this.#primary.url(name);
  }

  address(): NetConnectOpts {
    return { host: "127.0.0.1", port: this.#primary.port };
  }

  /** Gives the primary a standby without which it acknowledges nothing. */
  async follow(): Promise<void> {
    const primary = this.#primary;
    this.#standby = await primary.standby(follower, settings);
    await streaming(primary, "state = 'streaming'");
    await primary.run(`ALTER SYSTEM SET synchronous_standby_names = '${follower}'`);
    await primary.run("SELECT pg_reload_conf()");
    await streaming(primary, "sync_state = 'sync'");
  }

  /**
   * The standby takes over. The old primary was killed, or lives on where the open connections lead, and has nobody to acknowledge with: it ends
   * when a standby follows the new one.
   */
  async failOver(old: "killed" | "left alone"): Promise<void> {
    const left = this.#primary;
    const next = this.#standby;
    if (next === undefined) throw new Error("There is no standby: follow() first.");
    if (old === "killed") await left.signal("SIGKILL");
    await next.promote();
    // It has what its primary had, also whom that waited for.
    await next.run("ALTER SYSTEM RESET synchronous_standby_names");
    await next.run("SELECT pg_reload_conf()");
    this.#left.push(left);
    this.#primary = next;
    this.#standby = undefined;
  }

  async forgetOld(): Promise<void> {
    for (const server of this.#left.splice(0)) await server.stop();
  }

  crash(): Promise<void> {
    throw new Error("A replicated database fails over.");
  }

  async stop(): Promise<void> {
    await this.forgetOld();
    await this.#standby?.stop();
    await this.#primary.stop();
  }
}

function streaming(primary: PostgresServer, condition: string): Promise<unknown> {
  return eventually(async () => {
    const rows = await primary.run(`SELECT FROM pg_stat_replication WHERE ${condition}`);
    if (rows.length !== 1) throw new Error(`no standby has ${condition}`);
  });
}
