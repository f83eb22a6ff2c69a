// Bytes of the store that are doomed: deleted once, by whoever, whatever the store says to it.

import { randomBytes } from "node:crypto";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { collecting } from "../../../../test/support/collecting.ts";
import {
  bodyOf,
  describe as described,
  imageOf,
  longTimes,
  noTimes,
  openOwnRegistry,
  pushBlob,
  pusher,
  pushManifest,
  readBlob,
  type OwnRegistry,
} from "../../../../test/support/own-registry.ts";
import { createLogger } from "../../../observability/logger.ts";
import { BlobStoreError } from "../../blobs/blob-store.ts";
import { endGcPauses, pauseGc } from "../../metadata/gc-pauses.ts";
import { claimDoomedObjects, expireUploads } from "../../metadata/gc-sweep.ts";
import { deleteClaimed } from "./sweep.ts";

let registry: OwnRegistry;
beforeEach(async () => {
  registry = await openOwnRegistry();
});
afterEach(() => registry.close());

const { collect, stored, count, age } = collecting(() => registry);
const repository = "team/app";
const unanswered = new BlobStoreError("Unavailable", "no answer");

describe("sweeping", () => {
  test("waits for doomDelay, and nothing comes back from doomed", async () => {
    const times = { ...noTimes, doomDelay: longTimes.doomDelay };
    await registry.setTimes(times);
    const bytes = randomBytes(40);
    const digest = await pushBlob(registry.push, repository, bytes);
    expect(await collect(times)).toMatchObject({ blobs: 1, swept: 0 });
    expect(await stored()).toBe(1);
    await pushBlob(registry.push, repository, bytes);
    await pushManifest(registry.push, repository, imageOf(described("c/c", bytes), []));
    expect(await stored()).toBe(2);
    await age("objects", "doomed_at", "2 hours");
    expect(await collect(times)).toMatchObject({ swept: 1 });
    expect(await stored()).toBe(1);
    expect(await readBlob(registry.pull, repository, digest)).toEqual(bytes);
  });

  test("what the store could not delete is tried again, by itself", async () => {
    await registry.setTimes(noTimes);
    for (let blob = 0; blob < 3; blob++) await pushBlob(registry.push, repository);
    const remove = registry.store.delete.bind(registry.store);
    let stubborn = "";
    registry.store.delete = async (keys) => {
      stubborn = keys[0]!;
      return new Map([...(await remove(keys.slice(1))), [stubborn, new Error("busy")]]);
    };
    expect(await collect(noTimes)).toMatchObject({ swept: 2, failed: 1 });
    registry.store.delete = remove;
    expect(await registry.rows("SELECT key, state FROM objects")).toEqual([{ key: stubborn, state: "swept" }]);
    expect(await collect(noTimes)).toMatchObject({ swept: 0 });
    await age("objects", "sweep_after", "5 minutes");
    expect(await collect(noTimes)).toMatchObject({ swept: 1, failed: 0 });
    expect([await count("objects"), await stored()]).toEqual([0, 0]);
  });

  test("keys for which the store never answers wait by themselves, and hold up no others", async () => {
    await registry.setTimes(noTimes);
    await pushBlob(registry.push, repository);
    const remove = registry.store.delete.bind(registry.store);
    const stuck = new Set<string>();
    for await (const { key } of registry.store.list()) stuck.add(key);
    registry.store.delete = async (keys, sizes) =>
      new Map([...(await remove(keys, sizes))].map(([key, error]) => [key, stuck.has(key) ? unanswered : error]));
    const collector = registry.collector(noTimes);
    expect(await collector.runOnce()).toMatchObject({ swept: 0, failed: 1 });
    await pushBlob(registry.push, repository);
    // The store answers, so all is due again; then it is known to be these.
    expect(await collector.runOnce()).toMatchObject({ swept: 1, failed: 1 });
    expect(await collector.runOnce()).toMatchObject({ swept: 0, failed: 0 });
    expect(await registry.rows("SELECT key, state FROM objects")).toEqual([...stuck].map((key) => ({ key, state: "swept" })));
  });

  test("a store that is away when the marker is written counts as away, and its keys are not claimed for longer", async () => {
    await registry.setTimes(noTimes);
    await pushBlob(registry.push, repository);
    let away = true;
    const beforeDeletion = async () => {
      if (away) throw unanswered;
      return true;
    };
    const collector = registry.collector(noTimes, undefined, { beforeDeletion });
    expect(await collector.runOnce()).toMatchObject({ swept: 0, failed: 1, failedSteps: 0 });
    away = false;
    expect(await collector.runOnce()).toMatchObject({ failed: 0 });
    expect([await count("objects"), await stored()]).toEqual([0, 0]);
  });

  test("while there is a pause nothing is deleted, doomed long ago or due; each reason ends by itself", async () => {
    await registry.setTimes(noTimes);
    for (let blob = 0; blob < 2; blob++) await pushBlob(registry.push, repository);
    await pauseGc(registry.database, "brake", "too much");
    expect(await pauseGc(registry.database, "database-behind", "too old")).toBe(true);
    expect(await pauseGc(registry.database, "database-behind", "again")).toBe(false);
    expect(await collect(noTimes)).toMatchObject({ blobs: 2, swept: 0 });
    await registry.rows("UPDATE objects SET sweep_after = now() WHERE key = (SELECT max(key) FROM objects)");
    await endGcPauses(registry.database, ["brake"]);
    expect(await collect(noTimes)).toMatchObject({ swept: 0 });
    expect((await registry.collector(noTimes).status()).paused).toEqual([
      { reason: "database-behind", since: expect.stringMatching(/^\d{4}-\d\d-\d\dT/), detail: "too old" },
    ]);
    await endGcPauses(registry.database, ["brake", "database-behind"]);
    expect(await collect(noTimes)).toMatchObject({ swept: 2 });
  });

  test("a process that died between claim and deletion: another one deletes", async () => {
    await registry.setTimes(noTimes);
    await pushBlob(registry.push, repository);
    registry.store.delete = () => Promise.reject(new Error("killed"));
    expect(await collect(noTimes)).toMatchObject({ swept: 0, failedSteps: 1 });
    Reflect.deleteProperty(registry.store, "delete");
    expect(await registry.rows("SELECT state FROM objects")).toEqual([{ state: "swept" }]);
    await age("objects", "sweep_after", "10 minutes");
    expect(await collect(noTimes)).toMatchObject({ swept: 1 });
    expect([await count("objects"), await stored()]).toEqual([0, 0]);
  });
});

describe("uploads", () => {
  test("an expired session ends and its bytes go; the key is deleted once more after a week", async () => {
    const { id } = await registry.push.startUpload(repository, pusher, { algorithm: "sha256" });
    await registry.push.append(repository, id, pusher, { body: bodyOf("never finished") });
    expect(await collect(longTimes)).toMatchObject({ expiredUploads: 0, swept: 0 });
    await age("uploads", "expires_at", "2 hours");
    expect(await collect(longTimes)).toMatchObject({ expiredUploads: 1, swept: 1 });
    expect([await count("uploads"), await stored()]).toEqual([0, 0]);
    expect(await registry.rows("SELECT state, deletions FROM objects")).toEqual([{ state: "swept", deletions: 1 }]);
    await age("objects", "sweep_after", "6 days 23 hours");
    expect(await collect(longTimes)).toMatchObject({ swept: 0 });
    await age("objects", "sweep_after", "1 hour");
    expect(await collect(longTimes)).toMatchObject({ swept: 1 });
    expect(await count("objects")).toBe(0);
  });

  describe("a key that two processes claimed, since the first took more than ten minutes", () => {
    const logger = createLogger({ level: "silent" });
    const claim = async () => (await claimDoomedObjects(registry.database, Infinity))!.objects;
    const rowOf = () =>
      registry.rows("SELECT deletions, sweep_after > now() + interval '6 days' AS \"inAWeek\" FROM objects WHERE state = 'swept'");
    async function claimTwice() {
      const { id } = await registry.push.startUpload(repository, pusher, { algorithm: "sha256" });
      await registry.push.append(repository, id, pusher, { body: bodyOf("its writer sleeps") });
      await registry.setTimes(longTimes);
      await age("uploads", "expires_at", "2 hours");
      await expireUploads(registry.database);
      const first = await claim();
      await age("objects", "sweep_after", "10 minutes");
      const second = await claim();
      expect(second.map(({ key }) => key)).toEqual(first.map(({ key }) => key));
      expect(first).toHaveLength(1);
      return { first, second };
    }

    test("is still deleted once more in a week", async () => {
      const { database, store } = registry;
      const { first, second } = await claimTwice();
      expect(await deleteClaimed({ database, store, logger }, first)).toMatchObject({ gone: 1, failed: 0 });
      expect(await deleteClaimed({ database, store, logger }, second)).toMatchObject({ gone: 1, failed: 0 });
      expect(await rowOf()).toEqual([{ deletions: 1, inAWeek: true }]);
      await age("objects", "sweep_after", "7 days");
      expect(await collect(longTimes)).toMatchObject({ swept: 1 });
      expect(await count("objects")).toBe(0);
    });

    test("and not in five minutes, where the second could not delete it", async () => {
      const { database, store } = registry;
      const { first, second } = await claimTwice();
      await deleteClaimed({ database, store, logger }, first);
      const failing = { delete: async (keys: readonly string[]) => new Map(keys.map((key) => [key, new Error("away")])) };
      expect(await deleteClaimed({ database, store: failing, logger }, second)).toMatchObject({ gone: 0, failed: 1 });
      expect(await rowOf()).toEqual([{ deletions: 1, inAWeek: true }]);
    });
  });

  test("G3: a writer that was silent for too long is given up, and cannot commit any more", async () => {
    const { id } = await registry.push.startUpload(repository, pusher, { algorithm: "sha256" });
    await registry.push.append(repository, id, pusher, { body: bodyOf("slow") });
    await age("objects", "touched_at", "2 hours");
    expect(await collect(longTimes)).toMatchObject({ abandoned: 1, swept: 1 });
    await expect(registry.push.append(repository, id, pusher, { body: bodyOf("more") })).rejects.toMatchObject({
      code: "BLOB_UPLOAD_UNKNOWN",
    });
  });
});
