// A reporter whose API server dies, comes back and has forgotten what it was asked from: it goes on by itself.

import { afterAll, beforeAll, expect, test } from "vitest";

import type { WorkloadReport } from "../../src/api/control/workloads.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openCluster } from "../../src/reporter/kubernetes.ts";
import { Reporter } from "../../src/reporter/reporter.ts";
import { eventually } from "../support/eventually.ts";
import { createNamespace, startApiServer, type ApiServer } from "../support/kubernetes.ts";

let api: ApiServer;
let namespace: string;

beforeAll(async () => {
  api = await startApiServer();
  namespace = await createNamespace(api);
});
afterAll(() => api.stop());

async function startPod(name: string): Promise<void> {
  const spec = { containers: [{ name: "c", image: `registry.example.com/team-a/app:${name}` }] };
  const { status } = await api.send("POST", `/api/v1/namespaces/${namespace}/pods`, { body: { metadata: { name }, spec } });
  expect(status).toBe(201);
}

test("pages, a killed API server, and a history that was compacted meanwhile", async () => {
  // Three pages of Pods.
  const names = Array.from({ length: 201 }, (_, index) => `pod-${index}`);
  for (let first = 0; first < names.length; first += 20) await Promise.all(names.slice(first, first + 20).map(startPod));

  const reports: WorkloadReport[] = [];
  const send = async (report: WorkloadReport) => {
    reports.push(report);
    return { cluster: "prod", images: report.images.length, reportedAt: null };
  };
  const told = (name: string) => reports.some(({ images }) => images.some(({ image }) => image.endsWith(`:${name}`)));
  const reporter = new Reporter({ cluster: openCluster(api.kubeconfig), namespaces: [], send, logger: createLogger({ level: "silent" }) });
  const stop = new AbortController();
  const running = reporter.run(stop.signal);
  try {
    await eventually(() => expect(reports[0]).toMatchObject({ complete: true, scope: "Cluster" }));
    expect(names.filter((name) => !told(name))).toEqual([]);
    await startPod("before");
    await eventually(() => expect(told("before")).toBe(true));

    await api.kill9();
    const away = reports.length;
    await api.restart();
    await startPod("after");
    await eventually(() => expect(told("after")).toBe(true), 90);

    // The version that the watch would go on from is gone.
    await api.kill9();
    await api.restart();
    await api.compact();
    await startPod("compacted");
    await eventually(() => expect(told("compacted")).toBe(true), 90);
    expect(reports.length).toBeGreaterThan(away);
    expect(reports.filter(({ problem }) => problem !== undefined)).toEqual([]);
  } finally {
    stop.abort();
    await running;
  }
});
