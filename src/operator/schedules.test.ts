// When runs start, which ones, and how many at once; which of them carry a person's approval.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { ResourceKey } from "../domain/resource.ts";
import { RunHalted, type JobKind, type JobOutcome, type ScheduledJob, type UnfinishedJob } from "./ports.ts";
import { Schedules } from "./schedules.ts";
import { delayOf, slotOf } from "./slots.ts";
import type { ScheduledPolicy } from "./timetable.ts";

const minute = 60_000;
const start = new Date("2026-11-22T10:00:30Z");

interface Began extends ScheduledJob {
  readonly at: Date;
  readonly signal: AbortSignal;
  readonly end: (outcome?: Partial<JobOutcome>) => void;
}

/** Jobs that go on until the test ends them, or end at once. */
class Jobs {
  readonly began: Began[] = [];
  /** Of a process before this one. */
  left: UnfinishedJob[] = [];
  instant = false;
  running = 0;
  most = 0;

  unfinished = async () => this.left;

  run = async (job: ScheduledJob, signal: AbortSignal): Promise<JobOutcome | undefined> => {
    this.most = Math.max(this.most, ++this.running);
    const ended = Promise.withResolvers<JobOutcome | undefined>();
    signal.addEventListener("abort", () => ended.resolve(undefined), { once: true });
    const run = String(this.began.length + 1);
    const end = (outcome: Partial<JobOutcome> = {}) => ended.resolve({ run, succeeded: true, message: "done", result: {}, ...outcome });
    this.began.push({ ...job, at: new Date(), signal, end });
    if (this.instant) end();
    return ended.promise.finally(() => this.running--);
  };

  /** Of the policy `default/<name>`. */
  of(name: string): Began[] {
    return this.began.filter(({ policy }) => policy === `default/${name}`);
  }
}

let jobs: Jobs;
let schedules: Schedules;

beforeEach(() => {
  vi.useFakeTimers({ now: start });
  jobs = new Jobs();
  schedules = new Schedules({ jobs, maxConcurrent: 4, changed: () => undefined });
});
afterEach(async () => {
  await schedules.stop();
  vi.useRealTimers();
});

const keyOf = (kind: JobKind, name: string): ResourceKey => ({
  kind: kind === "prune" ? "RetentionPolicy" : "TagPolicy",
  namespace: "default",
  name,
});
const policy = (kind: JobKind, name: string, more: Partial<ScheduledPolicy> = {}): ScheduledPolicy => ({
  key: keyOf(kind, name),
  revision: "r1",
  schedule: "*/30 * * * *",
  timeZone: "Etc/UTC",
  requestedAt: undefined,
  ...more,
});
const last = (finishedAt: string, run = "before") => ({
  run,
  succeeded: true,
  message: "done",
  result: {},
  startedAt: finishedAt,
  finishedAt,
});
const settle = () => vi.advanceTimersByTimeAsync(0);
const until = (time: string) => vi.advanceTimersByTimeAsync(new Date(time).getTime() - Date.now());
/** A process that finds these policies, and what the registry says of their last runs. */
async function begin(kind: JobKind, policies: readonly ScheduledPolicy[], ran?: (name: string) => string | undefined): Promise<void> {
  schedules.update("tag-sync", kind === "tag-sync" ? policies : []);
  schedules.update("prune", kind === "prune" ? policies : []);
  for (const { key } of policies) {
    const finishedAt = ran?.(key.name);
    if (finishedAt !== undefined) schedules.hear(kind, key, last(finishedAt));
  }
  schedules.remember();
  await settle();
}
const hundred = Array.from({ length: 100 }, (_, index) => `policy-${index}`);

test("starts are spread over a tenth of the interval, always by as much for a policy; the slot is the schedule's time", async () => {
  const delay = (name: string) => delayOf(`tag-sync default/${name}`, 30 * minute);
  const delays = hundred.map(delay);
  expect(Math.min(...delays)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...delays)).toBeLessThan(3 * minute);
  expect(Math.max(...delays) - Math.min(...delays)).toBeGreaterThan(2 * minute);

  const names = hundred.slice(0, 8);
  await begin(
    "tag-sync",
    names.map((name) => policy("tag-sync", name)),
    () => "2026-11-22T10:00:10Z",
  );
  expect(jobs.began).toEqual([]);
  const times = [new Date("2026-11-22T10:30:00Z"), new Date("2026-11-22T11:00:00Z")];
  const starts = (name: string) => times.map((time) => new Date(time.getTime() + delay(name)));
  for (const name of names) expect(schedules.stateOf("tag-sync", keyOf("tag-sync", name))?.next).toBe(starts(name)[0]?.toISOString());
  jobs.instant = true;
  await until("2026-11-22T11:05:00Z");
  for (const name of names) {
    expect(jobs.of(name).map(({ slot }) => slot)).toEqual(times.map(slotOf.time));
    expect(jobs.of(name).map(({ at }) => at)).toEqual(starts(name));
  }
});

test("a schedule of long intervals is spread over half an hour and no more", () => {
  const year = 365 * 24 * 60 * minute;
  const delays = hundred.map((name) => delayOf(name, year));
  expect(Math.max(...delays)).toBeLessThan(30 * minute);
  expect(Math.max(...delays)).toBeGreaterThan(25 * minute);
});

test("what is dropped between its time and its start does not run", async () => {
  await begin("prune", [policy("prune", "builds")], () => "2026-11-22T09:59:00Z");
  await until("2026-11-22T10:30:00.001Z");
  schedules.update("prune", []);
  await until("2026-11-22T11:59:00Z");
  expect(jobs.began).toEqual([]);
});

test("the policies of one namespace do not keep those of another waiting", async () => {
  const run = (namespace: string, name: string) =>
    void schedules.run("tag-sync", { kind: "TagPolicy", namespace, name }, { trigger: "manual", slot: "s" });
  for (const name of hundred) run("greedy", name);
  for (const name of ["one", "two"]) run("default", name);
  for (const namespace of ["b", "c", "d"]) run(namespace, "one");
  await settle();
  expect(jobs.began.map(({ policy }) => policy.split("/")[0])).toEqual(["greedy", "greedy", "greedy", "greedy"]);
  for (let ended = 0; ended < 8; ended++) {
    jobs.began[ended]?.end();
    await settle();
  }
  // Each of the others has had its turn before the first has one again.
  const next = ["default/one", "b/one", "c/one", "d/one", `greedy/${hundred[4]}`, "default/two", `greedy/${hundred[5]}`];
  expect(jobs.began.slice(4).map(({ policy }) => policy)).toEqual([...next, `greedy/${hundred[6]}`]);
  while (jobs.running > 0) {
    jobs.began.forEach(({ end }) => end());
    await settle();
  }
  expect([jobs.began.length, jobs.most]).toEqual([105, 4]);
});

describe("after an outage", () => {
  const outage = "2026-11-20T00:00:00Z";

  test.each<JobKind>(["tag-sync", "prune"])(
    "a hundred policies of %s are caught up, each once, never more than four at a time",
    async (kind) => {
      await begin(
        kind,
        hundred.map((name) => policy(kind, name)),
        () => outage,
      );
      expect(jobs.began).toHaveLength(4);
      while (jobs.running > 0) {
        jobs.began.forEach(({ end }) => end());
        await settle();
      }
      expect(jobs.began).toHaveLength(100);
      expect(jobs.most).toBe(4);
      for (const name of hundred) expect(jobs.of(name).map(({ slot }) => slot)).toEqual([slotOf.time(start)]);
    },
  );

  test("who missed nothing does not run, nor a retention policy that never ran; a tag policy that is new or has changed does", async () => {
    const tags = [
      policy("tag-sync", "current", { recordedAt: "2026-11-01T00:00:00Z" }),
      policy("tag-sync", "changed", { recordedAt: "2026-11-22T09:58:30Z", revision: "r2" }),
      policy("tag-sync", "new"),
    ];
    schedules.update("prune", [policy("prune", "new"), policy("prune", "current")]);
    schedules.hear("prune", keyOf("prune", "current"), last("2026-11-22T09:59:30Z"));
    schedules.update("tag-sync", tags);
    for (const name of ["current", "changed"]) schedules.hear("tag-sync", keyOf("tag-sync", name), last("2026-11-22T09:58:00Z"));
    await vi.advanceTimersByTimeAsync(minute / 2);
    expect(jobs.began, "not before the registry has told of the last runs").toEqual([]);
    schedules.remember();
    await settle();
    expect(jobs.began.map(({ kind, policy, slot }) => ({ kind, policy, slot }))).toEqual([
      { kind: "tag-sync", policy: "default/current", slot: slotOf.time(start) },
      { kind: "tag-sync", policy: "default/changed", slot: slotOf.change("r2", undefined) },
      { kind: "tag-sync", policy: "default/new", slot: slotOf.change("r1", undefined) },
    ]);
  });

  test("jobs that go on are gone on with, and count among those that run", async () => {
    const left = (name: string): UnfinishedJob => ({
      job: { kind: "prune", policy: `default/${name}`, trigger: "schedule", slot: "29000000" },
      startedAt: "2026-11-22T09:50:00.000Z",
    });
    jobs.left = hundred.slice(0, 3).map(left);
    await begin(
      "prune",
      hundred.map((name) => policy("prune", name)),
      () => outage,
    );
    expect(jobs.began.map(({ policy, slot }) => [policy, slot])).toEqual([
      ...hundred.slice(0, 3).map((name) => [`default/${name}`, "29000000"]),
      [`default/${hundred[3]}`, slotOf.time(start)],
    ]);
    expect(schedules.stateOf("prune", keyOf("prune", hundred[0]!))?.running).toBe("2026-11-22T09:50:00.000Z");
  });
});

test("one run a policy: who asks meanwhile is answered by the run that is under way", async () => {
  await begin("prune", []);
  const ask = (slot: string) => schedules.run("prune", keyOf("prune", "builds"), { trigger: "manual", slot });
  const [one, other] = [ask("a"), ask("b")];
  await settle();
  expect(jobs.began.map(({ slot }) => slot)).toEqual(["a"]);
  jobs.began[0]?.end();
  expect(await one).toBe(await other);
});

test("a run whose policy must not go on is told why; one that waits for its turn does not begin", async () => {
  await begin("prune", []);
  const names = hundred.slice(0, 5);
  const outcomes = names.map((name) => schedules.run("prune", keyOf("prune", name), { trigger: "schedule", slot: "a" }));
  await settle();
  schedules.halt(({ name }) => (name === names[0] || name === names[4] ? `${name} was deleted` : undefined));
  await settle();
  expect(jobs.began.map(({ signal }) => signal.aborted)).toEqual([true, false, false, false]);
  expect(jobs.began[0]?.signal.reason).toBeInstanceOf(RunHalted);
  expect(jobs.began[0]?.signal.reason).toMatchObject({ message: `${names[0]} was deleted` });
  expect(await outcomes[4]).toBeUndefined();
});

test("what the runner knows of a run that ended is said instead of its process's last words", async () => {
  await begin("prune", []);
  const key = keyOf("prune", "builds");
  const outcome = schedules.run("prune", key, { trigger: "schedule", slot: "a" });
  await settle();
  schedules.hear("prune", key, { ...last("2026-11-22T10:00:00Z", "1"), succeeded: false, message: "told to end" });
  jobs.began[0]?.end({ succeeded: false, message: "past its deadline" });
  await outcome;
  expect(schedules.stateOf("prune", key)?.last).toMatchObject({ run: "1", message: "past its deadline" });
});

test("an approval is for one plan: the run that it starts, and later ones only while that plan waits", async () => {
  const yearly = policy("prune", "builds", { schedule: "0 3 1 1 *" });
  const run = async () => {
    const ran = schedules.run("prune", yearly.key, { trigger: "schedule", slot: "1" });
    await settle();
    jobs.began.forEach(({ end }) => end());
    await ran;
  };
  const waits = (plan?: string) => schedules.hear("prune", yearly.key, last("2026-11-21T10:00:00Z"), plan);
  const approvals = () => jobs.began.splice(0).map(({ approve }) => approve);

  schedules.update("prune", [yearly]);
  schedules.update("prune", [{ ...yearly, approve: "p1" }]);
  await run();
  expect(approvals()).toEqual(["p1"]);
  await run();
  expect(approvals()).toEqual([undefined]);
  waits("p1");
  await run();
  expect(approvals()).toEqual(["p1"]);
  waits("p2");
  await run();
  waits();
  await run();
  expect(approvals()).toEqual([undefined, undefined]);
});
