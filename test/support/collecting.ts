// What a collector does to a registry, for tests that say when it runs and how much time has passed.

import type { Collected, CollectorTimes } from "../../src/registry/services/deletion/collect.ts";
import type { OwnRegistry } from "./own-registry.ts";

export interface Collecting {
  /** A round with these times, as a process that was started with them. */
  readonly collect: (times: CollectorTimes) => Promise<Collected>;
  /** How many keys the store has. */
  readonly stored: () => Promise<number>;
  /** How many rows a table has. */
  readonly count: (table: string) => Promise<number>;
  /** Makes what a column says so much older, in every row. */
  readonly age: (table: string, column: string, interval: string) => Promise<unknown>;
}

/** `registry`: that of the test that runs. */
export function collecting(registry: () => OwnRegistry): Collecting {
  return {
    collect: async (times) => {
      const collector = registry().collector(times);
      await collector.start();
      try {
        return await collector.runOnce();
      } finally {
        await collector.stop();
      }
    },
    stored: async () => {
      let keys = 0;
      for await (const _ of registry().store.list()) keys++;
      return keys;
    },
    count: async (table) => (await registry().rows<{ count: number }>(`SELECT count(*) AS count FROM ${table}`))[0]!.count,
    age: (table, column, interval) => registry().rows(`UPDATE ${table} SET ${column} = ${column} - interval '${interval}'`),
  };
}
