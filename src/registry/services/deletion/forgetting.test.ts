// What a round of the collector forgets beside bytes: trash, history, plans, runs, changes.

import { afterEach, beforeEach, expect, test } from "vitest";

import { collecting } from "../../../../test/support/collecting.ts";
import { eventually } from "../../../../test/support/eventually.ts";
import {
  longTimes,
  noTimes,
  openOwnRegistry,
  pusher,
  pushImage,
  unprotected,
  type OwnRegistry,
} from "../../../../test/support/own-registry.ts";
import { digestOf, type Digest } from "../../../domain/digest.ts";
import { mediaTypes } from "../../../domain/media-types.ts";

let registry: OwnRegistry;
beforeEach(async () => {
  registry = await openOwnRegistry();
});
afterEach(() => registry.close());

const { count } = collecting(() => registry);
const repository = "team/app";
const deleteManifest = (digest: Digest) => registry.push.deleteManifest(repository, { digest }, pusher, unprotected);

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
  });
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
