// A list that stays current, whatever becomes of the connection, the API server and what it remembers.

import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { Informer, relistIn, type InformerTimes } from "../../src/operator/kube/informer.ts";
import { paths, type KubeObject } from "../../src/operator/kube/objects.ts";
import { clientBy } from "../support/cluster-access.ts";
import { eventually } from "../support/eventually.ts";
import { createNamespace, startApiServer, type ApiServer } from "../support/kubernetes.ts";
import { startPostgresHop, type PostgresHop } from "../support/postgres-hop.ts";

let api: ApiServer;
let hop: PostgresHop;
let namespace: string;
let stack: AsyncDisposableStack;
beforeAll(async () => {
  api = await startApiServer();
  // It knows nothing of PostgreSQL but the word COMMIT.
  hop = await startPostgresHop(Number(new URL(api.url).port));
});
afterAll(async () => {
  await hop?.stop();
  await api?.stop();
});
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  hop.lead(Number(new URL(api.url).port));
  namespace = await createNamespace(api);
});
afterEach(() => stack.disposeAsync());

async function watching(times: Partial<InformerTimes> = {}, kubeconfig = api.kubeconfig): Promise<Informer<KubeObject>> {
  const client = await clientBy(kubeconfig, { port: hop.port });
  const path = paths.configMaps(namespace);
  const informer = new Informer<KubeObject>({
    client,
    path,
    logger: pino({ level: "silent" }),
    times: { firstPause: 50, longestPause: 500, ...times },
  });
  stack.defer(() => client.close());
  stack.defer(() => informer.stop());
  informer.start();
  return informer;
}

async function change(method: "POST" | "DELETE" | "PATCH", name: string, data: Record<string, string> = {}): Promise<void> {
  const path = `${paths.configMaps(namespace)}${method === "POST" ? "" : `/${name}`}`;
  const body = method === "DELETE" ? undefined : { ...(method === "POST" ? { metadata: { name } } : {}), data };
  const answer = await api.send(method, path, { body, ...(method === "PATCH" ? { contentType: "application/merge-patch+json" } : {}) });
  expect(answer.status).toBeLessThan(300);
}

const names = (informer: Informer<KubeObject>) => [...informer.items.keys()].sort();
const shows = (informer: Informer<KubeObject>, expected: readonly string[], seconds = 20) =>
  eventually(() => expect(names(informer)).toEqual(expected), seconds);

test("what is made, changed and deleted is seen, and what nobody looks at is not kept", async () => {
  await change("POST", "one");
  const informer = await watching();
  await informer.synced;
  expect([names(informer), informer.complete]).toEqual([["one"], true]);
  const { items } = informer;
  await change("POST", "two");
  await shows(informer, ["one", "two"]);
  expect(informer.items, "no copy of fifty thousand for each event").toBe(items);
  await change("PATCH", "one", { key: "value" });
  await eventually(() => expect(informer.items.get("one")).toMatchObject({ data: { key: "value" } }));
  // Whoever may write in a namespace has room for 256 KiB in the annotations of each object.
  const annotations = { "wharfinger.dev/requestedAt": "now", "example.org/notes": "x".repeat(200_000) };
  const metadata = { annotations, labels: { "wharfinger.dev/job": "prune", "example.org/team": "a" }, finalizers: ["example.org/hold"] };
  await api.send("PATCH", `${paths.configMaps(namespace)}/two`, { body: { metadata }, contentType: "application/merge-patch+json" });
  const kept = { annotations: { "wharfinger.dev/requestedAt": "now" }, labels: { "wharfinger.dev/job": "prune" } };
  await eventually(() => expect(informer.items.get("two")?.metadata).toMatchObject({ name: "two", ...kept }));
  const { annotations: noted, labels, ...rest } = { ...informer.items.get("two")?.metadata };
  expect([noted, labels, Object.keys(rest).sort()]).toEqual([
    kept.annotations,
    kept.labels,
    ["creationTimestamp", "name", "namespace", "resourceVersion", "uid"],
  ]);
  await api.send("PATCH", `${paths.configMaps(namespace)}/two`, {
    body: { metadata: { finalizers: null } },
    contentType: "application/merge-patch+json",
  });
  await change("DELETE", "one");
  await shows(informer, ["two"]);
});

test("a listener that fails ends nothing", async () => {
  const informer = await watching();
  let heard = 0;
  informer.onChange(() => {
    throw new Error("a bug");
  });
  informer.onChange(() => heard++);
  await change("POST", "one");
  await shows(informer, ["one"]);
  await change("POST", "two");
  await shows(informer, ["one", "two"]);
  expect(heard).toBeGreaterThan(1);
});

test("a watch that is cut goes on where it was", async () => {
  const informer = await watching({ watchFor: 300 });
  await informer.synced;
  for (const name of ["one", "two", "three"]) {
    hop.cut();
    await change("POST", name);
    await eventually(() => expect(names(informer)).toContain(name));
  }
});

test("a connection that falls silent is given up", async () => {
  // Half an hour in which the server would not end the watch, and a connection that nobody closes.
  const informer = await watching({ watchFor: 1_800, silence: 2_000 });
  await informer.synced;
  await change("POST", "one");
  await shows(informer, ["one"]);
  hop.silence();
  await change("POST", "two");
  await eventually(() => expect(names(informer)).toEqual(["one", "two"]));
});

test("an API server that was killed and comes back is found again, and what happened meanwhile", async () => {
  await change("POST", "one");
  const informer = await watching();
  await informer.synced;
  await api.kill9();
  await eventually(() => expect(informer.staleFor).toBeGreaterThan(200));
  expect([names(informer), informer.complete], "what is known stays").toEqual([["one"], true]);
  await api.restart();
  await change("POST", "two");
  await change("DELETE", "one");
  await shows(informer, ["two"], 60);
});

test("a server that has forgotten the version is listed again: a deletion that no watch told of is seen", async () => {
  await change("POST", "one");
  await change("POST", "two");
  const informer = await watching();
  await informer.synced;
  // Nobody is there while it happens.
  hop.lead(9);
  hop.cut();
  await change("DELETE", "one");
  for (let count = 0; count < 20; count++) await change("PATCH", "two", { count: String(count) });
  await api.compact();
  await api.restart();
  const versions = async () =>
    (await api.send<{ items: KubeObject[] }>("GET", paths.configMaps(namespace))).body.items.map(({ metadata }) => metadata.name);
  expect(await versions()).not.toContain("one");
  hop.lead(Number(new URL(api.url).port));
  await eventually(() => expect(names(informer)).not.toContain("one"));
  expect(informer.items.get("two")).toMatchObject({ data: { count: "19" } });
});

test("a list that is refused is no empty list: what is known stays, and why is said", async () => {
  const kubectl = async (...args: string[]) => expect(await api.kubectl(["-n", namespace, ...args])).toMatchObject({ code: 0 });
  await kubectl("create", "role", "reader", "--verb=list,watch", "--resource=configmaps");
  await change("POST", "one");
  const informer = await watching({ watchFor: 1 }, await api.user("reader"));
  await informer.answered;
  expect(informer.complete).toBe(false);
  expect(informer.problem).toMatchObject({ status: 403, message: expect.stringContaining("cannot list") as string });
  await kubectl("create", "rolebinding", "reader", "--role=reader", "--user=reader");
  await shows(informer, ["one"]);
  await eventually(() => expect([informer.complete, informer.problem]).toEqual([true, undefined]));
  await kubectl("delete", "rolebinding", "reader");
  await eventually(() => expect(informer.complete).toBe(false));
  expect(names(informer)).toEqual(["one"]);
});

test("everything is listed anew now and then, also when no watch has failed", async () => {
  const client = await clientBy(api.kubeconfig);
  stack.defer(() => client.close());
  let lists = 0;
  const send = client.send.bind(client);
  client.send = (request) => {
    lists++;
    return send(request);
  };
  const times = { watchFor: 1, relist: 100 };
  const informer = new Informer<KubeObject>({ client, path: paths.configMaps(namespace), logger: pino({ level: "silent" }), times });
  stack.defer(() => informer.stop());
  informer.start();
  await eventually(() => expect(lists).toBeGreaterThan(2));
});

test.each([
  ["a list of one page", 1, 600_000],
  ["one of ten thousand objects", 20, 12_000_000],
  ["one of fifty thousand objects", 100, 6 * 3_600_000],
])("%s is listed anew as rarely as it is long", (_, pages, expected) => {
  const pause = relistIn(600_000, pages) / expected;
  expect(pause).toBeGreaterThanOrEqual(0.8);
  expect(pause).toBeLessThanOrEqual(1.2);
});
