// Runs that somebody else started reach the policy's status and the record: real git, a real registry over HTTP on a real database.

import { afterEach, beforeEach, expect, test } from "vitest";

import type { RunUpdate } from "../../src/api/control/runs.ts";
import { eventually } from "../support/eventually.ts";
import { World } from "../support/control-plane.ts";
import { adminToken } from "../support/registry.ts";

let world: World;

beforeEach(async () => {
  world = await World.create();
});
afterEach(async () => {
  await world.close();
});

const key = "RetentionPolicy/default/clean";
const plans = () => world.subjects().filter((subject) => subject.startsWith("plan "));
const lastRun = () => world.view(key).status.details?.["lastRun"] as { id: string; state: string; message: string } | undefined;

function retention(schedule = "0 3 1 1 *", name = "clean", asked = ""): void {
  world.write(
    `${name}.yaml`,
    `apiVersion: wharfinger.dev/v1alpha1\nkind: RetentionPolicy\nmetadata: {name: ${name}, annotations: {${asked}}}\nspec:\n  repositories: {include: ["team/**"]}\n  schedule: "${schedule}"\n  action: Delete\n  keep: [{name: newest, mostRecentlyPushed: 1}]\n`,
  );
}

const entry = (tag: string) => ({
  repository: "team/app",
  tag,
  digest: `sha256:${"e".repeat(64)}`,
  verdict: "delete",
  rule: "none",
  reason: "no rule keeps it",
  version: false,
  bytes: 7,
});
const deleted = (...tags: string[]): RunUpdate => ({
  state: "succeeded",
  result: {
    plan: "plan-1",
    kept: 0,
    planned: { deleted: tags.length, bytes: 7 },
    deleted: tags.length,
    bytes: 7,
    message: `deleted ${tags.join()}`,
    applied: { plan: "plan-1", deleted: tags.map(entry), kept: [], proposals: [], bytes: 7 },
  },
});

/** A run of the scheduler, to its end. */
async function requestRun(at: string): Promise<void> {
  retention(undefined, undefined, `wharfinger.dev/requestedAt: ${at}`);
  await eventually(() => expect(world.view(key).status.details).toMatchObject({ lastHandledReconcileAt: at }));
}

/** A prune run of another process: registered, and ended with what it says. */
async function prune(end: RunUpdate, policy = "default/clean"): Promise<string> {
  const { id } = await world.client.startRun({ kind: "prune", policy, trigger: "manual" });
  await world.client.updateRun(id, end);
  return id;
}

test("a run by hand is the policy's last run, and what it deleted is committed, once", async () => {
  retention();
  await world.start();
  const id = await prune(deleted("old"));
  await eventually(() => expect(lastRun()).toMatchObject({ id, state: "succeeded", message: "deleted old", planned: 1, deleted: 1 }));
  await eventually(() => expect(plans()).toEqual(["plan default/clean: 1 deleted, 7 bytes"]));
  expect(world.git("show", "HEAD:plans/default/clean.yaml")).toContain(`run: ${id}\n`);
  expect(world.git("log", "-1", "--format=%(trailers:key=Run,valueonly)")).toBe(id);

  const idle = await prune({ state: "succeeded", result: { plan: "plan-2", deleted: 0, message: "deleted 0" } });
  await eventually(() => expect(lastRun()).toMatchObject({ id: idle, message: "deleted 0" }));
  const failed = await prune({ state: "failed", result: { message: "interrupted" } });
  await eventually(() => expect(lastRun()).toMatchObject({ id: failed, state: "failed", message: "interrupted" }));
  expect(plans()).toHaveLength(1);
  expect(world.runs).toEqual([]);
});

test("a run of the scheduler is told once, whoever tells of it first", async () => {
  retention();
  const { client } = world;
  await world.start();
  const { id } = await client.startRun({ kind: "prune", policy: "default/clean", trigger: "manual" });
  const end = deleted("old");
  world.outcome = { run: id, result: end.result };
  await eventually(() => expect(world.view(key).status.details).toHaveProperty("nextRun"));
  await Promise.all([requestRun("once"), client.updateRun(id, end)]);
  await prune({ state: "succeeded", result: { message: "the next one" } });
  await eventually(() => expect(lastRun()?.message).toBe("the next one"));
  await eventually(() => expect(plans()).toHaveLength(1));
  // Told late, of an earlier run: it is not the last.
  await requestRun("again");
  await prune({ state: "succeeded", result: { message: "the last one" } });
  await eventually(() => expect(lastRun()?.message).toBe("the last one"));
  expect(plans()).toHaveLength(1);
  expect(world.log.filter(({ msg }) => msg.includes("prune default/clean:")).length).toBe(3);
});

test("what ended while the control plane was away is told at its next start: each deletion by its own commit", async () => {
  retention();
  retention("0 3 1 1 *", "other");
  await world.start();
  await prune(deleted("first"));
  await eventually(() => expect(plans()).toHaveLength(1));
  await world.stop();

  await prune(deleted("second", "third"));
  await prune(deleted("elsewhere"), "default/other");
  await prune(deleted("fourth"));
  const last = await prune({ state: "failed", result: { message: "interrupted" } });
  await world.start();
  await eventually(() => expect(lastRun()).toMatchObject({ id: last, state: "failed", message: "interrupted" }));
  await eventually(() => expect(plans()).toHaveLength(4));
  expect(plans().toReversed()).toEqual([
    "plan default/clean: 1 deleted, 7 bytes",
    "plan default/clean: 2 deleted, 7 bytes",
    "plan default/other: 1 deleted, 7 bytes",
    "plan default/clean: 1 deleted, 7 bytes",
  ]);
  const head = world.head();
  await world.stop();
  await world.start();
  await eventually(() => expect(lastRun()?.id).toBe(last));
  expect(world.head()).toBe(head);
  expect(world.runs).toEqual([]);
});

test("a stopped plan waits in the status, over failed runs and a restart, until it is applied or replaced", async () => {
  retention();
  await world.start();
  const waits = (plan: string | undefined) => eventually(() => expect(world.view(key).status.details?.["waitingPlan"]).toBe(plan));
  const blocked = { reason: "LimitExceeded", message: "too many" };
  const stop = async (id: string) => {
    const document = { id, policy: "default/clean", action: "Delete", blocked, entries: [] };
    await world.sql("INSERT INTO plans (id, policy, document) VALUES ($1, 'default/clean', $2)", [id, JSON.stringify(document)]);
    const planned = { deleted: 12, bytes: 7 };
    await prune({ state: "failed", result: { plan: id, kept: 0, planned, deleted: 0, bytes: 0, blocked, message: "stopped" } });
  };

  await stop("first");
  await waits("first");
  expect(lastRun()).toMatchObject({ plan: "first", state: "failed", planned: 12, deleted: 0 });
  expect(world.condition(key, "Pruned")).toMatchObject({ status: "False", reason: "LimitExceeded", message: "stopped" });

  // An approval that means no plan is refused before there is a run.
  const request = { kind: "prune", policy: "default/clean", trigger: "manual" } as const;
  await expect(world.client.startRun({ ...request, approve: "nope" })).rejects.toMatchObject({
    code: "NotFound",
    message: "There is no plan nope of default/clean. The plan that waits to be approved is first.",
  });
  expect(await world.client.finishedRuns()).toMatchObject([{ waitingPlan: "first", result: { plan: "first" } }]);

  await prune({ state: "failed", result: { plan: "", message: "interrupted" } });
  await eventually(() => expect(lastRun()?.message).toBe("interrupted"));
  await waits("first");
  await world.stop();
  await world.start();
  await waits("first");

  await stop("second");
  await waits("second");
  await world.sql("UPDATE plans SET applied_at = now() WHERE id = 'second'");
  await prune({ state: "succeeded", result: { plan: "second", message: "deleted 12" } });
  await waits(undefined);
  await expect(world.client.startRun({ ...request, approve: "second" })).rejects.toMatchObject({
    code: "Conflict",
    message: expect.stringMatching(/applied already.* None waits to be approved/),
  });
});

test("a retention policy's missed run is caught up once; one that never ran, or has changed meanwhile, waits for its hour", async () => {
  world.now = () => new Date(Date.now() - 10 * 24 * 3_600_000);
  for (const name of ["clean", "changed", "recent", "never"]) retention("0 3 * * *", name);
  retention("0 3 29 2 *", "rare");
  await world.start();
  for (const name of ["clean", "changed", "rare"]) await prune({ state: "succeeded", result: { message: "done" } }, `default/${name}`);
  await world.sql("UPDATE runs SET started_at = started_at - interval '3 days', finished_at = finished_at - interval '3 days'");
  await prune({ state: "succeeded", result: { message: "done" } }, "default/recent");
  await world.stop();
  expect(world.runs).toEqual([]);

  world.now = () => new Date();
  retention("0 4 * * *", "changed");
  await world.start();
  await eventually(() => expect(world.runs).toEqual(["prune default/clean schedule"]));
  // Nothing more comes of the rounds that follow.
  retention("0 5 * * *", "changed");
  await eventually(() => expect(world.view("RetentionPolicy/default/changed").generation).toBe(3));
  await prune({ state: "succeeded", result: { message: "heard" } }, "default/never");
  await eventually(() =>
    expect(world.view("RetentionPolicy/default/never").status.details).toMatchObject({ lastRun: { message: "heard" } }),
  );
  expect(world.runs).toEqual(["prune default/clean schedule"]);
});

test("a cursor or a kind that is none is refused, and says which", async () => {
  for (const [query, field] of [
    ["after=last", "after"],
    ["kind=audit", "kind"],
    ["wait=long", "wait"],
  ] as const) {
    const reply = await fetch(`${world.registry.url}/api/v1/runs?${query}`, { headers: { authorization: `Bearer ${adminToken}` } });
    const { errors } = (await reply.json()) as { errors: { code: string; message: string }[] };
    expect([query, reply.status, errors[0]?.code]).toEqual([query, 400, "INVALID"]);
    expect(errors[0]?.message).toContain(field);
  }
  expect(await world.client.finishedRuns({ after: "b0b0b0b0-0000-4000-8000-000000000000", kind: "prune" })).toEqual([]);
});
