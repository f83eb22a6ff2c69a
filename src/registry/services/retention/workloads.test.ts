import { afterEach, beforeEach, expect, test } from "vitest";

import { openOwnRegistry, type OwnRegistry } from "../../../../test/support/own-registry.ts";
import type { WorkloadReport } from "../../../api/control/workloads.ts";
import type { RetentionPolicySpec } from "../../../api/kinds.ts";
import { digestOf } from "../../../domain/digest.ts";
import type { ClusterFacts } from "../../../domain/retention/facts.ts";
import type { Configuration } from "../configuration/configuration.ts";
import { Workloads } from "./workloads.ts";

const minute = 60_000;
const digest = digestOf("image");

let registry: OwnRegistry;
let workloads: Workloads;
let keepFor: string;
let revision: string;

beforeEach(async () => {
  registry = await openOwnRegistry();
  keepFor = "72h";
  revision = "r1";
  const current = (): Configuration => ({
    revision,
    upstreams: [],
    tagPolicies: [],
    accessPolicies: [],
    everHadAccessPolicy: false,
    retentionPolicies: [
      {
        kind: "RetentionPolicy",
        namespace: "d",
        name: "p",
        generation: 1,
        revision,
        suspend: false,
        spec: { inUse: { keepFor } } as RetentionPolicySpec,
      },
    ],
    upstreamByPrefix: () => undefined,
    upstreamByHost: () => undefined,
  });
  const configuration = { current, onChange: () => () => undefined };
  workloads = new Workloads({ database: registry.database, configuration, clusters: ["prod", "other"] });
});
afterEach(() => registry.close());

const ago = (minutes: number) => new Date(Date.now() - minutes * minute).toISOString();
const report = (minutesAgo: number, images: readonly string[], more: Partial<WorkloadReport> = {}): WorkloadReport => {
  return { takenAt: ago(minutesAgo), scope: "Cluster", complete: true, images: images.map((image) => ({ image })), ...more };
};
const facts = async (name = "prod"): Promise<ClusterFacts | undefined> =>
  (await workloads.read().facts()).find((cluster) => cluster.name === name);
/** Tags of `app`, and how many minutes ago they were seen; 0: in the newest whole report. */
const seen = async () => {
  const { images, reportedAt = 0 } = (await facts())!;
  const tags = [...(images.tags.get("app") ?? [])];
  return Object.fromEntries(tags.map(([tag, at]) => [tag, at === reportedAt ? 0 : Math.round((Date.now() - at) / minute)]));
};
const rows = () => registry.rows<{ image: string; xmin: string }>("SELECT image, xmin::text FROM workload_images ORDER BY image");

test("a cluster that is not configured is refused, and says how to configure it", async () => {
  await expect(workloads.report("mine", report(0, []))).rejects.toMatchObject({
    code: "NOT_FOUND",
    message: "No cluster mine is configured. Add it to the setting `clusters`: [{name: mine}].",
  });
});

test("what the newest whole report has is current; what left it was seen when the one before was taken", async () => {
  await workloads.report("prod", report(30, ["r.example.com/app:a", "r.example.com/app:b"]));
  expect(await seen()).toEqual({ a: 0, b: 0 });
  expect(await workloads.report("prod", report(10, ["r.example.com/app:b", "r.example.com/app:c"]))).toMatchObject({
    cluster: "prod",
    images: 2,
  });
  expect(await seen()).toEqual({ a: 30, b: 0, c: 0 });
  await workloads.report("prod", report(5, ["r.example.com/app:a"]));
  expect(await seen()).toEqual({ a: 0, b: 10, c: 10 });
});

test("a report that says what the one before said writes none of its images", async () => {
  const names = ["app:a", "app:b", digest];
  await workloads.report("prod", report(20, names));
  const before = await rows();
  await workloads.report("prod", report(10, names.toReversed()));
  expect(await rows()).toEqual(before);
  expect((await facts())?.reportedAt).toBeCloseTo(Date.parse(ago(10)), -4);
});

test("a part adds, takes nothing away, and is not the newest whole report; its problem is said until the next whole one", async () => {
  await workloads.report("prod", report(30, ["r.example.com/app:a"]));
  const part = { complete: false, problem: "cronjobs: forbidden" };
  const heard = await workloads.report("prod", report(10, ["r.example.com/app:b"], part));
  expect(Date.parse(heard.reportedAt ?? "")).toBeCloseTo(Date.parse(ago(30)), -4);
  expect(await seen()).toEqual({ a: 0, b: 10 });
  expect(await facts()).toMatchObject({ problem: "cronjobs: forbidden", scope: "Cluster" });
  // New images, sent between two reports: nothing is wrong.
  await workloads.report("prod", report(5, ["r.example.com/app:b"], { complete: false }));
  expect(await seen()).toEqual({ a: 0, b: 5 });
  expect(await facts()).toMatchObject({ problem: "cronjobs: forbidden" });
  await workloads.report("prod", report(1, ["r.example.com/app:a"], { scope: ["team-a"] }));
  expect(await facts()).toMatchObject({ scope: ["team-a"] });
  expect((await facts())?.problem).toBeUndefined();
});

test("a whole report that comes late is believed as far as it tells of images, and moves nothing back", async () => {
  await workloads.report("prod", report(10, ["r.example.com/app:a"]));
  await workloads.report("prod", report(20, ["r.example.com/app:b"], { scope: ["team-a"] }));
  expect(await seen()).toEqual({ a: 0, b: 20 });
  expect((await facts())?.scope).toBe("Cluster");
});

test("times of a single image: named twice it has the widest; seen before the report it is not in use at its moment", async () => {
  const images = [
    { image: "r.example.com/app:a", firstSeen: ago(500), lastSeen: ago(40) },
    { image: "r.example.com/app:a", lastSeen: ago(50) },
    { image: "r.example.com/app:b" },
  ];
  await workloads.report("prod", report(10, [], { images }));
  expect(await seen()).toEqual({ a: 40, b: 0 });
  const first = await registry.rows(
    "SELECT round(extract(epoch FROM now() - first_seen) / 60)::int AS minutes FROM workload_images ORDER BY image",
  );
  expect(first).toEqual([{ minutes: 500 }, { minutes: 10 }]);
});

test("a clock that is a little ahead is believed up to now; one that is far ahead is refused, as is what is no time", async () => {
  const heard = await workloads.report("prod", report(-4, ["r.example.com/app:a"]));
  expect(Date.parse(heard.reportedAt ?? "")).toBeLessThanOrEqual(Date.now() + 1_000);
  expect(await seen()).toEqual({ a: 0 });
  await expect(workloads.report("prod", report(-6, []))).rejects.toMatchObject({
    code: "INVALID",
    message: expect.stringContaining("Set the clock"),
  });
  await expect(workloads.report("prod", { ...report(0, []), takenAt: "yesterday" })).rejects.toMatchObject({ code: "INVALID" });
  await workloads.report("other", report(0, []));
  await expect(workloads.report("other", report(0, [], { images: [{ image: "a", lastSeen: "now" }] }))).rejects.toMatchObject({
    message: "lastSeen of a is not a time such as 2026-11-21T14:03:00Z.",
  });
  expect(await registry.rows("SELECT cluster, version FROM workload_reports ORDER BY cluster")).toEqual([
    { cluster: "other", version: 1 },
    { cluster: "prod", version: 1 },
  ]);
});

test("images are forgotten when nobody has seen them for a month, later where a policy keeps them longer", async () => {
  const days = 24 * 60;
  await workloads.report(
    "prod",
    report(0, [], {
      complete: false,
      images: [29, 31, 41].map((day) => ({ image: `r.example.com/app:${day}`, lastSeen: ago(day * days) })),
    }),
  );
  keepFor = "960h"; // 40 days
  await workloads.report("other", report(0, []));
  expect((await rows()).map(({ image }) => image)).toEqual(["r.example.com/app:29", "r.example.com/app:31"]);
  keepFor = "1h";
  await workloads.report("other", report(-1, []));
  expect((await rows()).map(({ image }) => image)).toEqual(["r.example.com/app:29"]);
});

test("the word changes with a report, a publish and a report's old age, and with nothing else", async () => {
  const reading = workloads.read();
  const words = [await reading.word()];
  const next = async () => {
    words.push(await reading.word());
    expect(await reading.word()).toBe(words.at(-1));
  };
  await workloads.report("prod", report(10, []));
  await next();
  await workloads.report("prod", report(5, ["a"], { complete: false }));
  await next();
  revision = "r2";
  await next();
  const known = await reading.facts();
  expect(await reading.facts()).toBe(known);
  await registry.rows("UPDATE workload_reports SET taken_at = taken_at - interval '1 hour'");
  await next();
  expect(new Set(words).size).toBe(5);
  expect(await reading.facts()).not.toBe(known);
});

test("with no cluster configured nobody is asked", async () => {
  const { database } = registry;
  const configuration = { current: () => ({ revision }) as Configuration, onChange: () => () => undefined };
  const nobody = new Workloads({ database, configuration, clusters: [] });
  expect(await nobody.read().facts()).toEqual([]);
  expect(await nobody.silences()).toEqual([]);
});

test("silent is who was not heard for an hour, or never", async () => {
  await workloads.report("prod", report(61, []));
  expect(await workloads.silences()).toEqual([
    { name: "prod", silent: true },
    { name: "other", silent: true },
  ]);
  await workloads.report("prod", report(59, []));
  expect((await workloads.silences())[0]).toEqual({ name: "prod", silent: false });
});

test("20,000 images are one report, and two of them at once are one after the other", { timeout: 60_000 }, async () => {
  const names = Array.from(
    { length: 20_000 },
    (_, index) => `registry.example.com/team-${index % 100}/app-${index}@${digestOf(String(index))}`,
  );
  await Promise.all([workloads.report("prod", report(2, names)), workloads.report("prod", report(1, names.slice(1)))]);
  const { images, reportedAt = 0 } = (await facts())!;
  expect(images.digests.size).toBe(20_000);
  expect([...images.digests.values()].filter((at) => at >= reportedAt)).toHaveLength(19_999);
});
