// More than goes in one transaction, and what others do meanwhile.

import { afterEach, beforeEach, describe as describeTests, expect, test } from "vitest";

import { describe, indexOf, pusher, pushImage, pushManifest, reader, type PushedImage } from "../../../../test/support/own-registry.ts";
import { deletes, names, openRetention, repository, spec, type RetentionWorld } from "../../../../test/support/retention.ts";
import type { Digest } from "../../../domain/digest.ts";
import { mediaTypes } from "../../../domain/media-types.ts";
import { followersAtOnce } from "../../metadata/manifest-deletion.ts";

let world: RetentionWorld;
beforeEach(async () => {
  world = await openRetention();
});
afterEach(() => world.close());

test("a subject with more referrers than go at once: no transaction of the apply takes more, and all of them are gone", async () => {
  const [first] = (await world.pushBuilds(2)) as [Digest, Digest];
  await world.registry.rows(
    `INSERT INTO manifests (repository, digest, media_type, bytes, subject, keep_until)
     SELECT m.repository, 'sha256:' || md5(n::text) || md5(n::text), m.media_type, '', m.digest, now()
     FROM manifests m, generate_series(1, 2500) n WHERE m.digest = $1`,
    [first],
  );
  // A client deleted another one and died before what followed it was judged: that is done on the way, and a protected tag holds.
  const kept = (await pushImage(world.registry.push, repository, [`sha256-${"0".repeat(64)}.keep`])).digest;
  await world.age(1);
  await world.registry.rows(
    `INSERT INTO departed (repository, digest, by, reason, trash, heeds_protection)
     SELECT repository, $2, 'user:ci', 'client', true, true FROM manifests WHERE digest = $1`,
    [first, `sha256:${"0".repeat(64)}`],
  );
  const keep = { tags: "sha256-.*", mostRecentlyPushed: 1 };
  await world.publish({
    builds: spec([
      { name: "recent", tags: "build-.*", mostRecentlyPushed: 1 },
      { name: "kept", ...keep },
    ]),
  });
  const plan = await world.retention.plan("default/builds");
  expect(deletes(plan)).toHaveLength(2_501);
  const applied = await world.retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(names(applied.deleted)).toEqual(deletes(plan).toSorted());
  expect(await world.registry.rows("SELECT count(*) AS manifests, sum((digest = $1)::int) AS kept FROM manifests", [kept])).toEqual([
    { manifests: 2, kept: 1 },
  ]);
  const transactions = await world.registry.rows<{ count: number }>("SELECT count(*) AS count FROM trash GROUP BY xmin::text");
  expect(transactions.reduce((sum, { count }) => sum + count, 0)).toBe(2_501);
  expect(Math.max(...transactions.map(({ count }) => count))).toBeLessThanOrEqual(followersAtOnce);
  expect(await world.registry.rows("SELECT FROM departed")).toEqual([]);
});

test("more than one batch: two thousand tags of one repository", async () => {
  const { digest } = await pushImage(world.registry.push, repository, ["keep"]);
  const { digest: other } = await pushImage(world.registry.push, repository, ["x0"]);
  await world.registry.rows(
    "INSERT INTO tags (repository, name, digest) SELECT r.id, 'y' || n, $1 FROM repositories r, generate_series(1, 1200) n",
    [digest],
  );
  await world.registry.rows(
    "INSERT INTO tags (repository, name, digest) SELECT r.id, 'x' || n, $1 FROM repositories r, generate_series(1, 1300) n",
    [other],
  );
  await world.publish({ builds: spec([{ name: "one", tags: "keep" }]) });
  const plan = await world.retention.plan("default/builds");
  expect(plan.totals.deleted).toBe(2501);
  world.registry.statements();
  const applied = await world.retention.apply("default/builds", { plan: plan.id }, "admin");
  // The repository is read once, not for every batch.
  expect(world.registry.statements().filter((name) => name === "retention-own-tags")).toHaveLength(1);
  expect(applied).toMatchObject({ kept: [], bytes: 160 });
  expect(applied.deleted).toHaveLength(2501);
  expect(await world.tagsOf()).toEqual(["keep"]);
});

describeTests("what changes between two batches", () => {
  /** A first batch of tags `x…` and a second one with `z`, the only tag of its image. */
  async function twoBatches(): Promise<{ readonly z: PushedImage; readonly plan: string }> {
    const { digest } = await pushImage(world.registry.push, repository, ["x0"]);
    const z = await pushImage(world.registry.push, repository, ["z"]);
    await world.registry.rows(
      "INSERT INTO tags (repository, name, digest) SELECT r.id, 'x' || n, $1 FROM repositories r, generate_series(1, 1100) n",
      [digest],
    );
    await world.publish({
      builds: spec([
        { name: "none", tags: "keep-.*" },
        { name: "used", tags: "z", pulledWithin: "1h" },
      ]),
    });
    await world.age(48);
    return { z, plan: (await world.retention.plan("default/builds")).id };
  }
  /** Runs `change` after each transaction that has committed, as often as it says. */
  function afterTransactions(change: () => Promise<unknown>, times: number): void {
    const { database } = world.registry;
    const real = database.transaction.bind(database);
    let left = times;
    database.transaction = async (...given: Parameters<typeof real>) => {
      const result = await real(...given);
      if (left-- > 0) {
        database.transaction = real;
        await change();
        if (left > 0) afterTransactions(change, left);
      }
      return result as never;
    };
  }
  const apply = (plan: string) => world.retention.apply("default/builds", { plan }, "admin");

  test.each<[string, (z: PushedImage) => Promise<unknown>]>([
    ["a tag that is kept", (z) => pushManifest(world.registry.push, repository, z.bytes, { tags: ["keep-z"] })],
    [
      "a lease",
      () =>
        world.registry.rows(
          "UPDATE manifests SET keep_until = now() + interval '1 hour' WHERE digest IN (SELECT digest FROM tags WHERE name = 'z')",
        ),
    ],
    [
      "a pull",
      (z) =>
        world.registry.rows("INSERT INTO pulls (repository, digest, last_at, count) SELECT id, $1, now(), 1 FROM repositories", [z.digest]),
    ],
    [
      "an index around it",
      (z) => pushManifest(world.registry.push, repository, indexOf([describe(mediaTypes.ociManifest, z.bytes)]), { tags: ["keep-index"] }),
    ],
    ["the policy", () => world.publish({ builds: spec([{ name: "z", tags: "z" }]) })],
  ])("%s: the image is not deleted", async (_, change) => {
    const { z, plan } = await twoBatches();
    afterTransactions(() => change(z), 1);
    const applied = await apply(plan);
    expect(applied.deleted.length).toBeGreaterThan(900);
    expect(await world.registry.pull.manifest(repository, { digest: z.digest }, reader, { head: false })).toMatchObject({
      digest: z.digest,
    });
  });

  const heard = (images: readonly string[], more: object = {}) => {
    const report = {
      takenAt: new Date().toISOString(),
      scope: "Cluster" as const,
      complete: true,
      images: images.map((image) => ({ image })),
    };
    return world.workloads.report("east", { ...report, ...more });
  };

  test.each<[string, (z: PushedImage) => Promise<unknown>]>([
    ["a cluster uses it", ({ digest }) => heard([`registry.example.com/${repository}@${digest}`], { complete: false })],
    ["a cluster falls silent", () => world.registry.rows("UPDATE workload_reports SET taken_at = taken_at - interval '1 hour'")],
  ])("%s: the image is not deleted", async (_, change) => {
    world = { ...world, ...world.asking(["east"]) };
    await heard([]);
    const { z, plan } = await twoBatches();
    afterTransactions(() => change(z), 1);
    const applied = await apply(plan);
    expect(applied.deleted.length).toBeGreaterThan(900);
    expect(applied.kept).toContainEqual(expect.objectContaining({ tag: "z", rule: "inUse" }));
    expect(await world.registry.pull.manifest(repository, { tag: "z" }, reader, { head: false })).toMatchObject({ digest: z.digest });
  });

  test("somebody who pushes all the time stops no prune", async () => {
    const { plan } = await twoBatches();
    let number = 0;
    afterTransactions(() => pushImage(world.registry.push, repository, [`keep-${number++}`]), 20);
    const applied = await apply(plan);
    expect(applied).toMatchObject({ kept: [] });
    expect(applied.deleted).toHaveLength(1102);
    expect((await world.tagsOf()).every((tag) => tag.startsWith("keep-"))).toBe(true);
  });
});

test("pushes that race an apply lose nothing: every acknowledged tag resolves", async () => {
  await world.pushBuilds(20);
  await world.publish({ builds: spec([{ name: "none", tags: "keep-.*" }]) });
  const plan = await world.retention.plan("default/builds");
  const acknowledged: string[] = [];
  const refused: unknown[] = [];
  const retagging = Array.from({ length: 20 }, async (_, index) => {
    try {
      const found = await world.registry.pull.manifest(repository, { tag: `build-${index + 1}` }, pusher, { head: false });
      await pushManifest(world.registry.push, repository, Buffer.from(found.bytes), { tags: [`keep-${index + 1}`] });
      acknowledged.push(`keep-${index + 1}`);
    } catch (error) {
      refused.push((error as { code?: unknown }).code);
    }
  });
  const [applied] = await Promise.all([world.retention.apply("default/builds", { plan: plan.id }, "admin"), ...retagging]);
  expect(applied.deleted.length + applied.kept.length).toBe(20);
  // Who came too late saw no image; nobody was told of a broken one.
  expect(refused.filter((code) => code !== "MANIFEST_UNKNOWN")).toEqual([]);
  for (const tag of acknowledged) await world.registry.pull.manifest(repository, { tag }, reader, { head: false });
  expect(await world.tagsOf()).toEqual(acknowledged.toSorted());
});
