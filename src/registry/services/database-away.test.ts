// What works by itself, in long pauses, comes back soon after a database that was away.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { createLogger } from "../../observability/logger.ts";
import type { Database } from "../metadata/database.ts";
import { Collector, type CollectorOptions } from "./deletion/collect.ts";
import { DatabaseUnavailable } from "./errors.ts";
import { Eviction, type EvictionOptions } from "./proxy/eviction.ts";
import { VersionCopies, type VersionCopiesOptions } from "./versions/version-copies.ts";

const hour = 3_600_000;
const logger = createLogger({ level: "silent" });
let failure: Error | undefined;
let asked = 0;
const answer = async () => {
  asked++;
  if (failure !== undefined) throw failure;
  return [];
};
const database = { query: answer, execute: answer, transaction: answer } as unknown as Database;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  failure = undefined;
});
afterEach(() => vi.useRealTimers());

/** Whether something is asked again within five seconds of a round that failed so. */
async function comesBack(error: Error): Promise<boolean> {
  failure = error;
  await vi.advanceTimersByTimeAsync(hour);
  asked = 0;
  await vi.advanceTimersByTimeAsync(5_000);
  return asked > 0;
}

const away = new DatabaseUnavailable("UNREACHABLE", "nobody is there");
const times = { lease: hour, trashFor: hour, doomDelay: hour, interval: hour, uploadAbandonedAfter: hour };

const failures = [
  [away, true],
  [new Error("a bug"), false],
] as const;

test.each(failures)("the collector after %s: %s", async (error, soon) => {
  const collector = new Collector({ database, times, logger } as unknown as CollectorOptions);
  await collector.start();
  expect(await comesBack(error)).toBe(soon);
  await collector.stop();
});

test.each(failures)("eviction after %s: %s", async (error, soon) => {
  const eviction = new Eviction({ database, logger, times: { firstAfter: hour, pause: hour } } as unknown as EvictionOptions);
  eviction.start();
  expect(await comesBack(error)).toBe(soon);
  await eviction.stop();
});

const uncopied = { repository: "up/team/app", repositoryId: 1, digest: "sha256:0", tags: ["1.0"] };
const current = () => ({
  upstreamByPrefix: () => ({ spec: { offline: false, cache: { mode: "Always" } } }),
  upstreams: [],
  tagPolicies: [],
});
const copying = (options: object) =>
  new VersionCopies({
    database,
    logger,
    configuration: { current, onChange: () => () => undefined },
    ...options,
  } as unknown as VersionCopiesOptions);

test.each(failures)("the look for versions to copy after %s: %s", async (error, soon) => {
  failure = error;
  const copies = copying({});
  copies.start();
  expect(await comesBack(error)).toBe(soon);
  await copies.stop();
});

test.each(failures)("the copy of a version after %s: %s", async (error, soon) => {
  // It is due by the clock.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  const prefetch = { prefetch: answer };
  const found = { query: async () => [uncopied] };
  failure = error;
  const copies = copying({ database: found, prefetch });
  copies.start();
  expect(await comesBack(error)).toBe(soon);
  await copies.stop();
});
