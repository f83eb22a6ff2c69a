// The reporter over time, with a cluster and a registry that do what a test says; test/kubernetes/reporter.test.ts has the real ones.

import { pino } from "pino";
import { afterEach, expect, test } from "vitest";

import { eventually } from "../../test/support/eventually.ts";
import { send } from "../../test/support/http.ts";
import type { WorkloadReport } from "../api/control/workloads.ts";
import { ClientError } from "../client/errors.ts";
import type { PodEvent } from "../observability/obstacles.ts";
import { ClusterError, workloadKinds, type Cluster, type WorkloadKind } from "./cluster.ts";
import { startReporterProbes } from "./probes.ts";
import { Reporter } from "./reporter.ts";

type Tell = (images: readonly string[]) => void;

const stop = new Set<() => Promise<void>>();
afterEach(async () => {
  for (const end of stop) await end();
  stop.clear();
});

interface World {
  images: string[];
  /** What listing this kind answers. */
  failing: Partial<Record<WorkloadKind, ClusterError>>;
  /** What the next watch ends with at once. */
  watchFails: ClusterError | undefined;
  /** Where each watch began, and how to tell it something. */
  readonly watches: { readonly from: string; readonly tell: Tell; readonly end: () => void }[];
  /** What the registry answers. */
  refusal: Error | undefined;
  readonly reports: WorkloadReport[];
}

function start(world: Partial<World> = {}, { every = 3_600_000 }: { every?: number } = {}) {
  const state: World = { images: ["app:1"], failing: {}, watchFails: undefined, watches: [], refusal: undefined, reports: [], ...world };
  let version = 0;
  const cluster: Cluster = {
    ownNamespace: undefined,
    list: async (kind) => {
      const { [kind]: failure } = state.failing;
      if (failure !== undefined) throw failure;
      return { images: kind === "pods" ? state.images : [], resourceVersion: String(++version) };
    },
    watchPods: ({ resourceVersion }, tell, signal) => {
      const failure = state.watchFails;
      state.watchFails = undefined;
      const ended = Promise.withResolvers<string>();
      if (failure !== undefined) ended.reject(failure);
      signal.addEventListener("abort", () => ended.resolve(resourceVersion));
      state.watches.push({ from: resourceVersion, tell, end: () => ended.resolve(`${resourceVersion}+`) });
      return ended.promise;
    },
  };
  const send = async (report: WorkloadReport) => {
    if (state.refusal !== undefined) throw state.refusal;
    state.reports.push(report);
    return { cluster: "prod", images: report.images.length, reportedAt: null };
  };
  const announced: string[] = [];
  const announce = ({ reason }: PodEvent) => void announced.push(reason);
  const log: { level: number; msg: string; err?: unknown }[] = [];
  const logger = pino({}, { write: (line: string) => void log.push(JSON.parse(line) as (typeof log)[number]) });
  const reporter = new Reporter({ cluster, namespaces: [], send, logger, announce, every });
  const run = () => {
    const ending = new AbortController();
    const running = reporter.run(ending.signal);
    stop.add(() => {
      ending.abort();
      return running;
    });
  };
  return { state, reporter, run, announced, log };
}

const names = ({ images }: WorkloadReport) => images.map(({ image }) => image);

test("once is one look and one whole report", async () => {
  const { state, reporter } = start();
  expect(await reporter.once()).toMatchObject({ scope: "Cluster", heard: { images: 1 } });
  expect(state.reports).toMatchObject([{ scope: "Cluster", complete: true, images: [{ image: "app:1" }] }]);
  expect(state.reports[0]?.images[0]?.lastSeen).toBeUndefined();
});

test("what could not be read makes a part that says why", async () => {
  const { state, reporter } = start({ failing: { cronjobs: new ClusterError(403, "forbidden") } });
  expect(await reporter.once()).toMatchObject({ problem: "cronjobs of the whole cluster: forbidden" });
  expect(state.reports).toMatchObject([
    { complete: false, problem: "cronjobs of the whole cluster: forbidden", images: [{ image: "app:1" }] },
  ]);
});

test("a Pod's new image is told at once, known ones are not; the next whole report has it, also when the Pod is gone by then", async () => {
  const { state, reporter, run } = start();
  run();
  await eventually(() => expect(state.watches).toHaveLength(1));
  state.watches[0]?.tell(["app:1"]);
  state.watches[0]?.tell(["app:2", "app@sha256:2"]);
  state.watches[0]?.tell(["app:3", "app:2"]);
  await eventually(() => expect(state.reports).toHaveLength(2));
  expect(state.reports[1]).toMatchObject({ complete: false });
  expect(state.reports[1]?.problem).toBeUndefined();
  expect(names(state.reports[1]!)).toEqual(["app:2", "app@sha256:2", "app:3"]);
  await reporter.once();
  const whole = state.reports[2]!;
  expect(whole.complete).toBe(true);
  expect(names(whole)).toEqual(["app:1", "app:2", "app@sha256:2", "app:3"]);
  expect(whole.images.map(({ lastSeen }) => lastSeen !== undefined)).toEqual([false, true, true, true]);
  await reporter.once();
  expect(names(state.reports[3]!)).toEqual(["app:1"]);
});

test("new images that the registry did not take are in the next whole report", async () => {
  const { state, reporter, run } = start();
  run();
  await eventually(() => expect(state.watches).toHaveLength(1));
  state.refusal = new Error("away");
  state.watches[0]?.tell(["app:2"]);
  await expect(reporter.once()).rejects.toThrow("away");
  state.refusal = undefined;
  await reporter.once();
  expect(names(state.reports.at(-1)!)).toEqual(["app:1", "app:2"]);
});

test("that new images were not taken is said once, in the words of a report", async () => {
  const { state, run, announced, log } = start();
  run();
  await eventually(() => expect(state.watches).toHaveLength(1));
  state.refusal = new ClientError("Unreachable", "nobody listens there");
  state.watches[0]?.tell(["app:2"]);
  await eventually(() => expect(announced).toEqual(["RegistryUnreachable"]));
  expect(log.filter(({ level }) => level > 30)).toEqual([
    expect.objectContaining({ level: 50, msg: "The registry did not take the report: nobody listens there. It is tried again." }),
  ]);
  expect(log.some(({ err }) => err !== undefined)).toBe(false);
});

test("a watch that ends goes on from where it was, and one that broke begins there again", async () => {
  const { state, run } = start();
  run();
  await eventually(() => expect(state.watches).toHaveLength(1));
  state.watchFails = new ClusterError(0, "socket hang up");
  state.watches[0]?.end();
  await eventually(() => expect(state.watches).toHaveLength(3));
  expect(state.watches.map(({ from }) => from)).toEqual(["1", "1+", "1+"]);
});

test("a watch whose place is too old asks for another look now, and begins there", async () => {
  const { state, run } = start({ watchFails: new ClusterError(410, "too old") });
  run();
  await eventually(() => expect(state.watches).toHaveLength(2));
  expect(state.watches.map(({ from }) => from)).toEqual(["1", String(1 + workloadKinds.length)]);
});

test("a report that was not taken, or is not whole, is tried again soon; then the pause is the usual one", async () => {
  const { state, run } = start({ refusal: new Error("away"), failing: { jobs: new ClusterError(500, "etcd is away") } }, { every: 20 });
  run();
  await eventually(() => {
    state.refusal = undefined;
    expect(state.reports.length).toBeGreaterThan(2);
  });
  expect(state.reports.every(({ complete }) => !complete)).toBe(true);
  state.failing = {};
  await eventually(() => expect(state.reports.some(({ complete }) => complete)).toBe(true));
});

test("its probes say how it gets on: nothing yet, a refusal, a whole report", async () => {
  const { state, reporter, run } = start({ refusal: new Error("The registry is away") }, { every: 20 });
  const probes = await startReporterProbes({ reporter, listen: { host: "127.0.0.1", port: 0 }, version: "0.0.0" });
  stop.add(() => probes.stop());
  const ask = (path: string) => send(`http://127.0.0.1:${probes.port}`, "GET", path);
  const ready = async () => {
    const answer = await ask("/readyz");
    return [answer.status, (answer.json() as { checks: { message: string }[] }).checks[0]?.message];
  };
  expect((await ask("/livez")).status).toBe(200);
  expect(await ready()).toEqual([503, "nothing was reported yet"]);
  run();
  await eventually(async () => expect(await ready()).toEqual([503, "the registry did not take the report: The registry is away"]));
  expect((await ask("/metrics")).body.toString()).toMatch(/^wharfinger_reporter_failures [1-9]/m);
  state.refusal = undefined;
  await eventually(async () => expect(await ready()).toEqual([200, expect.stringMatching(/^was taken at 2/)]));
  const metrics = (await ask("/metrics")).body.toString();
  expect(metrics).toMatch(/^wharfinger_reporter_failures 0$/m);
  expect(metrics).toMatch(/^wharfinger_reporter_last_report_timestamp_seconds \d/m);
});

test("what keeps the registry from knowing is said of the Pod once, and that it is over", async () => {
  const { state, run, announced } = start({ refusal: new ClientError("Unreachable", "nobody listens there.") }, { every: 20 });
  run();
  await eventually(() => expect(announced).toEqual(["RegistryUnreachable"]));
  state.refusal = new ClientError("Unauthorized", "who are you?");
  await eventually(() => expect(announced).toEqual(["RegistryUnreachable", "RegistryRefused"]));
  state.refusal = undefined;
  await eventually(() => expect(announced).toEqual(["RegistryUnreachable", "RegistryRefused", "Reported"]));
});
