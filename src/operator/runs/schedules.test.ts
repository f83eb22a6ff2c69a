// When runs start, which ones, and how many at once; which of them carry a person's approval.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { ResourceKey } from "../../domain/resource.ts";
import { RunHalted, type JobKind, type JobOutcome, type JobRunner, type ScheduledJob, type UnfinishedJob } from "../ports.ts";
import { Schedules } from "./schedules.ts";
import { delayOf, slotOf } from "./slots.ts";
import type { ScheduledPolicy } from "./timetable.ts";

const minute = 60_000;
const start = new Date("2026-11-22T10:00:30Z");

interface Began extends ScheduledJob {
  readonly at: Date;
  readonly signal: AbortSignal;
  ended: boolean;
  readonly end: (outcome?: Partial<JobOutcome>) => void;
  /** There is nothing to tell. */
  readonly leave: () => void;
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
    const leave = () => ended.resolve(undefined);
    signal.addEventListener("abort", leave, { once: true });
    const run = String(this.began.length + 1);
    const end = (outcome: Partial<JobOutcome> = {}) => ended.resolve({ run, succeeded: true, message: "done", result: {}, ...outcome });
    const began: Began = { ...job, at: new Date(), signal, ended: false, end, leave };
    this.began.push(began);
    if (this.instant) end();
    return ended.promise.finally(() => {
      began.ended = true;
      this.running--;
    });
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
/** Somebody asks for a run of each. */
async function request(kind: JobKind, policies: readonly ScheduledPolicy[], requestedAt = "now"): Promise<void> {
  schedules.update(
    kind,
    policies.map((asked) => ({ ...asked, requestedAt })),
  );
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

describe("one run a policy", () => {
  const yearly = { schedule: "0 3 1 1 *" };
  const tags = policy("tag-sync", "nginx", yearly);
  const builds = policy("prune", "builds", yearly);
  const current = () => "2026-11-22T10:00:10Z";
  const handled = () => schedules.stateOf("prune", builds.key)?.lastHandledReconcileAt;

  test("a time of the schedule that comes while a run is under way does with that one", async () => {
    const often = { ...builds, schedule: "* * * * *" };
    await begin("prune", [often]);
    await request("prune", [often]);
    await until("2026-11-22T10:10:00Z");
    expect(jobs.began).toHaveLength(1);
    jobs.began[0]?.end();
    await until("2026-11-22T10:11:59Z");
    expect(jobs.began).toHaveLength(2);
  });

  test("what changed, or was asked for, while a run was under way has a run of its own afterwards: that one began before", async () => {
    schedules.update("tag-sync", []);
    schedules.update("prune", []);
    schedules.remember();
    await settle();
    schedules.update("tag-sync", [tags]);
    schedules.update("prune", [builds]);
    await request("prune", [builds], "first");
    expect(jobs.began.map(({ slot }) => slot)).toEqual([slotOf.change("r1", undefined), slotOf.request("first")]);

    schedules.update("tag-sync", [{ ...tags, revision: "r2" }]);
    await request("prune", [builds]);
    await request("prune", [{ ...builds, approve: "p1" }]);
    expect(jobs.began).toHaveLength(2);
    for (const { end } of jobs.began) end();
    await settle();
    expect(handled()).toBe("first");
    expect(jobs.began.slice(2).map(({ slot, approve }) => [slot, approve])).toEqual([
      [slotOf.change("r2", undefined), undefined],
      [slotOf.approval("p1"), "p1"],
    ]);
    for (const { end } of jobs.began) end();
    await settle();
    expect(handled(), "handled by the run that began after it").toBe("now");
    expect(jobs.began).toHaveLength(4);
  });

  test("what is wanted of a run that waits for its turn is wanted of that one", async () => {
    const others = hundred.slice(0, 4).map((name) => policy("tag-sync", name, yearly));
    await begin("tag-sync", others);
    schedules.update("prune", [builds]);
    await request("prune", [builds], "one");
    await request("prune", [builds], "two");
    for (const { end } of jobs.began) end();
    await settle();
    expect(jobs.of("builds").map(({ slot }) => slot)).toEqual([slotOf.request("two")]);
    jobs.of("builds")[0]?.end();
    await settle();
    expect(handled()).toBe("two");
    expect(jobs.of("builds")).toHaveLength(1);
  });

  describe("what was asked for while no process was there", () => {
    const asked = { ...builds, requestedAt: "new", handledRequest: "old" };

    test("a request runs, and is handled when that has ended", async () => {
      await begin("prune", [asked], current);
      expect(jobs.began.map(({ slot, trigger }) => [slot, trigger])).toEqual([[slotOf.request("new"), "manual"]]);
      expect(handled()).toBe("old");
      jobs.began[0]?.end();
      await settle();
      expect(handled()).toBe("new");
    });

    test.each<Partial<ScheduledPolicy>>([{ handledRequest: "new" }, { requestedAt: undefined }])(
      "%o: nothing is left to do",
      async (more) => {
        await begin("prune", [{ ...asked, ...more }], current);
        expect(jobs.began).toEqual([]);
        expect(handled()).toBe(more.handledRequest ?? "old");
      },
    );

    test("where nobody keeps what was handled, it counts as that", async () => {
      const { handledRequest: _, ...unkept } = asked;
      await begin("prune", [unkept], current);
      expect(jobs.began).toEqual([]);
      expect(handled()).toBe("new");
    });

    test("another process told of its run meanwhile", async () => {
      await begin("prune", [asked], current);
      jobs.began[0]?.leave();
      await settle();
      expect(handled()).toBe("new");
    });

    test("a process that ends while the run is under way has not handled it", async () => {
      await begin("prune", [asked], current);
      await schedules.stop();
      expect(handled()).toBe("old");
    });

    test("the job of a request that goes on is that request's", async () => {
      const job = { kind: "prune", policy: "default/builds", trigger: "manual", slot: slotOf.request("new") } as const;
      jobs.left = [{ job, startedAt: "2026-11-22T09:59:00.000Z" }];
      await begin("prune", [asked], current);
      jobs.began[0]?.end();
      await settle();
      expect(jobs.began).toHaveLength(1);
      expect(handled()).toBe("new");
    });

    test("a job of the schedule that goes on is not: request and change have their turn afterwards", async () => {
      const left = (kind: JobKind, name: string): UnfinishedJob => ({
        job: { kind, policy: `default/${name}`, trigger: "schedule", slot: "1" },
        startedAt: "2026-11-22T09:59:00.000Z",
      });
      jobs.left = [left("prune", "builds"), left("tag-sync", "nginx"), left("tag-sync", "before")];
      schedules.update("tag-sync", [
        { ...tags, recordedAt: "2026-11-22T09:59:30Z" },
        policy("tag-sync", "before", { ...yearly, recordedAt: "2026-11-22T09:58:00Z" }),
      ]);
      schedules.update("prune", [asked]);
      schedules.remember();
      await settle();
      expect(jobs.began.map(({ slot }) => slot)).toEqual(["1", "1", "1"]);
      for (const { end } of jobs.began) end();
      await settle();
      expect(handled()).toBe("old");
      expect(jobs.of("builds").map(({ slot }) => slot)).toEqual(["1", slotOf.request("new")]);
      expect(jobs.of("nginx").map(({ slot }) => slot)).toEqual(["1", slotOf.change("r1", undefined)]);
      expect(jobs.of("before").map(({ slot }) => slot)).toEqual(["1"]);
    });

    test("a plan that waits and is approved by now is applied", async () => {
      schedules.update("prune", [{ ...builds, approve: "p1" }]);
      schedules.update("tag-sync", []);
      schedules.hear("prune", builds.key, last("2026-11-22T10:00:10Z"), "p1");
      schedules.remember();
      await settle();
      expect(jobs.began.map(({ slot, approve }) => [slot, approve])).toEqual([[slotOf.approval("p1"), "p1"]]);
    });
  });
});

test("the policies of one namespace do not keep those of another waiting", async () => {
  await begin("prune", []);
  const of = (namespace: string, name: string): ScheduledPolicy => ({
    ...policy("prune", name),
    key: { kind: "RetentionPolicy", namespace, name },
  });
  const greedy = hundred.map((name) => of("greedy", name));
  schedules.update("prune", greedy);
  await request("prune", greedy);
  const all = [...greedy, of("modest", "one"), of("modest", "two"), of("third", "one")];
  schedules.update("prune", all);
  await request("prune", all);
  const running = () => jobs.began.filter(({ ended }) => !ended).map(({ policy }) => policy.split("/")[0]);
  expect(running()).toEqual(["greedy", "greedy", "greedy", "greedy"]);
  const next = async () => {
    jobs.began.find(({ ended, policy }) => !ended && policy.startsWith("greedy/"))?.end();
    await settle();
    return jobs.began.at(-1)?.policy;
  };
  const served = [await next(), await next(), await next(), await next()];
  expect(served).toEqual(["modest/one", "third/one", "greedy/policy-4", "modest/two"]);
  expect(running()).toEqual(["modest", "third", "greedy", "modest"]);
});

test("a process that ends does not wait for an API server that does not say which jobs go on", async () => {
  const deaf: JobRunner = { run: jobs.run, unfinished: () => new Promise(() => undefined) };
  const waiting = new Schedules({ jobs: deaf, maxConcurrent: 4, changed: () => undefined });
  waiting.update("tag-sync", []);
  waiting.update("prune", []);
  waiting.remember();
  await expect(waiting.stop()).resolves.toBeUndefined();
});

test("runs of a policy that is gone are forgotten, once they have ended", async () => {
  const gone = policy("prune", "gone");
  await begin("prune", [gone], () => "2026-11-22T10:00:10Z");
  await request("prune", [gone]);
  schedules.update("prune", []);
  const look = () => schedules.keep(({ name }) => name !== "gone");
  look();
  expect(schedules.stateOf("prune", gone.key)).toHaveProperty("running");
  jobs.began[0]?.end();
  await settle();
  look();
  expect(schedules.stateOf("prune", gone.key)).toBeUndefined();
});

test("a run whose policy must not go on is told why; one that waits for its turn does not begin, nor what was asked for meanwhile", async () => {
  const names = hundred.slice(0, 5);
  const policies = names.map((name) => policy("prune", name));
  await begin("prune", policies);
  await request("prune", policies);
  await request("prune", policies, "again");
  schedules.halt(({ name }) => (name === names[0] || name === names[4] ? `${name} was deleted` : undefined));
  await settle();
  expect(jobs.began.map(({ signal }) => signal.aborted)).toEqual([true, false, false, false]);
  expect(jobs.began[0]?.signal.reason).toBeInstanceOf(RunHalted);
  expect(jobs.began[0]?.signal.reason).toMatchObject({ message: `${names[0]} was deleted` });
});

test("what the runner knows of a run that ended is said instead of its process's last words", async () => {
  const builds = policy("prune", "builds");
  await begin("prune", [builds]);
  await request("prune", [builds]);
  schedules.hear("prune", builds.key, { ...last("2026-11-22T10:00:00Z", "1"), succeeded: false, message: "told to end" });
  jobs.began[0]?.end({ succeeded: false, message: "past its deadline" });
  await settle();
  expect(schedules.stateOf("prune", builds.key)?.last).toMatchObject({ run: "1", message: "past its deadline" });
});

test("an approval is for one plan: the run that it starts, and later ones only while that plan waits", async () => {
  const yearly = policy("prune", "builds", { schedule: "0 3 1 1 *" });
  const approved = { ...yearly, approve: "p1" };
  let asked = 0;
  const end = async () => {
    jobs.began.forEach(({ end }) => end());
    await settle();
  };
  const run = async () => {
    await request("prune", [approved], String(++asked));
    await end();
  };
  const waits = (plan?: string) => schedules.hear("prune", yearly.key, last("2026-11-21T10:00:00Z"), plan);
  const approvals = () => jobs.began.splice(0).map(({ approve }) => approve);

  await begin("prune", [yearly]);
  schedules.update("prune", [approved]);
  await settle();
  await end();
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

test("a run that ends with its process says so, and when the next one comes", async () => {
  await begin("tag-sync", []);
  schedules.update("tag-sync", [policy("tag-sync", "images")]);
  await settle();
  await schedules.stop();
  expect(jobs.began[0]?.signal.reason).toMatchObject({
    message: "stopped: the process in which it ran was told to end; the next run comes by itself, at the next time of its schedule",
  });
});

describe("a policy whose keys are on their way to the registry", () => {
  const lacking = (more: Partial<ScheduledPolicy> = {}) => policy("tag-sync", "images", { schedule: "0 3 1 1 *", lacks: "key", ...more });
  const state = () => schedules.stateOf("tag-sync", keyOf("tag-sync", "images"));
  const update = async (...policies: readonly ScheduledPolicy[]) => {
    schedules.update("tag-sync", policies);
    await settle();
  };
  beforeEach(() => begin("tag-sync", []));

  test("its first run waits until they are there, and says until when at most", async () => {
    await update(lacking());
    expect([jobs.began, state()?.waitsUntil]).toEqual([[], "2026-11-22T10:05:30.000Z"]);
    await until("2026-11-22T10:01:30Z");
    await update(lacking());
    expect([jobs.began, state()?.waitsUntil]).toEqual([[], "2026-11-22T10:05:30.000Z"]);
    await update(lacking({ lacks: undefined }));
    expect(jobs.of("images").map(({ slot }) => slot)).toEqual([slotOf.change("r1", undefined)]);
    expect(state()).not.toHaveProperty("waitsUntil");
    jobs.began[0]?.end();
    await update(lacking({ lacks: undefined }));
    expect(jobs.began, "it lacked nothing: once is enough").toHaveLength(1);
  });

  test("the wait is over after five minutes; what comes later is worth another run", async () => {
    await update(lacking());
    await until("2026-11-22T10:05:29Z");
    expect(jobs.began).toEqual([]);
    await until("2026-11-22T10:05:31Z");
    expect(jobs.of("images").map(({ slot }) => slot)).toEqual([slotOf.change("r1", undefined)]);
    await update(lacking({ lacks: undefined }));
    expect(jobs.began, "it is under way").toHaveLength(1);
    jobs.began[0]?.end();
    await settle();
    expect(jobs.of("images").map(({ slot }) => slot)).toEqual([slotOf.change("r1", undefined), slotOf.loaded("r1", start.getTime())]);
  });

  test("who has lacked them for long does not wait each time; another key is waited for anew", async () => {
    jobs.instant = true;
    await update(lacking());
    await until("2026-11-22T10:06:00Z");
    await update(lacking({ requestedAt: "a" }));
    expect(jobs.began).toHaveLength(2);
    await update(lacking({ requestedAt: "a", revision: "r2", lacks: "another key" }));
    expect([jobs.began.length, state()?.waitsUntil]).toEqual([2, "2026-11-22T10:11:00.000Z"]);
    await update(lacking({ requestedAt: "a", revision: "r2", lacks: undefined }));
    expect(jobs.began.map(({ slot }) => slot).slice(2)).toEqual([slotOf.change("r2", undefined)]);
  });

  test("a run that a person asks for meanwhile is the same one; it waits in nobody's place", async () => {
    const others = ["b", "c", "d", "e"].map((name) => policy("tag-sync", name));
    await update(lacking(), ...others);
    expect(jobs.began.map(({ policy: began }) => began)).toEqual(["default/b", "default/c", "default/d", "default/e"]);
    await update(lacking({ requestedAt: "now" }), ...others);
    jobs.instant = true;
    for (const job of jobs.began) job.end();
    await update(lacking({ requestedAt: "now", lacks: undefined }), ...others);
    expect(jobs.of("images").map(({ trigger, slot }) => [trigger, slot])).toEqual([["manual", slotOf.request("now")]]);
    expect(state()?.lastHandledReconcileAt).toBe("now");
  });

  test("deleted or suspended while its run waits, it never begins", async () => {
    await update(lacking());
    schedules.update("tag-sync", []);
    schedules.halt(() => "stopped: it was suspended");
    await until("2026-11-22T10:10:00Z");
    expect(jobs.began).toEqual([]);
  });

  test("a policy that is only wrong meanwhile runs as it was recorded, when the wait is over", async () => {
    await update(lacking());
    await update();
    expect(jobs.began).toEqual([]);
    await until("2026-11-22T10:06:00Z");
    expect(jobs.began).toHaveLength(1);
  });
});
