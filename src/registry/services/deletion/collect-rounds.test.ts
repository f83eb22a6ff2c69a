// Rounds of the collector: what they cost, beside each other and alone, and what they say of themselves.

import { randomBytes } from "node:crypto";

import { afterEach, beforeEach, expect, test } from "vitest";

import { collecting } from "../../../../test/support/collecting.ts";
import { longTimes, noTimes, openOwnRegistry, pushBlob, pushImage, type OwnRegistry } from "../../../../test/support/own-registry.ts";
import type { GcBacklog } from "../../metadata/gc-numbers.ts";
import { endGcPauses, pauseGc } from "../../metadata/gc-pauses.ts";
import { reviewQueue } from "../../metadata/gc-review.ts";

let registry: OwnRegistry;
beforeEach(async () => {
  registry = await openOwnRegistry();
});
afterEach(() => registry.close());

const { collect, stored, count, age } = collecting(() => registry);
const repository = "team/app";

test("more than a batch is collected in one round, in a number of statements that grows with the batches alone", async () => {
  await registry.setTimes(noTimes);
  await registry.rows("INSERT INTO prefixes VALUES ('bulk', 'own')");
  await registry.rows("INSERT INTO repositories (name) VALUES ('bulk/app')");
  await registry.rows(
    "INSERT INTO objects (key, state, ever_live, size) SELECT gen_random_uuid()::text, 'live', true, 7 FROM generate_series(1, 2500)",
  );
  await registry.rows("INSERT INTO blobs SELECT 'sha256:' || md5(key) || md5(key), 7, key FROM objects");
  await registry.rows("INSERT INTO repository_blobs SELECT r.id, digest, now() FROM blobs, repositories r");
  registry.statements();
  // Once each: the link and its blob go in one transaction, which leaves nothing to look at again.
  expect(await collect(noTimes)).toMatchObject({ reviewed: 2500, links: 2500, blobs: 2500, swept: 2500 });
  const statements = registry.statements();
  expect(statements.length).toBeLessThan(60);
  expect([await count("objects"), await count("blobs"), await count("gc_queue")]).toEqual([0, 0, 0]);
});

test("what was just deleted and is not vacuumed is not read again for each blob that goes", async () => {
  await registry.setTimes(noTimes);
  await pushImage(registry.push, repository, ["kept"]);
  await registry.rows(
    "INSERT INTO objects (key, state, ever_live, size) SELECT gen_random_uuid()::text, 'live', true, 7 FROM generate_series(1, 10000)",
  );
  await registry.rows("INSERT INTO blobs SELECT 'sha256:' || md5(key) || md5(key), 7, key FROM objects WHERE size = 7");
  await registry.rows("INSERT INTO repository_blobs SELECT r.id, digest, now() FROM blobs, repositories r WHERE size = 7");
  await registry.rows(
    "INSERT INTO manifest_blobs SELECT m.repository, m.digest, b.digest, 7, b.digest FROM manifests m, blobs b WHERE b.size = 7",
  );
  const entries =
    "SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid))::int AS read FROM pg_index WHERE indrelid = 'manifest_blobs'::regclass";
  let read = -1;
  // Somebody's snapshot, such as a backup's, keeps what is deleted from being vacuumed.
  await registry.database.transaction(
    async (snapshot) => {
      await snapshot.query({ name: "", text: "SELECT count(*) FROM tags" });
      await registry.rows("DELETE FROM gc_queue");
      await registry.rows("DELETE FROM manifest_blobs");
      await registry.rows("ANALYZE manifest_blobs");
      const reviewed = await reviewQueue({
        transaction: (work) =>
          registry.database.transaction(async (ours) => {
            const review = await work(ours);
            read = (await ours.query<{ read: number }>({ name: "", text: entries }))[0]!.read;
            return review;
          }),
      });
      expect(reviewed.blobs).toBeGreaterThan(900);
    },
    { repeatable: true },
  );
  // Two looks at each of a thousand: whether a manifest names it, and the foreign key. All that is dead is ten thousand entries.
  expect(read).toBeLessThan(5_000);
});

test("several collectors at once do everything once", async () => {
  await registry.setTimes(noTimes);
  await Promise.all(Array.from({ length: 60 }, () => pushBlob(registry.push, repository)));
  const rounds = await Promise.all(Array.from({ length: 4 }, () => registry.collector(noTimes).runOnce()));
  const rest = await (async () => {
    await age("gc_queue", "review_after", "1 minute");
    return registry.collector(noTimes).runOnce();
  })();
  const total = (name: "links" | "blobs" | "swept") => [...rounds, rest].reduce((sum, round) => sum + round[name], 0);
  expect([total("links"), total("blobs"), total("swept")]).toEqual([60, 60, 60]);
  expect([await count("objects"), await stored()]).toEqual([0, 0]);
});

test("what another collector has in its hands is left to it, and nobody waits", async () => {
  await registry.setTimes(noTimes);
  for (let blob = 0; blob < 3; blob++) await pushBlob(registry.push, repository);
  const [held] = await registry.rows<{ digest: string }>("SELECT digest FROM gc_queue ORDER BY digest LIMIT 1");
  await registry.rows("INSERT INTO objects (key, state, ever_live, size) SELECT gen_random_uuid()::text, 'swept', true, 1");
  await registry.rows("UPDATE objects SET sweep_after = now() WHERE state = 'swept'");
  await registry.database.transaction(async (other) => {
    await other.query({ name: "", text: "SELECT FROM gc_queue WHERE digest = $1 FOR UPDATE" }, [held!.digest]);
    await other.query({ name: "", text: "SELECT FROM objects WHERE state = 'swept' FOR UPDATE" });
    await other.query({ name: "", text: "SELECT FROM trash FOR UPDATE" });
    await other.query({ name: "", text: "SELECT FROM changes FOR UPDATE" });
    // It would end by the time limit of the test if it waited for the transaction around it.
    expect(await collect(noTimes)).toMatchObject({ reviewed: expect.any(Number), links: 2, blobs: 2, swept: 2, failedSteps: 0 });
  });
  expect(await collect(noTimes)).toMatchObject({ links: 1, blobs: 1, swept: 2 });
  expect(await count("objects")).toBe(0);
});

test("a round that finds nothing commits nothing that would have to wait for a disk", async () => {
  await collect(noTimes);
  const before = await count("commits");
  expect(await collect(noTimes)).toMatchObject({ reviewed: 0, swept: 0, followed: 0, failedSteps: 0 });
  expect(await count("commits")).toBe(before);
});

test("what waits is not counted again at once, what pauses is said in each round", async () => {
  const measured: GcBacklog[] = [];
  const collector = registry.collector(longTimes, undefined, { onMeasured: (backlog) => measured.push(backlog) });
  await collector.runOnce();
  await pushBlob(registry.push, repository);
  await pauseGc(registry.database, "store-behind", "for this test");
  await collector.runOnce();
  await endGcPauses(registry.database, ["store-behind"]);
  const [first] = measured;
  expect(measured).toEqual([first, { ...first, paused: true }]);
});

test("status counts what waits", async () => {
  const times = { ...noTimes, doomDelay: longTimes.doomDelay };
  await registry.setTimes(times);
  await pushImage(registry.push, repository, ["v1"]);
  await pushBlob(registry.push, repository, randomBytes(99));
  await collect(times);
  expect(await registry.collector(times).status()).toEqual({
    queue: 0,
    due: 0,
    oldestDueSeconds: null,
    uploading: 0,
    live: 2,
    doomed: 1,
    doomedBytes: 99,
    oldestDoomedSeconds: expect.any(Number),
    swept: 0,
    sweptLately: 0,
    sweptLatelyBytes: 0,
    paused: [],
  });
});
