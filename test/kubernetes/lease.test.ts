// One Lease, several processes: one holds it, and everybody agrees who.

import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { Events } from "../../src/operator/kube/events.ts";
import { LeaseHolder, type LeaseTimes } from "../../src/operator/kube/lease.ts";
import { Leases } from "../../src/operator/kube/leases.ts";
import { paths } from "../../src/operator/kube/objects.ts";
import { clientBy } from "../support/cluster-access.ts";
import { eventually } from "../support/eventually.ts";
import type { KubernetesApi } from "../support/kubernetes-access.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { startPostgresHop, type PostgresHop } from "../support/postgres-hop.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

/** The real ones, but looked at more often. */
const times: LeaseTimes = { duration: 15_000, renewWithin: 10_000, retry: 300 };
/** For a Lease that has to run out: half of that. */
const brief: LeaseTimes = { duration: 7_000, renewWithin: 5_000, retry: 300 };
const logger = pino({ level: "silent" });

let api: KubernetesApi;
let hop: PostgresHop;
let namespace: string;
let stack: AsyncDisposableStack;
beforeAll(async () => {
  api = await sharedApiServer();
  hop = await startPostgresHop(Number(new URL(api.url).port));
});
afterAll(() => hop?.stop());
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  hop.lead(Number(new URL(api.url).port));
  namespace = await createNamespace(api);
});
afterEach(() => stack.disposeAsync());

interface Lease {
  readonly metadata: { readonly annotations: Readonly<Record<string, string>>; readonly resourceVersion: string };
  readonly spec: { readonly holderIdentity?: string; readonly leaseTransitions: number; readonly renewTime: string };
}

const lease = async () => (await api.send<Lease>("GET", `${paths.leases(namespace)}/wharfinger`)).body;

interface Begun {
  readonly installation?: string;
  readonly byHop?: boolean;
  readonly times?: LeaseTimes;
}

interface Asked {
  readonly method: string;
  readonly body: unknown;
}

async function begin(identity: string, options: Begun = {}): Promise<LeaseHolder & { readonly asked: readonly Asked[] }> {
  const client = await clientBy(api.kubeconfig, options.byHop === true ? { port: hop.port } : {});
  const asked: Asked[] = [];
  const send = client.send.bind(client);
  client.send = (request) => {
    asked.push({ method: request.method ?? "GET", body: request.body });
    return send(request);
  };
  const { installation = "ours" } = options;
  const holder = new LeaseHolder({ client, namespace, identity, installation, logger, times, ...options });
  stack.defer(() => client.close());
  stack.defer(() => holder.stop());
  holder.start();
  return Object.assign(holder, { asked });
}

test("of two that begin at once one holds it, and hands it over when it ends", async () => {
  const both = await Promise.all([begin("one"), begin("two")]);
  const first = await Promise.race(both.map((holder) => holder.acquired.then(() => holder)));
  const second = both.find((holder) => holder !== first);
  await eventually(() => expect(second?.state).toMatchObject({ state: "waiting", foreign: false, holder: expect.any(String) as string }));
  const held = await lease();
  expect(held.spec.renewTime).toMatch(/\.\d{6}Z$/);
  await eventually(async () => expect((await lease()).spec.renewTime).not.toBe(held.spec.renewTime));
  await first.stop();
  // The other one may have it by now.
  expect(first.asked.at(-1)).toMatchObject({
    method: "PUT",
    body: { spec: expect.not.objectContaining({ holderIdentity: expect.any(String) as string }) as object },
  });
  await second?.acquired;
  expect((await lease()).spec).toMatchObject({ leaseTransitions: 1 });
});

test("who holds it renews it with one request, and reads it when somebody else has written to it", async () => {
  const holder = await begin("one");
  const asked = () => holder.asked.map(({ method }) => method);
  await eventually(() => expect(asked().slice(0, 5)).toEqual(["GET", "POST", "PUT", "PUT", "PUT"]));
  const before = asked().length;
  await api.kubectl(["-n", namespace, "annotate", "lease/wharfinger", "by=a-person"]);
  await eventually(() => expect(asked().slice(before).join(" ")).toMatch(/^(PUT )+GET PUT PUT/));
  expect(holder.state).toEqual({ state: "held" });
  expect((await lease()).metadata.annotations).toMatchObject({ by: "a-person" });
});

test("who died without a word is waited for, and no longer than the Lease says", async () => {
  const dead = await begin("dead", { byHop: true, times: brief });
  await dead.acquired;
  hop.lead(9);
  hop.cut();
  const next = await begin("next");
  await eventually(() => expect(next.state).toMatchObject({ state: "waiting", holder: "dead" }));
  await next.acquired;
  expect((await lease()).spec.holderIdentity).toBe("next");
  // It gave up by itself before the other could begin.
  expect(await dead.lost).toContain("could not be renewed");
});

test("a Lease that somebody else took is lost", async () => {
  const holder = await begin("one");
  await holder.acquired;
  const { metadata } = await lease();
  const spec = { holderIdentity: "thief", leaseDurationSeconds: 60, renewTime: "2026-11-22T09:00:00.000000Z" };
  const patched = await api.send("PATCH", `${paths.leases(namespace)}/wharfinger`, {
    body: { metadata: { annotations: metadata.annotations }, spec },
    contentType: "application/merge-patch+json",
  });
  expect(patched.status).toBe(200);
  expect(await holder.lost).toBe("thief holds it");
  await holder.stop();
  expect((await lease()).spec.holderIdentity, "what is another's is not released").toBe("thief");
});

test("another installation's namespace stays closed, a person hears why, and the operator is of use in its own", async () => {
  const theirs = await begin("their-operator", { installation: "theirs" });
  await theirs.acquired;
  const home = await createNamespace(api);
  const client = await clientBy(api.kubeconfig);
  const events = new Events({ client, instance: "ours", logger });
  let changes = 0;
  const leases = new Leases({
    client,
    namespaces: [home, namespace],
    identity: "our-operator",
    installation: "ours",
    events,
    changed: () => changes++,
    logger,
    times: { home: times, others: times },
  });
  stack.defer(() => client.close());
  stack.defer(() => leases.stop());
  leases.start();
  await leases.home.acquired;
  await eventually(() => expect(leases.barred(namespace)).toContain("held by their-operator, of another installation"));
  expect([leases.barred(home), leases.foreign()]).toEqual([undefined, []]);
  await eventually(async () => {
    const { stdout } = await api.kubectl(["-n", namespace, "events", "--for", "lease/wharfinger"]);
    expect(stdout).toMatch(/Warning\s+HeldByAnotherInstallation.*one operator a namespace/);
  });
  // When it leaves, the namespace is ours.
  await theirs.stop();
  await eventually(() => expect(leases.barred(namespace)).toBeUndefined());
  expect(leases.states()).toEqual([home, namespace].map((name) => ({ namespace: name, held: true })));
});

test("further namespaces are the installation's: who leads holds them, and who leads next takes them at once", async () => {
  const home = await createNamespace(api);
  /** Nobody would wait this long here. */
  const others: LeaseTimes = { duration: 600_000, renewWithin: 500_000, renewEvery: 60_000, retry: 200 };
  const process = async (identity: string, byHop = false) => {
    const client = await clientBy(api.kubeconfig, byHop ? { port: hop.port } : {});
    const events = new Events({ client, instance: identity, logger });
    const namespaces: [string, string] = [home, namespace];
    const leases = new Leases({
      client,
      namespaces,
      identity,
      installation: "ours",
      events,
      changed: () => undefined,
      logger,
      times: { home: brief, others },
    });
    stack.defer(() => client.close());
    stack.defer(() => leases.stop());
    leases.start();
    return leases;
  };
  const holder = async () => (await lease()).spec.holderIdentity;
  const first = await process("one", true);
  await first.acquired;
  expect([first.barred(namespace), await holder()]).toEqual([undefined, "one"]);
  const second = await process("two");
  await eventually(() => expect(second.home.state).toMatchObject({ holder: "one" }));
  expect(second.barred(namespace)).toContain("not ours yet");
  const before = (await lease()).metadata.resourceVersion;
  const theirs = await begin("their-operator", { installation: "theirs" });
  // It dies without a word.
  hop.lead(9);
  hop.cut();
  await second.acquired;
  expect([second.barred(namespace), await holder()]).toEqual([undefined, "two"]);
  expect((await lease()).spec.leaseTransitions).toBe(1);
  expect((await lease()).metadata.resourceVersion).not.toBe(before);
  await eventually(() => expect(theirs.state).toMatchObject({ state: "waiting", foreign: true }));
  // Somebody deletes it: its holder has it back before anybody else may want it.
  await api.kubectl(["-n", namespace, "delete", "lease/wharfinger"]);
  await eventually(async () => expect(await holder()).toBe("two"));
  // At its end it is kept for the next process of the installation, for a while.
  await second.stop();
  expect((await lease()).spec).toMatchObject({ holderIdentity: "two", leaseDurationSeconds: 30 });
});
