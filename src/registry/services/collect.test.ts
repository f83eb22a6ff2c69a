import { randomBytes, randomUUID } from "node:crypto";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { eventually } from "../../../test/support/eventually.ts";
import {
  bodyOf,
  describe as described,
  imageOf,
  longTimes,
  noTimes,
  openOwnRegistry,
  pushBlob,
  pusher,
  pushImage,
  pushManifest,
  readBlob,
  reader,
  unprotected,
  type OwnRegistry,
} from "../../../test/support/own-registry.ts";
import { digestOf, type Digest } from "../../domain/digest.ts";
import { mediaTypes } from "../../domain/media-types.ts";
import { createLogger } from "../../observability/logger.ts";
import { observed } from "../../failpoints/armed.ts";
import type { GcBacklog } from "../metadata/gc-numbers.ts";
import { BlobStoreError } from "../blobs/blob-store.ts";
import { endGcPauses, pauseGc } from "../metadata/gc-pauses.ts";
import { reviewQueue } from "../metadata/gc-review.ts";
import { claimDoomedObjects, expireUploads } from "../metadata/gc-sweep.ts";
import { announceObject } from "../metadata/objects.ts";
import { commitFill } from "../metadata/proxy-blobs.ts";
import type { Statement } from "../metadata/statement.ts";
import type { CollectorOptions, CollectorTimes } from "./collect.ts";
import { deleteClaimed } from "./sweep.ts";

let registry: OwnRegistry;
beforeEach(async () => {
  registry = await openOwnRegistry();
});
afterEach(() => registry.close());

const repository = "team/app";
const unanswered = new BlobStoreError("Unavailable", "no answer");

/** Rounds with these times, as a process that was started with them. */
async function collect(times: CollectorTimes) {
  const collector = registry.collector(times);
  await collector.start();
  try {
    return await collector.runOnce();
  } finally {
    await collector.stop();
  }
}
const stored = async () => {
  const keys: string[] = [];
  for await (const { key } of registry.store.list()) keys.push(key);
  return keys.length;
};
const count = async (table: string) => (await registry.rows<{ count: number }>(`SELECT count(*) AS count FROM ${table}`))[0]!.count;
const age = (what: string, column: string, interval: string) =>
  registry.rows(`UPDATE ${what} SET ${column} = ${column} - interval '${interval}'`);
const deleteManifest = (digest: Digest) => registry.push.deleteManifest(repository, { digest }, pusher, unprotected);

test("what was deleted goes to the last byte, what is held stays", async () => {
  await registry.setTimes(noTimes);
  const kept = await pushImage(registry.push, repository, ["kept"]);
  const gone = await pushImage(registry.push, repository, ["gone"]);
  await deleteManifest(gone.digest);
  expect(await collect(noTimes)).toMatchObject({ links: 2, blobs: 2, swept: 2, failed: 0, prunedTrash: 1 });
  expect(await stored()).toBe(2);
  expect([await count("objects"), await count("blobs"), await count("repository_blobs"), await count("gc_queue")]).toEqual([2, 2, 2, 0]);
  for (const digest of [kept.config, kept.layer]) await readBlob(registry.pull, repository, digest);
  await expect(registry.pull.blob(repository, gone.layer, reader, { head: false })).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  expect(await collect(noTimes)).toMatchObject({ reviewed: 0, links: 0, blobs: 0, swept: 0 });
});

describe("leases", () => {
  test("a pushed blob stays for its lease, then goes", async () => {
    const times = { ...noTimes, lease: longTimes.lease };
    await registry.setTimes(times);
    const digest = await pushBlob(registry.push, repository);
    expect(await collect(times)).toMatchObject({ reviewed: 0, links: 0 });
    await age("repository_blobs", "keep_until", "2 hours");
    await age("gc_queue", "review_after", "2 hours");
    expect(await collect(times)).toMatchObject({ links: 1, blobs: 1, swept: 1 });
    await expect(registry.pull.blob(repository, digest, pusher, { head: true })).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  });

  test("one that was extended is looked at again when it ends, once", async () => {
    const times = { ...noTimes, lease: longTimes.lease };
    await registry.setTimes(times);
    const digest = await pushBlob(registry.push, repository);
    await registry.rows("UPDATE repository_blobs SET keep_until = now() + interval '30 seconds'");
    await age("gc_queue", "review_after", "2 hours");
    expect(await collect(times)).toMatchObject({ reviewed: 1, links: 0 });
    expect(
      await registry.rows(
        "SELECT q.digest, review_after = keep_until AS at_its_end FROM gc_queue q JOIN repository_blobs l ON l.digest = q.digest",
      ),
    ).toEqual([{ digest, at_its_end: true }]);
  });

  test("a blob whose other link lives stays", async () => {
    await registry.setTimes(noTimes);
    const bytes = randomBytes(30);
    await pushBlob(registry.push, "team/other", bytes);
    await pushManifest(registry.push, "team/other", imageOf(described("c/c", bytes), []), { tags: ["holds"] });
    const digest = await pushBlob(registry.push, repository, bytes);
    expect(await collect(noTimes)).toMatchObject({ links: 1, blobs: 0 });
    expect(await readBlob(registry.pull, "team/other", digest)).toEqual(bytes);
    await expect(registry.pull.blob(repository, digest, reader, { head: false })).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  });
});

test("a blob whose links go in two transactions at once goes after the later one", async () => {
  await registry.setTimes(noTimes);
  const bytes = randomBytes(30);
  for (const name of [repository, "team/other"]) await pushBlob(registry.push, name, bytes);
  const [gone, looked] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  // A collector that settled its link, and has not committed yet.
  const other = registry.database.transaction(async (transaction) => {
    await transaction.query({ name: "", text: "SELECT set_config('wharfinger.links_settled', 'on', true)" });
    const [row] = await transaction.query<{ id: number }>({ name: "", text: "SELECT id FROM repositories WHERE name = 'team/other'" });
    await transaction.execute({ name: "", text: "DELETE FROM gc_queue WHERE repository = $1" }, [row!.id]);
    await transaction.execute({ name: "", text: "DELETE FROM repository_blobs WHERE repository = $1" }, [row!.id]);
    gone.resolve();
    await looked.promise;
  });
  await gone.promise;
  const reviewed = await reviewQueue({
    transaction: (work) =>
      registry.database.transaction((ours) =>
        work({
          execute: (statement, values) => ours.execute(statement, values),
          query: async <Row>(statement: Statement, values?: readonly unknown[]) => {
            const rows = await ours.query<Row>(statement, values);
            if (statement.name !== "gc-lock-blobs") return rows;
            looked.resolve();
            await other;
            return rows;
          },
        }),
      ),
  });
  expect(reviewed).toMatchObject({ links: 1, blobs: 0 });
  expect(await collect(noTimes)).toMatchObject({ links: 0, blobs: 1 });
});

test("where bytes came from is forgotten with them, also beside a fill that brings the same ones", async () => {
  await registry.setTimes(noTimes);
  const digest = digestOf(randomBytes(30));
  const fill = async (origin: string) => {
    const key = randomUUID();
    await announceObject(registry.database, key);
    await commitFill(registry.database, { key, digest, size: 30, origin, repositories: [] });
  };
  const review = async () => {
    await registry.rows("INSERT INTO gc_queue (repository, digest, review_after) VALUES (0, $1, now() - interval '1 hour')", [digest]);
    return reviewQueue(registry.database);
  };
  const origins = async () =>
    (await registry.rows<{ upstream: string }>("SELECT upstream FROM blob_origins ORDER BY 1")).map(({ upstream }) => upstream);
  await fill("a");
  // The fill has stored the blob again, and has yet to say where it came from.
  let beside: object = {};
  await observed(
    async (name) => {
      if (name === "U2.linked") beside = await review();
    },
    () => fill("b"),
  );
  expect(beside).toMatchObject({ reviewed: 1, blobs: 0 });
  expect(await origins()).toEqual(["a", "b"]);

  // The collector has deleted the blob, and the fill waits to hear whether that holds.
  let waiting: Promise<void> | undefined;
  await observed(async (name) => {
    if (name !== "G1.blobsGone") return;
    waiting = fill("c");
    const blocked = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    await eventually(async () => expect(await registry.rows(blocked)).toHaveLength(1));
  }, review);
  await waiting;
  expect([await origins(), await count("blobs")]).toEqual([["c"], 1]);
  expect(await review()).toMatchObject({ blobs: 1 });
  expect([await origins(), await count("blobs")]).toEqual([[], 0]);
});

describe("what holds a link", () => {
  test("a manifest that names it, also without a foreign key", async () => {
    await registry.setTimes(noTimes);
    const foreign = Buffer.from("a layer that is here although it need not be");
    await pushBlob(registry.push, repository, Buffer.from("{}"));
    await pushManifest(
      registry.push,
      repository,
      imageOf(described("c/c", Buffer.from("{}")), [described("application/vnd.oci.image.layer.nondistributable.v1.tar", foreign)]),
    );
    const digest = await pushBlob(registry.push, repository, foreign);
    expect(await collect(noTimes)).toMatchObject({ links: 0, blobs: 0 });
    expect(await readBlob(registry.pull, repository, digest)).toEqual(foreign);
  });

  test("a review that is still to come: the layers of what is in the trash", async () => {
    const times = { ...noTimes, trashFor: longTimes.trashFor };
    await registry.setTimes(times);
    const image = await pushImage(registry.push, repository, ["v1"]);
    await deleteManifest(image.digest);
    expect(await collect(times)).toMatchObject({ links: 0, blobs: 0, prunedTrash: 0 });
    await pushManifest(registry.push, repository, image.bytes, { tags: ["v1"] });
    await readBlob(registry.pull, repository, image.layer);
    await deleteManifest(image.digest);
    await age("trash", "deleted_at", "2 hours");
    await age("gc_queue", "review_after", "2 hours");
    expect(await collect(times)).toMatchObject({ links: 2, blobs: 2, swept: 2, prunedTrash: 2 });
    await expect(pushManifest(registry.push, repository, image.bytes)).rejects.toMatchObject({ code: "MANIFEST_BLOB_UNKNOWN" });
  });

  test("somebody who has it locked: it comes back in a minute", async () => {
    await registry.setTimes(noTimes);
    await pushBlob(registry.push, repository);
    await registry.database.transaction(async (transaction) => {
      await transaction.query({ name: "", text: "SELECT FROM repository_blobs FOR KEY SHARE" });
      expect(await collect(noTimes)).toMatchObject({ reviewed: 1, links: 0 });
    });
    const [row] = await registry.rows<{ seconds: number }>(
      "SELECT extract(epoch FROM review_after - now())::float8 AS seconds FROM gc_queue",
    );
    expect(row!.seconds).toBeGreaterThan(50);
    await age("gc_queue", "review_after", "1 minute");
    expect(await collect(noTimes)).toMatchObject({ links: 1, blobs: 1 });
  });

  test("the foreign key, when everything else is wrong", async () => {
    const image = await pushImage(registry.push, repository);
    await expect(registry.rows("DELETE FROM repository_blobs WHERE digest = $1", [image.layer])).rejects.toMatchObject({
      code: expect.stringMatching(/^23(?:503|001)$/),
      constraint: "manifest_blobs_held",
    });
    await expect(registry.rows("DELETE FROM blobs WHERE digest = $1", [image.layer])).rejects.toMatchObject({
      code: expect.stringMatching(/^23(?:503|001)$/),
    });
  });
});

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

/** One row of each kind that is to be forgotten, and as many that stay. */
async function growOld(): Promise<void> {
  await registry.rows("INSERT INTO prefixes VALUES ('old', 'own')");
  await registry.rows("INSERT INTO repositories (name) VALUES ('old/app')");
  for (const days of [1, 91]) {
    for (const text of [
      `INSERT INTO tag_events (repository, name, digest, at, by)
       SELECT id, 'v1', 'sha256:' || repeat('0', 64), now() - make_interval(days => $1), 'ci' FROM repositories WHERE name = 'old/app'`,
      "INSERT INTO activity (at, identity, action) VALUES (now() - make_interval(days => $1), 'ci', 'push')",
      "INSERT INTO plans (id, policy, document, created_at) VALUES ('of day ' || $1::int, 'default/p', '{}', now() - make_interval(days => $1))",
      `WITH run AS (
         INSERT INTO runs (kind, policy, trigger, state, started_at, ended)
         VALUES ('prune', 'default/p', 'manual', 'failed', now() - make_interval(days => $1), 100 - $1) RETURNING id)
       INSERT INTO proposals (run, kind, policy, repository, body, state, settled_at)
       SELECT id, 'retire', 'default/p', 'cgr/app', '{}', 'refused', now() - make_interval(days => $1) FROM run`,
    ]) {
      await registry.rows(text, [days]);
    }
  }
  await registry.rows("INSERT INTO record (revision, document) VALUES ('r1', $1)", [
    JSON.stringify({ resources: [{ kind: "TagPolicy", namespace: "default", name: "here", generation: 1 }], refused: [] }),
  ]);
  await registry.rows(
    `INSERT INTO sync_outcomes (policy, generation, repository, source_tag, digest, outcome)
     SELECT policy, 1, 'app', 'latest', 'sha256:0', 'Minted' FROM unnest(ARRAY['default/here', 'default/gone']) policy`,
  );
}

test.each([
  ["uploads", () => registry.rows("ALTER TABLE uploads RENAME TO elsewhere"), { links: 2, swept: 2, prunedTrash: 1, forgotten: 6 }],
  [
    "sweep",
    async () => (registry.store.delete = () => Promise.reject(new Error("the store is away"))),
    { links: 2, prunedTrash: 1, forgotten: 6 },
  ],
  ["trash", () => registry.rows("ALTER TABLE trash RENAME TO elsewhere"), { links: 2, swept: 2, forgotten: 6 }],
  ["history", () => registry.rows("ALTER TABLE tag_events RENAME TO elsewhere"), { links: 2, swept: 2, forgotten: 5 }],
  ["activity", () => registry.rows("ALTER TABLE activity RENAME TO elsewhere"), { links: 2, swept: 2, forgotten: 5 }],
  ["plans", () => registry.rows("ALTER TABLE plans RENAME TO elsewhere"), { links: 2, swept: 2, forgotten: 5 }],
  // A run stays as long as a proposal names it.
  ["proposals", () => registry.rows("ALTER TABLE proposals RENAME COLUMN settled_at TO elsewhere"), { swept: 2, forgotten: 4 }],
  ["runs", () => registry.rows("ALTER TABLE runs RENAME TO elsewhere"), { links: 2, swept: 2, forgotten: 5 }],
  ["outcomes", () => registry.rows("ALTER TABLE sync_outcomes RENAME TO elsewhere"), { links: 2, swept: 2, forgotten: 5 }],
])("a round in which %s fails does the rest, and says so", async (step, harm, rest) => {
  await registry.setTimes(noTimes);
  await growOld();
  const gone = await pushImage(registry.push, repository);
  await deleteManifest(gone.digest);
  await harm();
  const failed: string[] = [];
  expect(await registry.collector(noTimes, (name) => failed.push(name)).runOnce()).toMatchObject({ ...rest, failedSteps: 1 });
  expect(failed).toEqual([step]);
});

// On the run's server a transaction of any other test, in any database, holds the xmin, too; none takes a minute.
test("changes are pruned below an xmin that was read long enough ago, the young history of tags is not", { timeout: 120_000 }, async () => {
  await pushImage(registry.push, repository, ["a"]);
  await registry.push.deleteManifest(repository, { tag: "a" }, pusher, unprotected);
  expect(await count("changes")).toBeGreaterThan(0);
  await eventually(async () => {
    const young = "SELECT FROM changes WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())";
    expect(await registry.rows(young)).toEqual([]);
  }, 60);
  const collector = registry.collector(longTimes);
  expect(await collector.runOnce()).toMatchObject({ prunedChanges: 0 });
  const real = performance.now.bind(performance);
  try {
    performance.now = () => real() + 21 * 60_000;
    const before = await count("changes");
    expect(await collector.runOnce()).toMatchObject({ prunedChanges: before });
  } finally {
    performance.now = real;
  }
  expect(await count("changes")).toBe(0);
  expect(await count("tag_events")).toBe(2);
});

test("the history of tags is forgotten after 90 days, but for what says that a subject was here", async () => {
  const [plain, signed, followed] = [digestOf("plain"), digestOf("signed"), digestOf("followed")];
  await pushImage(registry.push, repository, [], { subject: { mediaType: mediaTypes.ociManifest, digest: signed, size: 1 } });
  await pushImage(registry.push, repository, [`${followed.replace(":", "-")}.sig`]);
  await registry.rows("DELETE FROM tag_events");
  await registry.rows(
    `INSERT INTO tag_events (repository, name, digest, previous, at, by)
     SELECT r.id, event.name, event.digest, event.previous, now() - interval '91 days', 'ci'
     FROM repositories r, unnest($1::text[], $2::text[], $3::text[]) AS event (name, digest, previous)`,
    [
      ["came", "went", "signed", "signed-went", "followed"],
      [plain, null, signed, null, followed],
      [null, plain, null, signed, null],
    ],
  );
  // More than a batch, on both sides of what stays.
  await registry.rows(
    `INSERT INTO tag_events (repository, name, digest, at, by)
     SELECT r.id, 'v' || n, $1, now() - make_interval(days => 91 + n % 2), 'ci' FROM repositories r, generate_series(1, 2500) n`,
    [plain],
  );
  await pushImage(registry.push, repository, ["young"]);
  const collector = registry.collector(longTimes);
  expect(await collector.runOnce()).toMatchObject({ forgotten: 2502, failedSteps: 0 });
  const names = async () => (await registry.rows<{ name: string }>("SELECT name FROM tag_events ORDER BY name")).map(({ name }) => name);
  expect(await names()).toEqual(["followed", "signed", "signed-went", "young"]);
  // Nobody asks about them once the referrer and the tag are gone; a process looks once a day.
  await registry.rows("DELETE FROM manifests WHERE subject IS NOT NULL");
  await registry.push.deleteManifest(repository, { tag: `${followed.replace(":", "-")}.sig` }, pusher, unprotected);
  expect(await collector.runOnce()).toMatchObject({ forgotten: 0 });
  expect(await registry.collector(longTimes).runOnce()).toMatchObject({ forgotten: 3 });
});

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
      { reason: "brake", detail: expect.stringMatching(/^400 B of 1000 B would .*30 %, 150 B.*gc resume$/), since: expect.any(String) },
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
