// Jobs of policies on a real API server, with the controllers that make Pods of Jobs; a Pod's command runs as a real process, with the token that
// is projected into it, at a real registry. How Jobs end that do not go well: jobs-ended.test.ts.

import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";

import type { JobManifest } from "../../src/operator/manifests/job.ts";
import { jobName } from "../../src/operator/manifests/job-name.ts";
import { RunHalted } from "../../src/operator/ports.ts";
import { eventually } from "../support/eventually.ts";
import type { JobCluster } from "../support/job-cluster.ts";
import { JobOperators, never, prune } from "../support/job-operators.ts";

/** Jobs as versions of the operator have made them. */
const forms = resolve(import.meta.dirname, "../job-forms");

let operators: JobOperators;
let cluster: JobCluster;
beforeAll(async () => {
  operators = await JobOperators.on(["clean", "twins", "killed", "patient", "adopted", "former", "foreign", "history", "resumed", "going"]);
  ({ cluster } = operators);
});
afterEach(() => operators.endAll());
afterAll(() => operators.stop());

test("a Job is made, its Pod is let in and gets its run, and what it did is told; then its token is good for nothing", async () => {
  const { jobs, events } = await operators.start();
  const outcome = jobs.run(prune("clean"), never());
  const pod = await operators.podOf("clean");
  const { run, ...end } = await operators.ended(outcome, pod);
  expect(end).toMatchObject({
    succeeded: true,
    message: "would delete 0, kept 0, 0 bytes; action: Plan deletes nothing",
  });
  expect(await cluster.admin.run(run)).toMatchObject({ state: "succeeded", policy: "default/clean", trigger: "schedule" });
  await expect(cluster.runOf(pod)).rejects.toMatchObject({ code: "Refused" });
  expect(events).toEqual([]);
});

test("two operators at once make one Job for one slot, and both hear how it went; a third one runs nothing", async () => {
  const [one, other] = [await operators.start(), await operators.start()];
  const outcomes = await Promise.all([one, other].map(({ jobs }) => jobs.run(prune("twins"), never())));
  expect(outcomes.map((outcome) => outcome?.succeeded)).toEqual([true, true]);
  expect(new Set(outcomes.map((outcome) => outcome?.run)).size).toBe(1);
  expect(await (await operators.start()).jobs.run(prune("twins"), never())).toBeUndefined();
  expect(await operators.jobsOf("twins")).toHaveLength(1);
  expect(await operators.podsOf("twins")).toHaveLength(1);
});

test("a Pod that is killed has its run ended and its token taken, and another Pod does the work", async () => {
  const { jobs } = await operators.start();
  cluster.kubelet.freeze = () => true;
  const outcome = jobs.run(prune("killed"), never());
  const first = await operators.podOf("killed");
  const id = await operators.runOf(first);
  // As an apply of its plan leaves it: Git is told of what was deleted.
  await cluster.sql("UPDATE runs SET result = $2 WHERE id = $1", [id, JSON.stringify({ deleted: 1 })]);
  (await cluster.kubelet.process(first)).kill("SIGKILL");
  const second = await operators.podOf("killed", 1);
  const retried = await operators.runOf(second);
  expect(retried).not.toBe(id);
  await expect(cluster.runOf(first)).rejects.toMatchObject({ code: "Refused" });
  const message = `Pod ${first} ended with exit code 137 (OOMKilled); it had not said how its run went`;
  expect(await cluster.admin.run(id)).toMatchObject({ state: "failed", result: { deleted: 1, message } });
  (await cluster.kubelet.process(second)).kill("SIGCONT");
  expect(await operators.ended(outcome, second)).toMatchObject({ run: retried, succeeded: true });
});

test("a run of the same policy that somebody else began is waited for", async () => {
  const { jobs } = await operators.start();
  const { id } = await cluster.admin.startRun({ kind: "prune", policy: "default/patient", trigger: "manual" });
  const outcome = jobs.run(prune("patient"), never());
  const pod = await operators.podOf("patient");
  await eventually(() => expect(cluster.kubelet.logs(pod)).toContain(`No run is registered for Pod ${pod}`));
  await cluster.admin.updateRun(id, { state: "succeeded", result: {} });
  expect(await operators.ended(outcome, pod)).toMatchObject({ succeeded: true, run: expect.not.stringContaining(id) });
});

test("what a process leaves behind the next one goes on with: no second Job, whatever slot it wants", async () => {
  const first = await operators.start();
  cluster.kubelet.freeze = () => true;
  const leaves = new AbortController();
  const left = first.jobs.run(prune("adopted"), leaves.signal);
  const pod = await operators.podOf("adopted");
  const id = await operators.runOf(pod);
  leaves.abort();
  expect(await left).toBeUndefined();
  await first.jobs.stop();

  const second = await operators.start();
  const unfinished = (await second.jobs.unfinished()).filter(({ job: { policy } }) => policy === "default/adopted");
  expect(unfinished).toEqual([{ job: prune("adopted"), startedAt: expect.any(String) }]);
  const outcome = second.jobs.run(prune("adopted", "29380230"), never());
  (await cluster.kubelet.process(pod)).kill("SIGCONT");
  expect(await operators.ended(outcome, pod)).toMatchObject({ run: id, succeeded: true });
  expect(await operators.jobsOf("adopted")).toHaveLength(1);
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
    const { jobs } = await operators.start();
    await eventually(async () => expect((await jobs.unfinished()).map((found) => found.job)).toContainEqual(prune("former")));
    // Whatever slot this operator would begin.
    const outcome = await operators.ended(jobs.run(prune("former", "29380230"), never()), await operators.podOf("former"));
    expect(outcome).toMatchObject({ succeeded: true });
    expect(await operators.jobsOf("former")).toEqual([metadata.name]);
    await cluster.kubectl("delete", "job", metadata.name, "--wait");
  },
);

test("a Job of somebody else that has the name is left alone", async () => {
  const { jobs } = await operators.start();
  const name = jobName(prune("foreign"));
  const template = { spec: { restartPolicy: "Never", containers: [{ name: "other", image: "example.com/other" }] } };
  await cluster.apply({ apiVersion: "batch/v1", kind: "Job", metadata: { name }, spec: { suspend: true, template } });
  const { message } = await operators.ended(jobs.run(prune("foreign"), never()));
  expect(message).toContain(`Job ${cluster.namespace}/${name} that is not ours`);
  expect(await operators.jobsOf("foreign")).toEqual([name]);
});

test("of each policy so many Jobs stay as the settings say", async () => {
  const { jobs } = await operators.start({ history: { succeeded: 1, failed: 1 } });
  for (const slot of ["1", "2"]) await operators.ended(jobs.run(prune("history", slot), never()));
  await eventually(async () => expect(await operators.jobsOf("history")).toHaveLength(1));
});

test("a job that was ended is nobody's to go on with, also while a watch still shows it", async () => {
  const { jobs } = await operators.start();
  cluster.kubelet.freeze = () => true;
  const halt = new AbortController();
  const outcome = jobs.run(prune("resumed"), halt.signal);
  await operators.runOf(await operators.podOf("resumed"));
  // What it shows from here on is what was.
  await jobs.stop();
  halt.abort(new RunHalted("stopped: resumed"));
  expect(await operators.ended(outcome)).toMatchObject({ succeeded: false, message: "stopped: resumed" });
  const leaves = new AbortController();
  const next = jobs.run(prune("resumed", "29380230"), leaves.signal);
  await eventually(async () => expect(await operators.jobsOf("resumed")).toEqual([jobName(prune("resumed", "29380230"))]));
  leaves.abort();
  expect(await next).toBeUndefined();
});

test("a Job that goes is waited for by who wants another of its name", async () => {
  const { jobs } = await operators.start();
  const name = jobName(prune("going"));
  const template = { spec: { restartPolicy: "Never", containers: [{ name: "other", image: "example.com/other" }] } };
  await cluster.apply({
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name, finalizers: ["example.com/slow"] },
    spec: { suspend: true, template },
  });
  await cluster.kubectl("delete", "job", name, "--wait=false");
  const leaves = new AbortController();
  const outcome = jobs.run(prune("going"), leaves.signal);
  const told = await Promise.race([
    outcome,
    cluster.kubectl("patch", "job", name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}'),
  ]);
  expect(told).toContain("patched");
  expect(await operators.ended(outcome, await operators.podOf("going"))).toMatchObject({ succeeded: true });
});
