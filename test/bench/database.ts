// The PostgreSQL of a standalone process, looked at from beside: its processor time and its longest transaction.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { Client } from "pg";

import { processSeconds, treeUsage } from "./cpu.ts";

export interface WatchedDatabase {
  readonly client: Client;
  /** Processor seconds of all its processes so far, ours aside. */
  seconds(): Promise<number>;
  close(): Promise<void>;
}

export async function watchDatabase(dataFolder: string): Promise<WatchedDatabase> {
  const [pid = "", , , , sockets = ""] = (await readFile(join(dataFolder, "postgres/postmaster.pid"), "utf8")).split("\n");
  const url = `postgresql://wharfinger@localhost/wharfinger?host=${encodeURIComponent(sockets)}`;
  const client = new Client({ connectionString: url, application_name: "bench" });
  await client.connect();
  const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  const own = rows[0]!.pid;
  return {
    client,
    seconds: async () => (await treeUsage(Number(pid))).seconds - (await processSeconds(own)),
    close: () => client.end(),
  };
}

export interface LongestTransaction {
  readonly milliseconds: number;
  /** The statement in which it was seen last, shortened. */
  readonly statement: string;
}

/** The longest transaction of the registry that a look every few milliseconds found while `work` ran. */
export async function longestTransaction<T>(
  client: Client,
  work: Promise<T>,
): Promise<{ readonly longest: LongestTransaction; readonly result: T }> {
  const state = { busy: true };
  const ended = work.finally(() => (state.busy = false));
  let longest: LongestTransaction = { milliseconds: 0, statement: "" };
  const watching = (async () => {
    for (; state.busy; await sleep(25)) {
      const { rows } = await client.query<LongestTransaction>(
        `SELECT (extract(epoch FROM clock_timestamp() - xact_start) * 1000)::float8 AS milliseconds,
           left(regexp_replace(query, '\\s+', ' ', 'g'), 60) AS statement
         FROM pg_stat_activity WHERE application_name = 'wharfinger' AND state <> 'idle' AND xact_start IS NOT NULL
         ORDER BY xact_start LIMIT 1`,
      );
      if (rows[0] !== undefined && rows[0].milliseconds > longest.milliseconds) longest = rows[0];
    }
  })();
  const [result] = await Promise.all([ended, watching]);
  return { longest, result };
}
