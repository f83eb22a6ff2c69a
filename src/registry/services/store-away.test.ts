// A bucket's service that is away, and comes back.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { noTimes, openOwnRegistry, pushBlob, type OwnRegistry } from "../../../test/support/own-registry.ts";
import type { FaultyHop } from "../../../test/support/faulty-hop.ts";
import { BlobStoreError } from "../blobs/blob-store.ts";

const repository = "team/app";
/** Requests that one question may cost. */
const attempts = 4;

let registry: OwnRegistry;
let hop: FaultyHop;
beforeEach(async () => {
  registry = await openOwnRegistry({ blobStore: "s3" });
  hop = registry.hop!;
});
afterEach(() => registry.close());

const waiting = () => registry.rows("SELECT FROM objects WHERE deletions = 0");

test("one small request finds out that it is back, and what failed meanwhile in any process goes at once", async () => {
  await registry.setTimes(noTimes);
  // Of these nobody knows whether they are unfinished uploads: each costs a request of its own.
  await registry.rows(
    "INSERT INTO objects (key, state, touched_at) SELECT gen_random_uuid(), 'uploading', '2000-01-01' FROM generate_series(1, 20)",
  );
  hop.fail(/./, "refused", Infinity);
  const [first, second] = [registry.collector(noTimes), registry.collector(noTimes)];
  expect(await first.runOnce()).toMatchObject({ swept: 0, failed: 20 });
  const before = hop.requests.length;
  expect(before).toBeGreaterThan(20);
  expect(await first.runOnce()).toMatchObject({ swept: 0, failed: 0, failedSteps: 0 });
  expect(hop.requests.slice(before).filter((line) => !/^POST .*[?&]delete/.test(line))).toEqual([]);
  expect(hop.requests.length - before).toBeLessThanOrEqual(attempts);

  hop.calm();
  await pushBlob(registry.push, repository);
  hop.fail(/./, "refused", Infinity);
  expect(await second.runOnce()).toMatchObject({ swept: 0, failed: 1 });
  expect(await waiting()).toHaveLength(21);
  hop.calm();
  expect(await first.runOnce()).toMatchObject({ swept: 21, failed: 0 });
  expect(await waiting()).toEqual([]);
  for await (const { key } of registry.store.list()) expect.unreachable(key);
});

test("the collector asks every few seconds, long before its next round", async () => {
  const own = await openOwnRegistry({ blobStore: "folder" });
  const collector = own.collector(noTimes);
  try {
    await own.setTimes(noTimes);
    await pushBlob(own.push, repository);
    const remove = own.store.delete.bind(own.store);
    own.store.delete = async (keys) => new Map(keys.map((key) => [key, new BlobStoreError("Unavailable", "no answer")]));
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await collector.start();
    await vi.advanceTimersByTimeAsync(noTimes.interval);
    const aSecondLater = async () => {
      await vi.advanceTimersByTimeAsync(1_000);
      return own.rows("SELECT state FROM objects");
    };
    await expect.poll(aSecondLater).toEqual([{ state: "swept" }]);
    own.store.delete = remove;
    // The work between two timers takes real time, so a second passes with each look; all of them are far from an hour.
    await expect.poll(aSecondLater).toEqual([]);
  } finally {
    vi.useRealTimers();
    await collector.stop();
    await own.close();
  }
});
