// Plans of RetentionPolicies and what becomes of them: applied, refused, approved.

import { afterEach, beforeEach, expect, test } from "vitest";

import { noTimes, pusher, pushImage, pushManifest, reader, unprotected } from "../../../../test/support/own-registry.ts";
import { deletes, names, openRetention, repository, spec, type RetentionWorld } from "../../../../test/support/retention.ts";
import type { Digest } from "../../../domain/digest.ts";
import { newestActivity } from "../../metadata/activity.ts";
import { restore } from "../deletion/restore.ts";

let world: RetentionWorld;
beforeEach(async () => {
  world = await openRetention();
});
afterEach(() => world.close());

test("plan, apply, restore, apply, collect: what no rule keeps goes, comes back, goes, and its bytes with it", async () => {
  const [first, second, third] = (await world.pushBuilds(3)) as [Digest, Digest, Digest];
  await pushImage(world.registry.push, repository, ["v1.0"]);
  await world.publish({
    builds: spec([
      { name: "releases", tags: "v.*" },
      { name: "recent", tags: "build-.*", mostRecentlyPushed: 1 },
    ]),
  });

  const plan = await world.retention.plan("default/builds");
  expect(plan).toMatchObject({ policy: "default/builds", action: "Delete", totals: { kept: 2, deleted: 2, bytes: 320 } });
  expect(plan.blocked).toBeUndefined();
  expect(plan.notes).toEqual(["inUse asks nothing: no cluster is configured"]);
  expect(deletes(plan)).toEqual(["build-1", "build-2"]);
  expect(await world.retention.plan("default/builds")).toMatchObject({ id: plan.id });

  const applied = await world.retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(applied).toMatchObject({ plan: plan.id, kept: [], proposals: [], bytes: 320 });
  expect(names(applied.deleted)).toEqual(["build-1", "build-2"]);
  expect(await world.tagsOf()).toEqual(["build-3", "v1.0"]);
  await expect(world.registry.pull.manifest(repository, { digest: first }, reader, { head: false })).rejects.toMatchObject({
    code: "MANIFEST_UNKNOWN",
  });
  expect(deletes(await world.retention.plan("default/builds"))).toEqual([]);

  await world.history.stop();
  const restored = await restore(world.registry.database, { repository, tag: "build-1" }, "admin");
  expect(restored).toEqual({ repository, restored: [{ digest: first, tags: ["build-1"] }], gone: [] });
  expect((await world.registry.pull.manifest(repository, { tag: "build-1" }, reader, { head: false })).digest).toBe(first);
  // A restore is a push: now build-1 is the most recent one.
  const again = await world.retention.plan("default/builds");
  expect(deletes(again)).toEqual(["build-3"]);
  await world.retention.apply("default/builds", { plan: again.id }, "admin");
  expect(await world.tagsOf()).toEqual(["build-1", "v1.0"]);

  const collector = world.registry.collector(noTimes);
  await world.registry.setTimes(noTimes);
  await world.registry.rows("UPDATE gc_queue SET review_after = now()");
  expect(await collector.runOnce()).toMatchObject({ links: 4, blobs: 4, swept: 4 });
  await expect(restore(world.registry.database, { repository, digest: second }, "admin")).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(restore(world.registry.database, { repository, digest: third }, "admin")).rejects.toMatchObject({ code: "NOT_FOUND" });
  await world.history.stop();
  expect((await newestActivity(world.registry.database, 10)).map(({ action, reference }) => [action, reference])).toEqual([
    ["prune", "default/builds"],
    ["restore", "build-1"],
    ["prune", "default/builds"],
  ]);
});

test("what was applied is answered, also when the history cannot be kept", async () => {
  await world.pushBuilds(2);
  await world.age(1);
  await world.publish({ builds: spec([{ name: "recent", tags: "build-.*", mostRecentlyPushed: 1 }]) });
  const plan = await world.retention.plan("default/builds");
  await world.registry.rows("ALTER TABLE activity RENAME TO elsewhere");
  expect(names((await world.retention.apply("default/builds", { plan: plan.id }, "admin")).deleted)).toEqual(["build-1"]);
});

test("a policy with action: Plan, and a suspended one, delete nothing; their plans are made and their keep rules count", async () => {
  await world.pushBuilds(2);
  await world.publish({
    plans: { ...spec([{ name: "first", tags: "build-1" }]), action: "Plan" },
    deletes: spec([{ name: "none", tags: "x" }]),
  });
  const plan = await world.retention.plan("default/plans");
  expect(deletes(plan)).toEqual(["build-2"]);
  await expect(world.retention.apply("default/plans", { plan: plan.id }, "admin")).rejects.toMatchObject({
    code: "CONFLICT",
    message:
      "RetentionPolicy default/plans has action: Plan, so nothing is deleted. Write spec.action: Delete to let it delete what no rule keeps.",
  });
  const other = await world.retention.plan("default/deletes");
  expect(other.entries.find(({ tag }) => tag === "build-1")).toMatchObject({ verdict: "keep", rule: "default/plans: first" });
  await world.publish({
    plans: spec([{ name: "first", tags: "build-1" }]),
    deletes: { ...spec([{ name: "none", tags: "x" }]), suspend: true },
  });
  await expect(world.retention.apply("default/deletes", { plan: other.id }, "admin")).rejects.toMatchObject({
    code: "CONFLICT",
    message: expect.stringContaining("is suspended"),
  });
  expect(await world.tagsOf()).toEqual(["build-1", "build-2"]);
});

test("a policy that this release refused keeps everything, also against others", async () => {
  await world.pushBuilds(1);
  await world.publish({ good: spec([{ name: "none", tags: "x" }]), newer: spec([{ name: "r", tags: "(?=x)" }]) });
  const plan = await world.retention.plan("default/good");
  expect(plan.entries).toMatchObject([{ tag: "build-1", verdict: "keep", rule: "default/newer: invalid" }]);
});

test("an unknown policy and an unknown plan are named", async () => {
  await world.publish({ builds: spec([{ name: "all" }]) });
  await expect(world.retention.plan("default/other")).rejects.toMatchObject({
    code: "NOT_FOUND",
    message:
      "No RetentionPolicy default/other is published. If there is such a resource, `npx wharfinger get retentionpolicy default/other` says why it is not served.",
  });
  await expect(world.retention.apply("default/builds", { plan: "abc" }, "admin")).rejects.toMatchObject({
    code: "NOT_FOUND",
    message: expect.stringContaining("wharfinger plan default/builds"),
  });
});

test("a plan is applied only where it is still true: what moved, came back into a rule or was tagged again is kept and said", async () => {
  await world.pushBuilds(4);
  await world.publish({ builds: spec([{ name: "none", tags: "keep-.*" }]) });
  const plan = await world.retention.plan("default/builds");
  expect(deletes(plan)).toHaveLength(4);
  const moved = await pushImage(world.registry.push, repository, ["build-1"]);
  const second = await world.registry.pull.manifest(repository, { tag: "build-2" }, reader, { head: false });
  await pushManifest(world.registry.push, repository, Buffer.from(second.bytes), { tags: ["keep-2"] });
  await world.registry.push.deleteManifest(repository, { tag: "build-3" }, pusher, unprotected);
  const applied = await world.retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(names(applied.deleted)).toEqual(["build-2", "build-4"]);
  expect(applied.kept.map(({ tag, verdict, rule, reason }) => ({ tag, verdict, rule, reason }))).toEqual([
    { tag: "build-1", verdict: "keep", rule: "changed", reason: `the tag points at ${moved.digest} now` },
    { tag: "build-3", verdict: "keep", rule: "changed", reason: "the tag is gone already" },
  ]);
  expect(await world.tagsOf()).toEqual(["build-1", "keep-2"]);
});

test("a policy that is changed between two batches stops there", async () => {
  await world.pushBuilds(1);
  await world.publish({ builds: spec([{ name: "none", tags: "x" }]) });
  const plan = await world.retention.plan("default/builds");
  await world.publish({ builds: spec([{ name: "all" }]) });
  const applied = await world.retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(applied).toMatchObject({ deleted: [], kept: [{ tag: "build-1", rule: "all", reason: "it keeps all of them" }] });
});

test("a policy that no longer selects the repository, or is gone, deletes nothing of its older plans", async () => {
  await world.pushBuilds(1);
  await world.publish({ builds: spec([{ name: "none", tags: "x" }]) });
  const plan = await world.retention.plan("default/builds");
  await world.publish({ builds: spec([{ name: "none", tags: "x" }], { repositories: { include: ["team-b/**"] } }) });
  const applied = await world.retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(applied).toMatchObject({
    deleted: [],
    kept: [{ tag: "build-1", rule: "changed", reason: "the policy does not select it any more" }],
  });
  await world.publish({});
  await expect(world.retention.apply("default/builds", { plan: plan.id }, "admin")).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect(await world.tagsOf()).toEqual(["build-1"]);
});

test("limits stop a plan; the approval is for exactly this plan, once", async () => {
  await world.pushBuilds(4);
  await world.publish({ builds: spec([{ name: "one", tags: "build-4" }], { limits: { maxDeletePercent: 50, minTags: 4 } }) });
  const plan = await world.retention.plan("default/builds");
  expect(plan.blocked).toMatchObject({ reason: "LimitExceeded" });
  await expect(world.retention.apply("default/builds", { plan: plan.id }, "admin")).rejects.toMatchObject({
    code: "CONFLICT",
    message: expect.stringContaining(
      `run \`npx wharfinger job prune --policy default/builds --approve ${plan.id}\`, or set the annotation wharfinger.dev/approve-plan: ${plan.id} on RetentionPolicy default/builds`,
    ),
  });
  expect(await world.tagsOf()).toHaveLength(4);
  await pushImage(world.registry.push, repository, ["build-5"]);
  const other = await world.retention.plan("default/builds");
  expect(other.id).not.toBe(plan.id);
  // What the approved plan did not say is not deleted by it.
  expect(names((await world.retention.apply("default/builds", { plan: plan.id, approve: true }, "admin")).deleted)).toEqual([
    "build-1",
    "build-2",
    "build-3",
  ]);
  expect(await world.tagsOf()).toEqual(["build-4", "build-5"]);
  await expect(world.retention.apply("default/builds", { plan: plan.id, approve: true }, "admin")).rejects.toMatchObject({
    code: "CONFLICT",
    message: expect.stringContaining("applied already"),
  });
});

test("one tag of two: the other tag and the image stay; restore brings the tag back", async () => {
  const { digest } = await pushImage(world.registry.push, repository, ["v1", "latest"]);
  await world.publish({ builds: spec([{ name: "releases", tags: "v.*" }]) });
  const plan = await world.retention.plan("default/builds");
  expect(await world.retention.apply("default/builds", { plan: plan.id }, "admin")).toMatchObject({
    deleted: [{ tag: "latest" }],
    bytes: 0,
  });
  expect((await world.registry.pull.manifest(repository, { tag: "v1" }, reader, { head: false })).digest).toBe(digest);
  expect(await restore(world.registry.database, { repository, tag: "latest" }, "admin")).toMatchObject({
    restored: [{ digest, tags: ["latest"] }],
    gone: [],
  });
  expect(await world.tagsOf()).toEqual(["latest", "v1"]);
});
