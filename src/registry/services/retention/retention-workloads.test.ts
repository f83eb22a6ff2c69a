// What clusters use stays, and everything while they are silent.

import { afterEach, beforeEach, expect, test } from "vitest";

import { reader } from "../../../../test/support/own-registry.ts";
import { deletes, names, openRetention, repository, spec, type RetentionWorld } from "../../../../test/support/retention.ts";

const builds = spec([{ name: "none", tags: "x" }]);

let world: RetentionWorld;
beforeEach(async () => {
  const opened = await openRetention();
  world = { ...opened, ...opened.asking(["east", "west"]) };
  await world.pushBuilds(3);
  await world.publish({ builds });
});
afterEach(() => world.close());

const image = (tag: string) => ({ image: `registry.example.com/${repository}:${tag}` });
const report = (cluster: string, tags: readonly string[], more: object = {}) =>
  world.workloads.report(cluster, {
    takenAt: new Date().toISOString(),
    scope: "Cluster",
    complete: true,
    images: tags.map(image),
    ...more,
  });

test("a cluster that is silent is named, and so is every other; no approval helps", async () => {
  await report("east", []);
  const plan = await world.retention.plan("default/builds");
  expect(deletes(plan)).toEqual([]);
  expect(plan.blocked).toEqual({
    reason: "WorkloadsUnknown",
    message: "what clusters use is unknown, so everything is kept: cluster west has never reported",
  });
  await expect(world.retention.apply("default/builds", { plan: plan.id, approve: true }, "admin")).rejects.toMatchObject({
    code: "CONFLICT",
    message: expect.stringContaining("cluster west has never reported"),
  });
});

test("a policy that asks one cluster needs no other; one that ignores them needs none, unless another policy asks", async () => {
  await report("east", ["build-1"]);
  await world.publish({ builds: { ...builds, inUse: { clusters: ["east"] } } });
  expect(deletes(await world.retention.plan("default/builds"))).toEqual(["build-2", "build-3"]);
  await world.publish({ builds: { ...builds, inUse: { mode: "Ignore" } } });
  expect(deletes(await world.retention.plan("default/builds"))).toHaveLength(3);
  await world.publish({ builds: { ...builds, inUse: { mode: "Ignore" } }, other: { ...builds, action: "Plan", suspend: true } });
  const kept = await world.retention.plan("default/builds");
  expect(kept.blocked).toBeUndefined();
  expect(kept.entries.map(({ verdict, rule }) => [verdict, rule])).toEqual([1, 2, 3].map(() => ["keep", "default/other: inUse"]));
});

test("an apply goes by the reports of its moment: what came into use since the plan stays", async () => {
  await report("east", []);
  await report("west", ["build-1"]);
  const plan = await world.retention.plan("default/builds");
  expect(deletes(plan)).toEqual(["build-2", "build-3"]);
  await report("east", ["build-2"], { complete: false });
  const applied = await world.retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(names(applied.deleted)).toEqual(["build-3"]);
  expect(applied.kept).toMatchObject([{ tag: "build-2", rule: "inUse", reason: "in use in cluster east" }]);
  expect(await world.tagsOf()).toEqual(["build-1", "build-2"]);
});

test("a cluster that fell silent since the plan keeps everything", async () => {
  await report("east", []);
  await report("west", []);
  const plan = await world.retention.plan("default/builds");
  expect(deletes(plan)).toHaveLength(3);
  await world.registry.rows("UPDATE workload_reports SET taken_at = taken_at - interval '1 hour' WHERE cluster = 'west'");
  const applied = await world.retention.apply("default/builds", { plan: plan.id }, "admin");
  expect(applied.deleted).toEqual([]);
  expect(applied.kept.map(({ rule, reason }) => [rule, reason])).toEqual(
    [1, 2, 3].map(() => ["inUse", expect.stringContaining("cluster west last reported ")]),
  );
});

test("what was pulled since the report stays, by digest and by tag", async () => {
  await report("east", []);
  await report("west", []);
  await world.registry.pull.manifest(repository, { tag: "build-2" }, reader, { head: false });
  await world.registry.statistics.flush();
  const planned = await world.retention.plan("default/builds");
  expect(deletes(planned)).toEqual(["build-1", "build-3"]);
  expect(planned.entries.find(({ tag }) => tag === "build-2")?.reason).toMatch(/^pulled .*, since the last report$/);
});
