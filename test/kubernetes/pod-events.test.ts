// What a registry's Pod says of itself in events: what is in the way of its start, once with a count, and that it is gone.

import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import type { KubernetesApi } from "../support/kubernetes-access.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";
import { startWaitingRegistry, type WaitingRegistry } from "../support/registry-process.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

interface Event {
  readonly type: string;
  readonly reason: string;
  readonly note: string;
  readonly reportingController: string;
  readonly series?: { readonly count: number };
  readonly regarding: { readonly kind: string; readonly name: string; readonly uid: string };
}

let api: KubernetesApi;
let namespace: string;
let folder: string;
let database: TestDatabase;
const started: WaitingRegistry[] = [];
beforeAll(async () => {
  [api, database] = await Promise.all([sharedApiServer(), createDatabase()]);
  namespace = await createNamespace(api);
  folder = await mkdtemp(join(tmpdir(), "wharfinger-pod-events-"));
  // As the chart gives it.
  const kubectl = (...args: readonly string[]) => api.kubectl(["-n", namespace, ...args]);
  await kubectl("create", "role", "events", "--verb=create,patch", "--resource=events.events.k8s.io");
  await kubectl("create", "serviceaccount", "registry");
  await kubectl("create", "serviceaccount", "silent");
  await kubectl("create", "rolebinding", "events", "--role=events", `--serviceaccount=${namespace}:registry`);
});
afterAll(async () => {
  await Promise.all(started.map((process) => process.stop()));
  await database?.drop();
  await rm(folder, { recursive: true, force: true });
});

/** A Pod that nobody runs; the process is told that it is in it, as the downward API does. */
async function podOf(name: string) {
  const body = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { serviceAccountName: "default", containers: [{ name: "registry", image: "registry" }] },
  };
  const { body: made } = await api.send<{ metadata: { uid: string } }>("POST", `/api/v1/namespaces/${namespace}/pods`, { body });
  return { name, uid: made.metadata.uid };
}

async function start(account: string, pod: { readonly name: string; readonly uid: string }): Promise<WaitingRegistry> {
  const one = await startWaitingRegistry({
    settings: { database: { urlFile: join(folder, pod.name) }, storage: { folder: join(folder, `${pod.name}-blobs`) } },
    env: {
      KUBECONFIG: await api.serviceAccountKubeconfig(namespace, account),
      POD_NAME: pod.name,
      POD_NAMESPACE: namespace,
      POD_UID: pod.uid,
    },
  });
  started.push(one);
  return one;
}

const path = () => `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
const eventsOf = async ({ name }: { readonly name: string }) => {
  const { body } = await api.send<{ items: readonly Event[] }>("GET", path());
  return body.items.filter(({ regarding }) => regarding.name === name);
};
/** Where the database of a Pod is. In one step: the process reads the file when it likes. */
async function lead(pod: { readonly name: string }, url: string): Promise<void> {
  const file = join(folder, pod.name);
  await writeFile(`${file}.new`, url);
  await rename(`${file}.new`, file);
}
const nowhere = (host: string) => `postgresql://registry@${host}.invalid/registry`;

test("what is in the way is an event of the Pod; what comes again counts up; that it is gone is one, too", async () => {
  const pod = await podOf("patient");
  await lead(pod, nowhere("first"));
  const one = await start("registry", pod);
  await eventually(async () => {
    expect(await eventsOf(pod)).toMatchObject([
      {
        type: "Warning",
        reason: "DatabaseUnreachable",
        note: expect.stringMatching(/first\.invalid\)\. Nobody knows that host/) as string,
        reportingController: "wharfinger.dev/registry",
        regarding: { kind: "Pod", uid: pod.uid },
      },
    ]);
  }, 60);
  await lead(pod, nowhere("second"));
  await eventually(async () => expect(await eventsOf(pod)).toHaveLength(2));
  await lead(pod, nowhere("first"));
  await eventually(async () => {
    const again = (await eventsOf(pod)).find(({ note }) => note.includes("first.invalid"));
    expect(again?.series?.count).toBe(2);
  });
  expect(await eventsOf(pod)).toHaveLength(2);

  await lead(pod, database.url);
  await one.serving;
  await eventually(async () => {
    const over = (await eventsOf(pod)).find(({ type }) => type === "Normal");
    expect(over).toMatchObject({ reason: "Ready", note: "What was in the way is gone: the registry serves." });
  });
});

test("without the right to write events it says so once, and goes on", async () => {
  const pod = await podOf("silent");
  await lead(pod, nowhere("first"));
  const one = await start("silent", pod);
  await one.says(/first\.invalid/);
  await eventually(() => expect(one.logs()).toMatch(/an event of Pod .*silent could not be written/));
  await lead(pod, nowhere("second"));
  await one.says(/second\.invalid/);
  await lead(pod, nowhere("third"));
  await one.says(/third\.invalid/);
  expect(one.logs().match(/could not be written/g)).toHaveLength(1);
  expect(await eventsOf(pod)).toEqual([]);
});
