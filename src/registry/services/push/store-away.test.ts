// A bucket's service that is away, and comes back.

import { randomBytes } from "node:crypto";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { bodyOf, noTimes, openOwnRegistry, pushBlob, pusher, readBlob, type OwnRegistry } from "../../../../test/support/own-registry.ts";
import type { FaultyHop } from "../../../../test/support/faulty-hop.ts";
import { digestOf } from "../../../domain/digest.ts";
import { BlobStoreError } from "../../blobs/blob-store.ts";
import { smallestPart } from "../../blobs/part-size.ts";

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

test(
  "one small request finds out that it is back, and what failed meanwhile in any process goes at once",
  { timeout: 60_000 },
  async () => {
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
  },
);

test.each([
  ["a few bytes", 10, "refused"],
  ["more than a part", smallestPart + 1, "refused"],
  ["what the credentials may not write", 10, { answer: 403 }],
] as const)(
  "a session for %s that the store does not take ends, so that nobody is full of sessions when it is back",
  // A request that is refused is tried four times, in pauses that grow.
  { timeout: 60_000 },
  async (_, size, fault) => {
    await registry.close();
    registry = await openOwnRegistry({ blobStore: "s3", sessionLimits: { perIdentity: 1, all: 1 } });
    hop = registry.hop!;
    const bytes = randomBytes(size);
    const start = async () => (await registry.push.startUpload(repository, pusher, { algorithm: "sha256" })).id;
    const refused = { name: "BlobStoreError" };
    const complete = async () =>
      registry.push.complete(repository, await start(), pusher, { digest: digestOf(bytes), body: bodyOf(bytes) });
    hop.fail(/./, fault, Infinity);
    await expect(registry.push.append(repository, await start(), pusher, { body: bodyOf(bytes) })).rejects.toMatchObject(refused);
    await expect(complete()).rejects.toMatchObject(refused);
    expect(await registry.rows("SELECT FROM uploads")).toEqual([]);
    // Nor do bytes wait for the day when a silent writer is given up.
    expect(await registry.rows("SELECT DISTINCT state FROM objects")).toEqual([{ state: "doomed" }]);

    hop.calm();
    await complete();
    expect(await readBlob(registry.pull, repository, digestOf(bytes))).toEqual(bytes);
  },
);

test("a session that has bytes outlives a store that is away", async () => {
  const { id } = await registry.push.startUpload(repository, pusher, { algorithm: "sha256" });
  await registry.push.append(repository, id, pusher, { body: bodyOf("abc") });
  hop.fail(/./, "refused", Infinity);
  await expect(registry.push.append(repository, id, pusher, { body: bodyOf("def") })).rejects.toMatchObject({ code: "Unavailable" });
  hop.calm();
  expect(await registry.push.uploadStatus(repository, id, pusher)).toEqual({ id, offset: 3 });
  await registry.push.complete(repository, id, pusher, { digest: digestOf("abcdef"), body: bodyOf("def"), start: 3 });
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
