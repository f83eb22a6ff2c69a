// What a plan knows of its images: leases, how long untagged, when pulled, when pushed.

import { afterEach, beforeEach, expect, test } from "vitest";

import { longTimes, pushImage, pushManifest, reader } from "../../../../test/support/own-registry.ts";
import { deletes, openRetention, repository, spec, type RetentionWorld } from "../../../../test/support/retention.ts";
import { digestOf, type Digest } from "../../../domain/digest.ts";
import { mediaTypes } from "../../../domain/media-types.ts";
import { restore } from "../deletion/restore.ts";

let world: RetentionWorld;
beforeEach(async () => {
  world = await openRetention();
});
afterEach(() => world.close());

test("a leased manifest outlives its tag: the tag goes, the image once the lease and untagged.keepFor are over", async () => {
  await world.registry.setTimes(longTimes);
  const { digest } = await pushImage(world.registry.push, repository, ["pr-1"]);
  await world.publish({ builds: spec([{ name: "none", tags: "x" }], { untagged: { keepFor: "3h" } }) });
  const plan = await world.retention.plan("default/builds");
  expect(await world.retention.apply("default/builds", { plan: plan.id }, "admin")).toMatchObject({ deleted: [{ tag: "pr-1" }], bytes: 0 });
  expect((await world.retention.plan("default/builds")).entries).toMatchObject([{ digest, verdict: "keep", rule: "lease" }]);
  await world.age(2);
  expect((await world.retention.plan("default/builds")).entries).toMatchObject([{ digest, verdict: "keep", rule: "untagged" }]);
  await world.age(2);
  const last = await world.retention.plan("default/builds");
  expect(last.entries).toMatchObject([{ digest, verdict: "delete", rule: "untagged", bytes: 160 }]);
  expect(await world.retention.apply("default/builds", { plan: last.id }, "admin")).toMatchObject({ bytes: 160 });
  // What was untagged comes back by its digest.
  expect(await restore(world.registry.database, { repository, digest }, "admin")).toMatchObject({ restored: [{ digest, tags: ["pr-1"] }] });
});

test("a plan starts the time of untagged manifests for which none runs, of referrers only when their subject was deleted", async () => {
  const { digest } = await pushImage(world.registry.push, repository, []);
  const early = await pushImage(world.registry.push, repository, [], {
    subject: { mediaType: mediaTypes.ociManifest, digest: digestOf("later"), size: 1 },
  });
  const orphan = await pushImage(world.registry.push, repository, [], {
    subject: { mediaType: mediaTypes.ociManifest, digest: digestOf("was here"), size: 1 },
  });
  await world.registry.rows(
    "INSERT INTO tag_events (repository, name, digest, previous, by) SELECT id, 'x', NULL, $1, 'ci' FROM repositories",
    [digestOf("was here")],
  );
  await world.registry.rows("UPDATE manifests SET untagged_since = NULL");
  await world.publish({ builds: spec([{ name: "none", tags: "x" }]) });
  await world.retention.plan("default/builds");
  await world.age(30);
  expect(deletes(await world.retention.plan("default/builds"))).toEqual([digest, orphan.digest].sort());
  expect(early.digest).not.toBe(orphan.digest);
});

test("pulls: nothing goes before they were counted for that long; a pull by digest counts for the tag", async () => {
  const [first] = (await world.pushBuilds(2)) as [Digest];
  await world.publish({ builds: spec([{ name: "used", pulledWithin: "720h" }]) });
  expect(deletes(await world.retention.plan("default/builds"))).toEqual([]);
  await world.age(800);
  await world.registry.pull.manifest(repository, { digest: first }, reader, { head: false });
  await world.registry.statistics.flush();
  const plan = await world.retention.plan("default/builds");
  expect(deletes(plan)).toEqual(["build-2"]);
  expect(plan.notes.some((note) => note.startsWith("pulls of own repositories are counted since "))).toBe(true);
});

test("a push of the same image is a push: what is pushed every night is not old", async () => {
  const { bytes } = await pushImage(world.registry.push, repository, ["nightly", "old"]);
  await world.age(800);
  await pushManifest(world.registry.push, repository, bytes, { tags: ["nightly"] });
  await world.publish({ builds: spec([{ name: "fresh", tags: "nightly", pushedWithin: "720h" }]) });
  expect(deletes(await world.retention.plan("default/builds"))).toEqual(["old"]);
});
