// The brake: deleting for good pauses when it would be much at once.

import { randomBytes } from "node:crypto";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { collecting } from "../../../../test/support/collecting.ts";
import {
  describe as described,
  imageOf,
  noTimes,
  openOwnRegistry,
  pushBlob,
  pusher,
  pushImage,
  pushManifest,
  unprotected,
  type OwnRegistry,
} from "../../../../test/support/own-registry.ts";
import type { Digest } from "../../../domain/digest.ts";
import type { GcBacklog } from "../../metadata/gc-numbers.ts";
import type { CollectorOptions } from "./collect.ts";

let registry: OwnRegistry;
beforeEach(async () => {
  registry = await openOwnRegistry();
});
afterEach(() => registry.close());

const { stored, count, age } = collecting(() => registry);
const repository = "team/app";
const deleteManifest = (digest: Digest) => registry.push.deleteManifest(repository, { digest }, pusher, unprotected);

describe("the brake", () => {
  const brake = { percent: 30, bytes: 150 };
  /** Blobs of 100 bytes: as many kept as deleted. */
  async function deleteSome(deleted: number, kept: number): Promise<void> {
    await registry.setTimes(noTimes);
    const bytes = () => randomBytes(100);
    const layers = Array.from({ length: kept }, bytes);
    for (const layer of layers) await pushBlob(registry.push, repository, layer);
    if (kept > 0)
      await pushManifest(
        registry.push,
        repository,
        imageOf(
          described("c/c", layers[0]!),
          layers.map((layer) => described("l/l", layer)),
        ),
      );
    for (let blob = 0; blob < deleted; blob++) await pushBlob(registry.push, repository, bytes());
  }
  const braked = (more: Partial<CollectorOptions> = {}) => registry.collector(noTimes, undefined, { brake, ...more });

  test.each([
    ["few bytes", 1, 0, 1],
    ["a small part of all", 2, 6, 2],
    ["a large part of all", 4, 6, 0],
    ["everything", 4, 0, 0],
  ])("%s: %d of 100 bytes go, %d stay", async (_, deleted, kept, swept) => {
    await deleteSome(deleted, kept);
    expect(await braked().runOnce()).toMatchObject({ blobs: deleted, swept, failed: 0, failedSteps: 0 });
    expect(await stored()).toBe(kept + deleted - swept);
  });

  test("holds on every process, says why, and lets go what a person saw", async () => {
    await deleteSome(4, 6);
    const measured: GcBacklog[] = [];
    const [one, other] = [braked(), braked({ onMeasured: (backlog) => measured.push(backlog) })];
    await one.runOnce();
    expect(await other.runOnce()).toMatchObject({ swept: 0 });
    expect(measured).toMatchObject([{ doomed: 4, doomedBytes: 400, paused: true }]);
    expect((await other.status()).paused).toEqual([
      { reason: "brake", detail: expect.stringMatching(/^400 B of 1000 B would .*30 %, 150 B.*gc resume`$/), since: expect.any(String) },
    ]);
    // Everything else goes on.
    const gone = await pushImage(registry.push, repository);
    await deleteManifest(gone.digest);
    expect(await other.runOnce()).toMatchObject({ blobs: 2, swept: 0, prunedTrash: 1 });

    expect(await other.resume()).toBe(true);
    expect(await other.resume()).toBe(false);
    expect(await one.runOnce()).toMatchObject({ swept: 6 });
    expect((await one.status()).paused).toEqual([]);
    expect(await one.status()).toMatchObject({ doomed: 0, sweptLately: 6, sweptLatelyBytes: 560 });
    // What was doomed since has nobody's word.
    await deleteSome(4, 0);
    expect(await one.runOnce()).toMatchObject({ blobs: 4, swept: 0 });
    expect((await one.status()).paused).toHaveLength(1);
  });

  test("counts what went within the hour, and what will be due within it", async () => {
    await deleteSome(1, 2);
    expect(await braked().runOnce()).toMatchObject({ swept: 1 });
    await deleteSome(1, 0);
    // Together 200 of 400 bytes.
    expect(await braked().runOnce()).toMatchObject({ swept: 0 });
    expect((await braked().status()).paused).toHaveLength(1);
    await registry.rows("DELETE FROM gc_pauses");
    await age("gc_sweeps", "at", "61 minutes");
    expect(await braked().runOnce()).toMatchObject({ swept: 1 });

    await age("gc_sweeps", "at", "61 minutes");
    await deleteSome(2, 0);
    const later = { ...noTimes, doomDelay: 30 * 60_000 };
    await registry.setTimes(later);
    const delayed = registry.collector(later, undefined, { brake });
    expect(await delayed.runOnce()).toMatchObject({ blobs: 2, swept: 0 });
    expect((await delayed.status()).paused).toHaveLength(1);
  });

  test("is looked at again in the middle of a round: what becomes due meanwhile is nobody's allowance", async () => {
    await deleteSome(1, 2);
    const remove = registry.store.delete.bind(registry.store);
    let batches = 0;
    registry.store.delete = async (keys) => {
      if (batches++ === 0)
        await registry.rows(
          "INSERT INTO objects (key, state, ever_live, size, doomed_at, sweep_after) VALUES (gen_random_uuid()::text, 'doomed', true, 900, now(), now())",
        );
      return remove(keys);
    };
    expect(await braked().runOnce()).toMatchObject({ swept: 1 });
    expect((await braked().status()).paused).toHaveLength(1);
    expect(await registry.rows("SELECT size FROM objects WHERE state = 'doomed'")).toEqual([{ size: 900 }]);
  });

  test("is not moved by bytes that were surplus when they came, however often they are pushed", async () => {
    await deleteSome(0, 1);
    const again = randomBytes(100);
    for (let push = 0; push < 10; push++) await pushBlob(registry.push, repository, again);
    expect(await braked().runOnce()).toMatchObject({ blobs: 1, swept: 10 });
    expect((await braked().status()).paused).toEqual([]);
    // Nor do they make anybody's allowance larger.
    for (let push = 0; push < 10; push++) await pushBlob(registry.push, repository, again);
    expect(await braked().runOnce()).toMatchObject({ blobs: 1, swept: 0 });
    expect((await braked().status()).paused).toMatchObject([{ detail: expect.stringMatching(/^200 B of 300 B would/) }]);
  });

  test("two processes over their allowance at the same time pause once", async () => {
    await deleteSome(4, 6);
    const swept = await Promise.all(Array.from({ length: 4 }, () => braked().runOnce()));
    expect(swept.map((round) => round.swept)).toEqual([0, 0, 0, 0]);
    expect(await count("gc_pauses")).toBe(1);
    expect(await count("gc_sweeps")).toBe(0);
  });
});
