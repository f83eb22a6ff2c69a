// Jobs of policies that do not go well, on a real API server: each has its run ended, and says why.

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { RunHalted } from "../../src/operator/ports.ts";
import { eventually } from "../support/eventually.ts";
import { startFaultyHop } from "../support/faulty-hop.ts";
import type { JobCluster } from "../support/job-cluster.ts";
import { JobOperators, never, prune } from "../support/job-operators.ts";

let operators: JobOperators;
let cluster: JobCluster;
beforeAll(async () => {
  operators = await JobOperators.on(["deleted", "broken", "stuck", "quota", "late", "halted", "away"]);
  ({ cluster } = operators);
});
afterEach(() => operators.endAll());
afterAll(() => operators.stop());

test("a Job that is deleted by hand ends its run", async () => {
  const { jobs, events } = await operators.start();
  cluster.kubelet.freeze = () => true;
  const outcome = jobs.run(prune("deleted"), never());
  const pod = await operators.podOf("deleted");
  const id = await operators.runOf(pod);
  const [name = ""] = await operators.jobsOf("deleted");
  await cluster.kubectl("delete", "job", name, "--wait=false");
  const message = `Job ${name} was deleted before it had ended`;
  expect(await operators.ended(outcome)).toMatchObject({ run: id, succeeded: false, message });
  expect(await cluster.admin.run(id)).toMatchObject({ state: "failed", result: { message } });
  expect(events).toEqual([{ type: "Warning", reason: "JobFailed", note: message }]);
});

test("when its retries are used up the Job has failed, for the reason of its last Pod", async () => {
  const { jobs, events } = await operators.start({ retries: 0, command: [process.execPath, "-e", "process.exit(7)"] });
  const outcome = await operators.ended(jobs.run(prune("broken"), never()));
  expect(outcome).toMatchObject({
    succeeded: false,
    message: expect.stringMatching(/^Job broken-\S+ failed: Pod broken-\S+ ended with exit code 7$/),
  });
  expect(events).toEqual([{ type: "Warning", reason: "JobFailed", note: outcome.message }]);
});

test("a Pod that does not start says why, first in an event, in the end as the outcome; the Job goes", async () => {
  const { jobs, events } = await operators.start({ startWithin: 10_000 });
  cluster.kubelet.take = () => false;
  const outcome = jobs.run(prune("stuck"), never());
  const pod = await operators.podOf("stuck");
  const waiting = { reason: "ImagePullBackOff", message: 'Back-off pulling image "registry.example.com/wharfinger:test"' };
  await cluster.api.send("PATCH", `/api/v1/namespaces/${cluster.namespace}/pods/${pod}/status`, {
    contentType: "application/merge-patch+json",
    body: {
      status: { containerStatuses: [{ name: "job", image: "", imageID: "", ready: false, restartCount: 0, state: { waiting } }] },
    },
  });
  const { message, succeeded } = await operators.ended(outcome);
  expect(succeeded).toBe(false);
  expect(message).toMatch(
    /^Job stuck-\S+ did not start within 10s \(jobs\.startWithin\); Pod \S+: ImagePullBackOff: Back-off pulling image "/,
  );
  expect(events).toEqual([
    { type: "Warning", reason: "JobNotStarted", note: expect.stringMatching(/^Pod \S+ of Job \S+: ImagePullBackOff: Back-off/) },
    { type: "Warning", reason: "JobFailed", note: message },
  ]);
  await eventually(async () => expect(await operators.jobsOf("stuck")).toEqual([]));
});

test("a Pod that a quota refuses is told of in the quota's words", async () => {
  const { jobs } = await operators.start({ startWithin: 10_000 });
  await cluster.apply({ apiVersion: "v1", kind: "ResourceQuota", metadata: { name: "none" }, spec: { hard: { pods: "0" } } });
  await eventually(async () => expect(await cluster.kubectl("get", "resourcequota/none", "-o", "jsonpath={.status.hard.pods}")).toBe("0"));
  try {
    const { message } = await operators.ended(jobs.run(prune("quota"), never()));
    expect(message).toMatch(/did not start within 10s \(jobs\.startWithin\); it got no Pod: .*exceeded quota: none/);
  } finally {
    await cluster.kubectl("delete", "resourcequota", "none");
  }
});

test("a Job past its deadline is stopped", async () => {
  const { jobs } = await operators.start({ startWithin: 14_000, deadline: 15_000 });
  cluster.kubelet.freeze = () => true;
  const outcome = jobs.run(prune("late"), never());
  const pod = await operators.podOf("late");
  const id = await operators.runOf(pod);
  expect(await operators.ended(outcome, pod)).toMatchObject({
    run: id,
    succeeded: false,
    message: expect.stringMatching(/^Job late-\S+ had not ended after 15s \(jobs\.deadline\) and was stopped$/),
  });
  expect(await cluster.admin.run(id)).toMatchObject({ state: "failed" });
});

test("a job whose policy must not go on is ended with the reason", async () => {
  const { jobs, events } = await operators.start();
  cluster.kubelet.freeze = () => true;
  const halt = new AbortController();
  const outcome = jobs.run(prune("halted"), halt.signal);
  const id = await operators.runOf(await operators.podOf("halted"));
  const message = "stopped: RetentionPolicy default/halted was deleted while its job ran";
  halt.abort(new RunHalted(message));
  expect(await operators.ended(outcome)).toMatchObject({ run: id, succeeded: false, message });
  expect(await cluster.admin.run(id)).toMatchObject({ state: "failed", result: { message } });
  expect(events).toEqual([{ type: "Warning", reason: "JobStopped", note: message }]);
  await eventually(async () => expect(await operators.jobsOf("halted")).toEqual([]));
});

test("while the registry does not answer a run waits; a job that must end does so all the same", async () => {
  const hop = await startFaultyHop(cluster.registry.url);
  try {
    const { jobs } = await operators.start({}, { url: hop.url });
    cluster.kubelet.freeze = () => true;
    hop.fail(/^POST .*\/runs$/, { answer: 503 }, 2);
    const halt = new AbortController();
    const outcome = jobs.run(prune("away"), halt.signal);
    await operators.runOf(await operators.podOf("away"));
    expect(hop.done).toHaveLength(2);
    hop.fail(/./, "refused", 1_000);
    halt.abort(new RunHalted("stopped: away"));
    // Without the run's id: what the registry tells of it is news.
    expect(await operators.ended(outcome)).toEqual({ run: "", succeeded: false, message: "stopped: away", result: undefined });
    await eventually(async () => expect(await operators.jobsOf("away")).toEqual([]));
  } finally {
    await hop.stop();
  }
});
