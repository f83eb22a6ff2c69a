// What the collector takes, and what holds a blob.

import { randomBytes, randomUUID } from "node:crypto";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { collecting } from "../../../../test/support/collecting.ts";
import { eventually } from "../../../../test/support/eventually.ts";
import {
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
} from "../../../../test/support/own-registry.ts";
import { digestOf, type Digest } from "../../../domain/digest.ts";
import { observed } from "../../../failpoints/armed.ts";
import { reviewQueue } from "../../metadata/gc-review.ts";
import { announceObject } from "../../metadata/objects.ts";
import { commitFill } from "../../metadata/proxy-blobs.ts";
import type { Statement } from "../../metadata/statement.ts";

let registry: OwnRegistry;
beforeEach(async () => {
  registry = await openOwnRegistry();
});
afterEach(() => registry.close());

const { collect, stored, count, age } = collecting(() => registry);
const repository = "team/app";
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
