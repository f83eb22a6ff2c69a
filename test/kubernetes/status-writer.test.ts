// What people see on a resource: its status and its events, written when something changed and not otherwise.

import { pino } from "pino";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import type { ResourceView } from "../../src/api/control/resources.ts";
import { ClusterSource } from "../../src/operator/kube/cluster-source.ts";
import type { KubeError } from "../../src/operator/kube/errors.ts";
import { Events } from "../../src/operator/kube/events.ts";
import type { KubeClient } from "../../src/operator/kube/kube-client.ts";
import { StatusWriter } from "../../src/operator/kube/status-writer.ts";
import { StatusStore, type ConditionDraft } from "../../src/operator/status-store.ts";
import { clientBy } from "../support/cluster-access.ts";
import { eventually } from "../support/eventually.ts";
import type { KubernetesApi } from "../support/kubernetes-access.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { accepted, create, resourcePath, type StoredResource } from "../support/resource-api.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

const logger = pino({ level: "silent" });
let api: KubernetesApi;
let namespace: string;
let stack: AsyncDisposableStack;
let client: KubeClient;
let source: ClusterSource;
/** Requests that write, as they went out. */
let writes: string[];

beforeAll(async () => {
  api = await sharedApiServer();
});
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  namespace = await createNamespace(api);
  accepted(await create(api, { kind: "Upstream", name: "one", spec: { url: "https://example.org", prefix: "one" } }, { namespace }));
  client = await clientBy(api.kubeconfig);
  writes = [];
  const send = client.send.bind(client);
  client.send = (request) => {
    if ((request.method ?? "GET") !== "GET") writes.push(`${request.method} ${request.path.replace(/^.*namespaces\/[^/]+\//, "")}`);
    return send(request);
  };
  source = new ClusterSource({ client, namespaces: [namespace], logger });
  stack.defer(() => client.close());
  stack.defer(() => source.stop());
  await source.start();
});
afterEach(() => stack.disposeAsync());

/** A process from its start: it knows nothing of the statuses that there are. */
function begin(): { readonly round: (...conditions: ConditionDraft[]) => readonly ResourceView[] } {
  const events = new Events({ client, instance: "test", logger });
  const writer = new StatusWriter({ client, events, object: (key) => source.object(key), logger });
  stack.defer(() => writer.stop());
  const store = new StatusStore();
  return {
    round: (...conditions) => {
      const object = source.object({ kind: "Upstream", namespace, name: "one" });
      const key = { kind: "Upstream", namespace, name: "one" } as const;
      const generation = object?.metadata.generation ?? 1;
      store.replace([
        {
          key,
          generation,
          source: undefined,
          spec: {},
          recordedGeneration: generation,
          revision: "abc",
          conditions,
          details: { lastHandledReconcileAt: "now" },
        },
      ]);
      const views = store.views();
      writer.take(views);
      return views;
    },
  };
}

const ready: ConditionDraft = { type: "Ready", status: "True", reason: "Succeeded", message: "served as of abc" };
const broken: ConditionDraft = { type: "Ready", status: "False", reason: "SecretNotFound", message: "there is no Secret x" };

const stored = async () => (await api.send<StoredResource>("GET", resourcePath("Upstream", namespace, "one"))).body;
const conditions = async () =>
  ((await stored()).status?.["conditions"] ?? []) as { type: string; status: string; lastTransitionTime: string }[];
const events = async () => (await api.kubectl(["-n", namespace, "events", "--for", "upstream/one", "--no-headers"])).stdout;
const settled = async () => {
  await eventually(async () => {
    const there = source.object({ kind: "Upstream", namespace, name: "one" });
    expect(there?.metadata.resourceVersion).toBe((await stored()).metadata.resourceVersion);
  });
};

test("a status is written once, and not again when nothing changed: by this process or by the next", async () => {
  const first = begin();
  first.round(ready);
  await eventually(async () =>
    expect((await stored()).status).toMatchObject({ revision: "abc", recordedGeneration: 1, lastHandledReconcileAt: "now" }),
  );
  await settled();
  const before = await stored();
  expect(before.status?.["conditions"]).toMatchObject([{ ...ready, observedGeneration: 1 }]);
  const written = writes.length;
  for (let round = 0; round < 20; round++) first.round(ready);
  const next = begin();
  for (let round = 0; round < 20; round++) next.round(ready);
  await settled();
  // What would be written is written after a moment: one that has to be comes behind it.
  next.round(broken);
  await eventually(async () => expect(await conditions()).toMatchObject([{ status: "False" }]));
  expect(writes.slice(written).filter((line) => line.endsWith("/status"))).toEqual(["PATCH upstreams/one/status"]);
  // The event of a status follows it.
  await eventually(() => expect(writes.filter((line) => line.startsWith("POST events"))).toHaveLength(2));
});

test("the time of a transition outlives the process that saw it", async () => {
  begin().round(ready);
  await eventually(async () => expect(await conditions()).toHaveLength(1));
  await settled();
  const [before] = await conditions();
  begin().round({ ...ready, message: "served as of def" });
  await eventually(async () =>
    expect(await conditions()).toMatchObject([{ message: "served as of def", lastTransitionTime: before?.lastTransitionTime }]),
  );
});

test("a status that was lost comes back, and a condition that is over goes", async () => {
  const operator = begin();
  operator.round(broken, { ...broken, type: "Stalled", status: "True" });
  await eventually(async () => expect(await conditions()).toHaveLength(2));
  await settled();
  await api.send("PATCH", `${resourcePath("Upstream", namespace, "one")}/status`, {
    body: { status: null },
    contentType: "application/merge-patch+json",
  });
  await settled();
  operator.round(broken, { ...broken, type: "Stalled", status: "True" });
  await eventually(async () => expect(await conditions()).toHaveLength(2));
  await settled();
  operator.round(ready);
  await eventually(async () => expect((await conditions()).map(({ type, status }) => [type, status])).toEqual([["Ready", "True"]]));
});

test("events tell of changes in sentences, each once, and of what comes again how often", async () => {
  const operator = begin();
  for (const condition of [ready, broken, ready, broken]) {
    operator.round(condition);
    await eventually(async () => expect(await conditions()).toMatchObject([{ status: condition.status }]));
    await settled();
  }
  await eventually(async () => expect(await events()).toMatch(/x2 .*Warning\s+SecretNotFound\s+Upstream\/one\s+there is no Secret x/));
  expect((await events()).trim().split("\n")).toHaveLength(2);
  expect((await api.kubectl(["-n", namespace, "describe", "upstream/one"])).stdout).toContain("served as of abc");
  const { body } = await api.send<{ items: { eventTime: string; reportingController: string }[] }>(
    "GET",
    `/apis/events.k8s.io/v1/namespaces/${namespace}/events`,
  );
  for (const { eventTime, reportingController } of body.items) {
    expect(eventTime).toMatch(/\.\d{6}Z$/);
    expect(reportingController).toBe("wharfinger.dev/operator");
  }
});

test("what was deleted gets no status, and what has its name by now is not told of its predecessor", async () => {
  const views = begin().round(ready);
  await eventually(async () => expect(await conditions()).toHaveLength(1));
  await settled();
  const gone = source.object({ kind: "Upstream", namespace, name: "one" });
  const refusals: { readonly status: number }[] = [];
  const apply: KubeClient["apply"] = (path, object) =>
    client.apply(path, object).catch((error: KubeError) => {
      refusals.push(error);
      throw error;
    }) as never;
  const late = async (revision: string) => {
    const writer = new StatusWriter({ client: { apply }, events: { say: async () => undefined }, object: () => gone, logger });
    const before = refusals.length;
    writer.take(views.map((view) => ({ ...view, status: { ...view.status, revision } })));
    await eventually(() => expect(refusals.length).toBeGreaterThan(before));
    await writer.stop();
  };
  await api.send("DELETE", resourcePath("Upstream", namespace, "one"));
  await late("of the one that is gone");
  expect((await api.send("GET", resourcePath("Upstream", namespace, "one"))).status).toBe(404);
  accepted(await create(api, { kind: "Upstream", name: "one", spec: { url: "https://example.org", prefix: "one" } }, { namespace }));
  await late("of the old one");
  // A conflict is tried again, once or more before the writer is stopped.
  expect([...new Set(refusals.map(({ status }) => status))]).toEqual([404, 409]);
  expect((await stored()).status).toEqual({ observedGeneration: -1 });
});

test("kubectl wait and kstatus understand it", async () => {
  begin().round(ready);
  expect(await api.kubectl(["-n", namespace, "wait", "--for=condition=Ready", "upstream/one", "--timeout=120s"])).toMatchObject({
    code: 0,
  });
  expect((await stored()).status).toMatchObject({ observedGeneration: 1 });
});
