// Jobs of policies on a real API server, with the controllers that make Pods of Jobs; a Pod's command runs as a real process, with the token that
// is projected into it, at a real registry.

import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { pino } from "pino";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";

import { ControlClient } from "../../src/client/control-client.ts";
import type { JobsSettings } from "../../src/config/settings.ts";
import type { EventDraft } from "../../src/operator/kube/events.ts";
import { KubernetesJobs } from "../../src/operator/kube/kubernetes-jobs.ts";
import type { JobManifest } from "../../src/operator/manifests/job.ts";
import { jobName } from "../../src/operator/manifests/job-name.ts";
import { podSettings } from "../../src/operator/manifests/pod-settings.ts";
import { RunHalted, type JobOutcome, type ScheduledJob } from "../../src/operator/ports.ts";
import { clientBy } from "../support/cluster-access.ts";
import { answerTo, eventually } from "../support/eventually.ts";
import { startFaultyHop } from "../support/faulty-hop.ts";
import { startJobCluster, type JobCluster } from "../support/job-cluster.ts";
import { publishFirst } from "../support/registry.ts";

const names = [
  "clean",
  "twins",
  "killed",
  "deleted",
  "stuck",
  "quota",
  "late",
  "adopted",
  "foreign",
  "history",
  "halted",
  "broken",
  "patient",
  "away",
  "resumed",
  "going",
  "former",
] as const;

/** Jobs as versions of the operator have made them. */
const forms = resolve(import.meta.dirname, "../job-forms");

let cluster: JobCluster;
let operators: Operator[] = [];

interface Operator {
  readonly jobs: KubernetesJobs;
  readonly events: EventDraft[];
  stop(): Promise<void>;
}

beforeAll(async () => {
  cluster = await startJobCluster();
  const spec = { repositories: { include: ["team/**"] }, keep: [{ name: "newest", mostRecentlyPushed: 1 }] };
  await publishFirst(
    cluster.registry.url,
    names.map((name) => ({ kind: "RetentionPolicy", name, spec })),
  );
});
afterEach(async () => {
  await Promise.all(operators.map((operator) => operator.stop()));
  operators = [];
  cluster.kubelet.take = () => true;
  cluster.kubelet.freeze = () => false;
});
afterAll(() => cluster.stop());

/** A process that leads. */
async function operator(settings: Partial<JobsSettings> = {}, { url = cluster.registry.url } = {}): Promise<Operator> {
  const { namespace, registry, kubeconfig, tokenFile } = cluster;
  const all = { ...cluster.settings, jobs: { ...cluster.settings.jobs, ...settings } };
  const client = await clientBy(kubeconfig);
  const control = new ControlClient({ url, tokenFile });
  const events: EventDraft[] = [];
  const jobs = new KubernetesJobs({
    client,
    control,
    namespace,
    settings: podSettings(all, { namespace, registry: registry.url, pullFrom: registry.url })!,
    say: (_, event) => events.push(event),
    logger: pino({ level: "silent" }),
  });
  jobs.start();
  const stop = async () => {
    await jobs.stop();
    await Promise.all([client.close(), control.close()]);
  };
  const started = { jobs, events, stop };
  operators.push(started);
  return started;
}

const job = (name: (typeof names)[number], slot = "29380200"): ScheduledJob => ({
  kind: "prune",
  policy: `default/${name}`,
  trigger: "schedule",
  slot,
});
const never = () => new AbortController().signal;
const podOf = (name: string, position = 0) =>
  answerTo(`${name} has Pod ${position}`, async () => (await podsOf(name))[position]?.metadata.name);
const podsOf = async (name: string) =>
  (await cluster.kubelet.pods())
    .filter(({ metadata }) => metadata.labels?.["batch.kubernetes.io/job-name"]?.startsWith(`${name}-`))
    .sort((a, b) => (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? -1 : 1));
const jobsOf = async (name: string) => {
  const listed = (await cluster.kubectl("get", "jobs", "-o", "name")).split("\n");
  return listed.map((line) => line.replace("job.batch/", "")).filter((found) => found.startsWith(`${name}-`));
};
/** The run of a Pod, once the operator has registered it. */
const runOf = (pod: string) => answerTo(`Pod ${pod} has a run`, () => cluster.runOf(pod), { context: () => cluster.kubelet.logs(pod) });
const ended = async (outcome: Promise<JobOutcome | undefined>, pod?: string) => {
  const found = await outcome;
  if (found === undefined) throw new Error(`nothing is told of the job: ${pod === undefined ? "" : cluster.kubelet.logs(pod)}`);
  return found;
};

test("a Job is made, its Pod is let in and gets its run, and what it did is told; then its token is good for nothing", async () => {
  const { jobs, events } = await operator();
  const outcome = jobs.run(job("clean"), never());
  const pod = await podOf("clean");
  const { run, ...end } = await ended(outcome, pod);
  expect(end).toMatchObject({
    succeeded: true,
    message: "would delete 0, kept 0, 0 bytes; action: Plan deletes nothing",
  });
  expect(await cluster.admin.run(run)).toMatchObject({ state: "succeeded", policy: "default/clean", trigger: "schedule" });
  await expect(cluster.runOf(pod)).rejects.toMatchObject({ code: "Refused" });
  expect(events).toEqual([]);
});

test("two operators at once make one Job for one slot, and both hear how it went; a third one runs nothing", async () => {
  const [one, other] = [await operator(), await operator()];
  const outcomes = await Promise.all([one, other].map(({ jobs }) => jobs.run(job("twins"), never())));
  expect(outcomes.map((outcome) => outcome?.succeeded)).toEqual([true, true]);
  expect(new Set(outcomes.map((outcome) => outcome?.run)).size).toBe(1);
  expect(await (await operator()).jobs.run(job("twins"), never())).toBeUndefined();
  expect(await jobsOf("twins")).toHaveLength(1);
  expect(await podsOf("twins")).toHaveLength(1);
});

test("a Pod that is killed has its run ended and its token taken, and another Pod does the work", async () => {
  const { jobs } = await operator();
  cluster.kubelet.freeze = () => true;
  const outcome = jobs.run(job("killed"), never());
  const first = await podOf("killed");
  const id = await runOf(first);
  // As an apply of its plan leaves it: Git is told of what was deleted.
  await cluster.sql("UPDATE runs SET result = $2 WHERE id = $1", [id, JSON.stringify({ deleted: 1 })]);
  (await cluster.kubelet.process(first)).kill("SIGKILL");
  const second = await podOf("killed", 1);
  const retried = await runOf(second);
  expect(retried).not.toBe(id);
  await expect(cluster.runOf(first)).rejects.toMatchObject({ code: "Refused" });
  const message = `Pod ${first} ended with exit code 137 (OOMKilled); it had not said how its run went`;
  expect(await cluster.admin.run(id)).toMatchObject({ state: "failed", result: { deleted: 1, message } });
  (await cluster.kubelet.process(second)).kill("SIGCONT");
  expect(await ended(outcome, second)).toMatchObject({ run: retried, succeeded: true });
});

test("when its retries are used up the Job has failed, for the reason of its last Pod", async () => {
  const { jobs, events } = await operator({ retries: 0, command: [process.execPath, "-e", "process.exit(7)"] });
  const outcome = await ended(jobs.run(job("broken"), never()));
  expect(outcome).toMatchObject({
    succeeded: false,
    message: expect.stringMatching(/^Job broken-\S+ failed: Pod broken-\S+ ended with exit code 7$/),
  });
  expect(events).toEqual([{ type: "Warning", reason: "JobFailed", note: outcome.message }]);
});

test("a Job that is deleted by hand ends its run", async () => {
  const { jobs, events } = await operator();
  cluster.kubelet.freeze = () => true;
  const outcome = jobs.run(job("deleted"), never());
  const pod = await podOf("deleted");
  const id = await runOf(pod);
  const [name = ""] = await jobsOf("deleted");
  await cluster.kubectl("delete", "job", name, "--wait=false");
  const message = `Job ${name} was deleted before it had ended`;
  expect(await ended(outcome)).toMatchObject({ run: id, succeeded: false, message });
  expect(await cluster.admin.run(id)).toMatchObject({ state: "failed", result: { message } });
  expect(events).toEqual([{ type: "Warning", reason: "JobFailed", note: message }]);
});

test("a Pod that does not start says why, first in an event, in the end as the outcome; the Job goes", async () => {
  const { jobs, events } = await operator({ startWithin: 10_000 });
  cluster.kubelet.take = () => false;
  const outcome = jobs.run(job("stuck"), never());
  const pod = await podOf("stuck");
  const waiting = { reason: "ImagePullBackOff", message: 'Back-off pulling image "registry.example.com/wharfinger:test"' };
  await cluster.api.send("PATCH", `/api/v1/namespaces/${cluster.namespace}/pods/${pod}/status`, {
    contentType: "application/merge-patch+json",
    body: {
      status: { containerStatuses: [{ name: "job", image: "", imageID: "", ready: false, restartCount: 0, state: { waiting } }] },
    },
  });
  const { message, succeeded } = await ended(outcome);
  expect(succeeded).toBe(false);
  expect(message).toMatch(
    /^Job stuck-\S+ did not start within 10s \(jobs\.startWithin\); Pod \S+: ImagePullBackOff: Back-off pulling image "/,
  );
  expect(events).toEqual([
    { type: "Warning", reason: "JobNotStarted", note: expect.stringMatching(/^Pod \S+ of Job \S+: ImagePullBackOff: Back-off/) },
    { type: "Warning", reason: "JobFailed", note: message },
  ]);
  await eventually(async () => expect(await jobsOf("stuck")).toEqual([]));
});

test("a Pod that a quota refuses is told of in the quota's words", async () => {
  const { jobs } = await operator({ startWithin: 10_000 });
  await cluster.apply({ apiVersion: "v1", kind: "ResourceQuota", metadata: { name: "none" }, spec: { hard: { pods: "0" } } });
  await eventually(async () => expect(await cluster.kubectl("get", "resourcequota/none", "-o", "jsonpath={.status.hard.pods}")).toBe("0"));
  try {
    const { message } = await ended(jobs.run(job("quota"), never()));
    expect(message).toMatch(/did not start within 10s \(jobs\.startWithin\); it got no Pod: .*exceeded quota: none/);
  } finally {
    await cluster.kubectl("delete", "resourcequota", "none");
  }
});

test("a run of the same policy that somebody else began is waited for", async () => {
  const { jobs } = await operator();
  const { id } = await cluster.admin.startRun({ kind: "prune", policy: "default/patient", trigger: "manual" });
  const outcome = jobs.run(job("patient"), never());
  const pod = await podOf("patient");
  await eventually(() => expect(cluster.kubelet.logs(pod)).toContain(`No run is registered for Pod ${pod}`));
  await cluster.admin.updateRun(id, { state: "succeeded", result: {} });
  expect(await ended(outcome, pod)).toMatchObject({ succeeded: true, run: expect.not.stringContaining(id) });
});

test("a Job past its deadline is stopped", async () => {
  const { jobs } = await operator({ deadline: 10_000 });
  cluster.kubelet.freeze = () => true;
  const outcome = jobs.run(job("late"), never());
  const pod = await podOf("late");
  const id = await runOf(pod);
  expect(await ended(outcome, pod)).toMatchObject({
    run: id,
    succeeded: false,
    message: expect.stringMatching(/^Job late-\S+ had not ended after 10s \(jobs\.deadline\) and was stopped$/),
  });
  expect(await cluster.admin.run(id)).toMatchObject({ state: "failed" });
});

test("what a process leaves behind the next one goes on with: no second Job, whatever slot it wants", async () => {
  const first = await operator();
  cluster.kubelet.freeze = () => true;
  const leaves = new AbortController();
  const left = first.jobs.run(job("adopted"), leaves.signal);
  const pod = await podOf("adopted");
  const id = await runOf(pod);
  leaves.abort();
  expect(await left).toBeUndefined();
  await first.jobs.stop();

  const second = await operator();
  const unfinished = (await second.jobs.unfinished()).filter(({ job: { policy } }) => policy === "default/adopted");
  expect(unfinished).toEqual([{ job: job("adopted"), startedAt: expect.any(String) }]);
  const outcome = second.jobs.run(job("adopted", "29380230"), never());
  (await cluster.kubelet.process(pod)).kill("SIGCONT");
  expect(await ended(outcome, pod)).toMatchObject({ run: id, succeeded: true });
  expect(await jobsOf("adopted")).toHaveLength(1);
});

test.each(readdirSync(forms))(
  "a Job of form %s that an operator before made is gone on with, and its arguments are understood",
  async (form) => {
    const text = await readFile(join(forms, form), "utf8");
    const [first] = parseAllDocuments(text);
    if (first === undefined) throw new Error(`${form} has no Job`);
    const { metadata, spec, ...made } = first.toJS() as JobManifest;
    const { url } = cluster.registry;
    const containers = spec.template.spec.containers.map(({ args, ...container }) => ({
      ...container,
      command: cluster.settings.jobs.command,
      args: (args as readonly string[]).map((word) => (word.startsWith("http:") ? url : word)),
    }));
    const template = { ...spec.template, spec: { ...spec.template.spec, containers } };
    await cluster.apply({ ...made, metadata: { ...metadata, namespace: cluster.namespace }, spec: { ...spec, template } });
    const { jobs } = await operator();
    await eventually(async () => expect((await jobs.unfinished()).map((found) => found.job)).toContainEqual(job("former")));
    // Whatever slot this operator would begin.
    const outcome = await ended(jobs.run(job("former", "29380230"), never()), await podOf("former"));
    expect(outcome).toMatchObject({ succeeded: true });
    expect(await jobsOf("former")).toEqual([metadata.name]);
    await cluster.kubectl("delete", "job", metadata.name, "--wait");
  },
);

test("a Job of somebody else that has the name is left alone", async () => {
  const { jobs } = await operator();
  const name = jobName(job("foreign"));
  const template = { spec: { restartPolicy: "Never", containers: [{ name: "other", image: "example.com/other" }] } };
  await cluster.apply({ apiVersion: "batch/v1", kind: "Job", metadata: { name }, spec: { suspend: true, template } });
  const { message } = await ended(jobs.run(job("foreign"), never()));
  expect(message).toContain(`Job ${cluster.namespace}/${name} that is not ours`);
  expect(await jobsOf("foreign")).toEqual([name]);
});

test("of each policy so many Jobs stay as the settings say", async () => {
  const { jobs } = await operator({ history: { succeeded: 1, failed: 1 } });
  for (const slot of ["1", "2"]) await ended(jobs.run(job("history", slot), never()));
  await eventually(async () => expect(await jobsOf("history")).toHaveLength(1));
});

test("a job whose policy must not go on is ended with the reason", async () => {
  const { jobs, events } = await operator();
  cluster.kubelet.freeze = () => true;
  const halt = new AbortController();
  const outcome = jobs.run(job("halted"), halt.signal);
  const id = await runOf(await podOf("halted"));
  const message = "stopped: RetentionPolicy default/halted was deleted while its job ran";
  halt.abort(new RunHalted(message));
  expect(await ended(outcome)).toMatchObject({ run: id, succeeded: false, message });
  expect(await cluster.admin.run(id)).toMatchObject({ state: "failed", result: { message } });
  expect(events).toEqual([{ type: "Warning", reason: "JobStopped", note: message }]);
  await eventually(async () => expect(await jobsOf("halted")).toEqual([]));
});

test("a job that was ended is nobody's to go on with, also while a watch still shows it", async () => {
  const { jobs } = await operator();
  cluster.kubelet.freeze = () => true;
  const halt = new AbortController();
  const outcome = jobs.run(job("resumed"), halt.signal);
  await runOf(await podOf("resumed"));
  // What it shows from here on is what was.
  await jobs.stop();
  halt.abort(new RunHalted("stopped: resumed"));
  expect(await ended(outcome)).toMatchObject({ succeeded: false, message: "stopped: resumed" });
  const leaves = new AbortController();
  const next = jobs.run(job("resumed", "29380230"), leaves.signal);
  await eventually(async () => expect(await jobsOf("resumed")).toEqual([jobName(job("resumed", "29380230"))]));
  leaves.abort();
  expect(await next).toBeUndefined();
});

test("a Job that goes is waited for by who wants another of its name", async () => {
  const { jobs } = await operator();
  const name = jobName(job("going"));
  const template = { spec: { restartPolicy: "Never", containers: [{ name: "other", image: "example.com/other" }] } };
  await cluster.apply({
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name, finalizers: ["example.com/slow"] },
    spec: { suspend: true, template },
  });
  await cluster.kubectl("delete", "job", name, "--wait=false");
  const leaves = new AbortController();
  const outcome = jobs.run(job("going"), leaves.signal);
  const told = await Promise.race([
    outcome,
    cluster.kubectl("patch", "job", name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}'),
  ]);
  expect(told).toContain("patched");
  expect(await ended(outcome, await podOf("going"))).toMatchObject({ succeeded: true });
});

test("while the registry does not answer a run waits; a job that must end does so all the same", async () => {
  const hop = await startFaultyHop(cluster.registry.url);
  try {
    const { jobs } = await operator({}, { url: hop.url });
    cluster.kubelet.freeze = () => true;
    hop.fail(/^POST .*\/runs$/, { answer: 503 }, 2);
    const halt = new AbortController();
    const outcome = jobs.run(job("away"), halt.signal);
    await runOf(await podOf("away"));
    expect(hop.done).toHaveLength(2);
    hop.fail(/./, "refused", 1_000);
    halt.abort(new RunHalted("stopped: away"));
    // Without the run's id: what the registry tells of it is news.
    expect(await ended(outcome)).toEqual({ run: "", succeeded: false, message: "stopped: away", result: undefined });
    await eventually(async () => expect(await jobsOf("away")).toEqual([]));
  } finally {
    await hop.stop();
  }
});
