// What plans say comes free, and what is stored of them.

import { afterEach, beforeEach, expect, test } from "vitest";

import { describe, imageOf, longTimes, pushBlob, pusher, pushImage, pushManifest } from "../../../../test/support/own-registry.ts";
import { deletes, openRetention, repository, spec, type RetentionWorld } from "../../../../test/support/retention.ts";
import { digestOf } from "../../../domain/digest.ts";
import { mediaTypes } from "../../../domain/media-types.ts";

let world: RetentionWorld;
beforeEach(async () => {
  world = await openRetention();
});
afterEach(() => world.close());

test("bytes that another repository holds do not come free", async () => {
  const layer = Buffer.alloc(1000, "shared");
  const config = describe(mediaTypes.ociEmpty, Buffer.from("{}"));
  for (const name of [repository, "team-b/other"]) {
    for (const blob of [layer, Buffer.from("{}")]) await pushBlob(world.registry.push, name, blob);
    const bytes = imageOf(config, [describe("application/vnd.oci.image.layer.v1.tar", layer)], { annotations: { name } });
    await pushManifest(world.registry.push, name, bytes, { tags: ["x"] });
  }
  await world.registry.push.mount("team-a/third", pusher, { digest: digestOf(layer), from: repository, readable: () => true });
  await world.publish({ builds: spec([{ name: "none", tags: "y" }]) });
  const plan = await world.retention.plan("default/builds");
  expect(plan.totals).toEqual({ kept: 0, deleted: 1, bytes: 0 });
  expect(await world.retention.apply("default/builds", { plan: plan.id }, "admin")).toMatchObject({ bytes: 0 });
});

test("blobs that are shared come free once, and only when nothing kept holds them", async () => {
  const blobs = { shared: Buffer.alloc(1000, "s"), kept: Buffer.alloc(500, "k"), config: Buffer.from("{}") };
  for (const name of [repository, "team-a/two"]) for (const blob of Object.values(blobs)) await pushBlob(world.registry.push, name, blob);
  const image = (name: string, tags: string[], layers: Buffer[]) => {
    const described = layers.map((layer) => describe("application/vnd.oci.image.layer.v1.tar", layer));
    const bytes = imageOf(describe(mediaTypes.ociEmpty, blobs.config), described, { annotations: { tags: tags.join() } });
    return pushManifest(world.registry.push, name, bytes, { tags });
  };
  await image(repository, ["x1"], [blobs.shared]);
  await image(repository, ["x2"], [blobs.shared, blobs.kept]);
  await image("team-a/two", ["x3"], [blobs.shared]);
  await image("team-a/two", ["v1"], [blobs.kept]);
  await world.publish({ builds: spec([{ name: "releases", tags: "v.*" }]) });
  const plan = await world.retention.plan("default/builds");
  expect(plan.entries.map(({ tag, bytes }) => [tag, bytes])).toEqual([
    ["x1", 0],
    ["x2", 0],
    ["v1", 0],
    ["x3", 1000],
  ]);
  expect(await world.retention.apply("default/builds", { plan: plan.id }, "admin")).toMatchObject({ bytes: 1000, kept: [] });
});

test("more images than are asked for at once: each layer comes free, and the one that all share with the last of them", async () => {
  const { digest } = await pushImage(world.registry.push, repository, ["keep"]);
  await world.registry.rows(
    `WITH layers AS (
       SELECT n, 'sha256:' || encode(sha256(convert_to('layer ' || n, 'UTF8')), 'hex') AS digest FROM generate_series(0, 5500) n
     ), stored AS (
       INSERT INTO objects (key, size, state, ever_live) SELECT digest, 10, 'live', true FROM layers
     ), blob AS (
       INSERT INTO blobs (digest, size, object_key) SELECT digest, CASE n WHEN 0 THEN 1000 ELSE 10 END, digest FROM layers
     ), link AS (
       INSERT INTO repository_blobs (repository, digest, keep_until) SELECT r.id, digest, now() FROM layers, repositories r
     ), image AS (
       INSERT INTO manifests (repository, digest, media_type, bytes, keep_until)
       SELECT r.id, 'sha256:' || encode(sha256(convert_to('image ' || n, 'UTF8')), 'hex'), $1, '{}', now()
       FROM generate_series(1, 1100) n, repositories r
       RETURNING repository, digest
     ), tag AS (
       INSERT INTO tags (repository, name, digest) SELECT repository, 'x' || row_number() OVER (ORDER BY digest), digest FROM image
     )
     INSERT INTO manifest_blobs (repository, manifest, digest, size, held)
     SELECT image.repository, image.digest, layers.digest, 10, layers.digest
     FROM (SELECT *, row_number() OVER (ORDER BY digest) AS place FROM image) image
     JOIN layers ON layers.n = 0 OR layers.n % 1100 = place % 1100`,
    [mediaTypes.ociManifest],
  );
  await world.registry.rows(
    `INSERT INTO manifest_blobs (repository, manifest, digest, size)
     SELECT l.repository, $1, l.digest, 10 FROM repository_blobs l JOIN blobs b USING (digest) WHERE b.size = 10 ORDER BY l.digest LIMIT 1`,
    [digest],
  );
  await world.publish({ builds: spec([{ name: "one", tags: "keep" }]) });
  const plan = await world.retention.plan("default/builds");
  const bytes = 1000 + 5_500 * 10 - 10;
  expect(plan.totals).toEqual({ kept: 1, deleted: 1_100, bytes });
  expect(plan.entries.filter((entry) => entry.bytes >= 1000)).toHaveLength(1);
  expect(await world.retention.apply("default/builds", { plan: plan.id }, "admin")).toMatchObject({ bytes, kept: [] });
});

test("of a stored plan nothing is kept of what it keeps", async () => {
  await world.publish({ plans: spec([{ name: "first", tags: "build-1" }]) });
  await world.pushBuilds(2);
  await world.age(1);
  const plan = await world.retention.plan("default/plans");
  const [stored] = await world.registry.rows<{ tags: string[] }>(
    "SELECT array_agg(coalesce(entry->>'tag', entry->>'digest')) AS tags FROM plans, jsonb_array_elements(document->'entries') AS entry WHERE id = $1",
    [plan.id],
  );
  expect(plan.entries.map(({ tag, verdict }) => [tag, verdict])).toContainEqual(["build-1", "keep"]);
  expect([deletes(plan), stored?.tags]).toEqual([expect.arrayContaining(["build-2"]), deletes(plan)]);
});

test("plans are kept for 90 days", async () => {
  await world.publish({ builds: spec([{ name: "all" }]) });
  const plan = await world.retention.plan("default/builds");
  await world.registry.rows("UPDATE plans SET created_at = created_at - interval '91 days'");
  await world.pushBuilds(1);
  const other = await world.retention.plan("default/builds");
  expect(await world.registry.collector(longTimes).runOnce()).toMatchObject({ forgotten: 1, failedSteps: 0 });
  expect((await world.registry.rows<{ id: string }>("SELECT id FROM plans")).map(({ id }) => id)).toEqual([other.id]);
  expect(other.id).not.toBe(plan.id);
});
