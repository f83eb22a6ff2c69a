// The operator as a process with the rights and the token of its own ServiceAccount: policies that are applied run as Jobs, and their status says
// what became of them, whatever happens to the operator or to the policy meanwhile.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

import { describeSettings } from "../../src/config/load-settings.ts";
import { pushImage } from "../conformance/content.ts";
import { answerTo, eventually } from "../support/eventually.ts";
import { startJobCluster, type JobCluster } from "../support/job-cluster.ts";
import { startOperatorProcess } from "../support/operator-process.ts";
import type { ServingProcess } from "../support/serving-process.ts";

const stack = new AsyncDisposableStack();
let cluster: JobCluster;
let folder: string;
let operator: ServingProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-jobs-operator-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  cluster = await startJobCluster();
  stack.defer(() => cluster.stop());
  await cluster.kubectl("delete", "rolebinding", "wharfinger-operator-jobs");
  operator = await start();
});
beforeEach(() => {
  cluster.kubelet.freeze = () => false;
});
afterAll(() => stack.disposeAsync());

async function start(): Promise<ServingProcess> {
  const { kubeconfig, tokenFile, namespace, registry, settings } = cluster;
  const started = await startOperatorProcess({
    kubeconfig,
    tokenFile,
    namespaces: [namespace],
    registry: registry.url,
    record: join(folder, "record"),
    settings: describeSettings(settings),
  });
  stack.defer(async () => void (await started.stop()));
  // As a Deployment does: on a machine that has too much to do a Lease may be lost.
  void started.exited.then(async (code) => {
    if (code === 1) operator = await start();
  });
  return started;
}

const never = "0 3 1 1 *";
const object = (kind: string, name: string, spec: object) => ({ apiVersion: "wharfinger.dev/v1alpha1", kind, metadata: { name }, spec });
const retention = (name: string, more: object = {}) =>
  object("RetentionPolicy", name, {
    repositories: { include: [`${name}/**`] },
    keep: [{ name: "newest", mostRecentlyPushed: 1 }],
    inUse: { mode: "Ignore" },
    schedule: never,
    ...more,
  });
interface Status {
  readonly lastRun?: { readonly id?: string; readonly state: string; readonly message?: string };
  readonly lastHandledReconcileAt?: string;
  readonly waitingPlan?: string;
  readonly nextRun?: string;
}
const statusOf = async (resource: string) =>
  JSON.parse((await cluster.kubectl("get", resource, "-o", "jsonpath={.status}")) || "{}") as Status;
const ready = (resource: string) => cluster.kubectl("wait", "--for=condition=Ready", resource, "--timeout=120s");
const request = (name: string, value: string) =>
  cluster.kubectl("annotate", "--overwrite", `retentionpolicy/${name}`, `wharfinger.dev/requestedAt=${value}`);
const jobsOf = async (name: string) => {
  const listed = (await cluster.kubectl("get", "jobs", "-o", "name")).split("\n");
  return listed.map((line) => line.replace("job.batch/", "")).filter((found) => found.startsWith(`${name}-`));
};
/** A job of the policy whose process has done nothing yet: its Pod and its run. */
async function frozen(name: string): Promise<{ readonly pod: string; readonly run: string }> {
  cluster.kubelet.freeze = () => true;
  await cluster.apply(retention(name));
  await ready(`retentionpolicy/${name}`);
  await request(name, "now");
  const pod = await answerTo(
    `${name} has a Pod`,
    async () => (await cluster.kubelet.pods()).find(({ metadata }) => metadata.name.startsWith(`${name}-`))?.metadata.name,
    { context: () => operator.logs() },
  );
  await cluster.kubelet.process(pod);
  const run = await answerTo(`${pod} has a run`, () => cluster.runOf(pod), { context: () => operator.logs() });
  return { pod, run };
}
const told = (name: string, state: string, message: RegExp | string) =>
  eventually(async () => {
    const { lastRun } = await statusOf(`retentionpolicy/${name}`);
    expect(lastRun, `the operator said ${operator.logs()}`).toMatchObject({ state, message: expect.stringMatching(message) });
  });

test("an operator that may not see Jobs says so, and begins when it may", async () => {
  const readyz = async () => (await fetch(`${operator.url}/readyz`)).text();
  await eventually(async () => expect(await readyz()).toContain("may not list and watch jobs in namespace"));
  const account = `--serviceaccount=${cluster.namespace}:wharfinger-operator`;
  await cluster.kubectl("create", "rolebinding", "wharfinger-operator-jobs", "--role=wharfinger-operator-jobs", account);
  await eventually(async () => expect((await fetch(`${operator.url}/readyz`)).status).toBe(200));
});

test("a policy of each kind runs as a Job when it is new or somebody asks, and says how it went", async () => {
  await cluster.apply(
    object("Upstream", "vendor", { url: "https://vendor.example.org", prefix: "vendor", offline: true }),
    object("TagPolicy", "images", {
      upstreamRef: { name: "vendor" },
      images: [{ repository: "team/app" }],
      verify: { mode: "Unverified" },
      schedule: never,
    }),
    retention("clean"),
  );
  await ready("retentionpolicy/clean");
  await request("clean", "please");
  await told("clean", "succeeded", "^would delete 0, kept 0, 0 bytes");
  await eventually(async () =>
    expect(await statusOf("retentionpolicy/clean")).toMatchObject({
      lastHandledReconcileAt: "please",
      nextRun: expect.any(String) as string,
    }),
  );
  await eventually(async () => expect((await statusOf("tagpolicy/images")).lastRun).toMatchObject({ state: "succeeded" }));
  expect(await jobsOf("images")).toHaveLength(1);
  expect(await jobsOf("clean")).toHaveLength(1);
});

test("a stopped plan is applied by the Pod whose run a person has approved, and the plan's id is in no Pod", async () => {
  for (const tag of ["one", "two", "three"]) await pushImage(cluster.registry.url, "limits/app", tag);
  await cluster.apply(retention("limits", { action: "Delete", limits: { maxDeletePercent: 30, minTags: 1 } }));
  await ready("retentionpolicy/limits");
  await request("limits", "now");
  await told("limits", "failed", "^stopped, LimitExceeded");
  const waitingPlan = await answerTo("the plan that waits", async () => (await statusOf("retentionpolicy/limits")).waitingPlan);
  expect(await jobsOf("limits"), "what a job calls failed is not tried again").toHaveLength(1);
  await cluster.kubectl("annotate", "retentionpolicy/limits", `wharfinger.dev/approve-plan=${waitingPlan}`);
  await told("limits", "succeeded", "^deleted 2");
  const pods = (await cluster.kubelet.pods()).filter(({ metadata }) => metadata.name.startsWith("limits-"));
  expect(pods).toHaveLength(2);
  expect(JSON.stringify(pods.map(({ spec }) => spec))).not.toContain(waitingPlan);
});

test("an operator that dies while a job runs is followed by one that goes on with it, and that hears what was asked for meanwhile", async () => {
  const { pod, run } = await frozen("outlive");
  await operator.kill9();
  cluster.kubelet.freeze = () => false;
  await request("clean", "meanwhile");
  operator = await start();
  await eventually(() => expect(operator.logs()).toContain("the Lease is ours"));
  (await cluster.kubelet.process(pod)).kill("SIGCONT");
  await told("outlive", "succeeded", "^would delete 0");
  // For a moment the Job may still be there that the registry says has ended.
  await eventually(async () => expect((await statusOf("retentionpolicy/outlive")).lastRun?.id).toBe(run));
  // What had run before has run: nothing is caught up.
  for (const name of ["images", "outlive"]) expect(await jobsOf(name), `Jobs of ${name}`).toHaveLength(1);
  await eventually(async () => expect(await statusOf("retentionpolicy/outlive")).toMatchObject({ lastHandledReconcileAt: "now" }));
  await eventually(async () => expect(await statusOf("retentionpolicy/clean")).toMatchObject({ lastHandledReconcileAt: "meanwhile" }));
  // A request is handled when its run begins; the Job comes with it.
  await eventually(async () => expect(await jobsOf("clean")).toHaveLength(2));
});

test("a policy that is suspended while its job runs ends it, and says so", async () => {
  const { run } = await frozen("pause");
  await cluster.kubectl("patch", "retentionpolicy/pause", "--type=merge", "-p", '{"spec": {"suspend": true}}');
  const why = `stopped: spec.suspend of RetentionPolicy ${cluster.namespace}/pause was set while its job ran`;
  await told("pause", "failed", why);
  expect(await cluster.admin.run(run)).toMatchObject({ state: "failed", result: { message: why } });
  await eventually(async () => expect(await jobsOf("pause")).toEqual([]));
  await eventually(async () =>
    expect(await cluster.kubectl("events", "--for", "retentionpolicy/pause")).toMatch(/Warning\s+JobStopped.*spec\.suspend/),
  );
});

test("a policy that is deleted while its job runs ends it: an event and the run say so", async () => {
  const { run } = await frozen("leave");
  await cluster.kubectl("delete", "retentionpolicy/leave");
  await eventually(async () => expect(await jobsOf("leave")).toEqual([]));
  const why = `stopped: RetentionPolicy ${cluster.namespace}/leave was deleted while its job ran`;
  expect(await cluster.admin.run(run)).toMatchObject({ state: "failed", result: { message: why } });
  await eventually(async () => expect(await cluster.kubectl("get", "events", "-o", "jsonpath={..message}")).toContain(why));
});
