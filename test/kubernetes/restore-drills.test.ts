// What happens to a cluster, and what is done about it with kubectl: a namespace that is deleted and made again, a Lease that is lost, an API server
// that was away, a new cluster beside the record of an old one. No commit that nobody asked for, overrides hold, and clients pull all the time.

import { rm } from "node:fs/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { applyDefinitions } from "../support/definitions.ts";
import { startDistribution, type Distribution } from "../support/distribution.ts";
import { answerTo, eventually } from "../support/eventually.ts";
import { pushImage } from "../support/images.ts";
import { startApiServer, type ApiServer } from "../support/kubernetes.ts";
import { DrillWorld, upstreamManifest } from "../support/drill-world.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

let cluster: ApiServer;
let world: DrillWorld;
let upstream: Distribution;

const resource = (name: string, fields?: string) => upstreamManifest(upstream.url, name, fields);
const hub = () => resource("hub", ", hosts: [hub.example]");
const of = (name: string) => `upstream ${world.namespace}/${name}`;

/** What every drill ends with: nothing was committed but `subjects` since then, what a person took back is not served, and nobody noticed. */
async function nothingWrong(since: string | null, subjects: readonly string[] = []): Promise<void> {
  await world.published();
  expect(world.subjects(since)).toEqual(subjects);
  expect(world.repository.git("diff", "--stat", `${since ?? ""}..wharfinger`)).toBe("");
  expect(world.reader.wrong).toEqual([]);
}
const overridden = async () => {
  await world.hasCondition("Overridden", "upstream/hub");
  await world.hasCondition("Ready", "upstream", "--all");
  expect((await world.condition("Upstream", "hub", "Overridden"))?.message).toContain("Jane Doe");
};

beforeAll(async () => {
  [cluster, upstream] = await Promise.all([startApiServer({ controllers: true }), startDistribution()]);
  await applyDefinitions(cluster);
  world = await DrillWorld.on(cluster);
  const digest = await pushImage({ reference: `${upstream.host}/acme/app:v1`, content: "theirs" });
  await world.startOperator();
  await world.apply(resource("cgr"), resource("hub"));
  await world.hasCondition("Ready", "upstream", "--all");
  await world.apply(hub());
  await answerTo("it is recorded", () => world.subjects().find((subject) => subject.endsWith("hub: generation 2")));
  world.person.git("revert", "--no-edit", "HEAD");
  await overridden();
  world.reader.expect("/v2/cgr/acme/app/manifests/v1", { status: 200, digest });
  world.reader.expect("/v2/acme/app/manifests/v1?ns=hub.example", { status: 404 });
});
afterAll(async () => {
  await world?.close();
  await Promise.all([cluster?.stop(), upstream?.stop()]);
});

test("the Lease is deleted: the operator takes it again", async () => {
  const before = world.repository.head();
  const holder = () => world.kubectl(["get", "lease/wharfinger", "-o", "jsonpath={.spec.holderIdentity}"]);
  const operator = await holder();
  await world.kubectl(["delete", "lease/wharfinger"]);
  await eventually(async () => expect(await holder()).toBe(operator));
  await overridden();
  await nothingWrong(before);
});

test("the Lease is taken: the operator ends, and the next one goes on when it runs out", async () => {
  const before = world.repository.head();
  const taken = { spec: { holderIdentity: "another", leaseDurationSeconds: 1 } };
  await world.kubectl(["patch", "lease/wharfinger", "--type=merge", "-p", JSON.stringify(taken)]);
  expect(await world.operator?.exited).toBe(1);
  const next = await world.startOperator();
  await eventually(() => expect(next.logs()).toContain("the Lease is ours"));
  await overridden();
  await nothingWrong(before);
});

test("an API server that dies, and forgets what was: what happened meanwhile is seen, and nothing else", async () => {
  const before = world.repository.head();
  // Where it takes longer than the Lease lasts the operator ends, and begins again.
  await world.whileKept(async () => {
    await cluster.kill9();
    await cluster.restart();
    await world.apply(resource("cgr", ", cache: {tagTTL: 1m}"));
    await cluster.compact();
    await cluster.restart();
    await eventually(() => expect(world.subjects(before)).toEqual([`${of("cgr")}: generation 2`]));
    await overridden();
  });
  await world.published();
  expect(world.reader.wrong).toEqual([]);
});

test("the namespace is deleted and made again: what was in it is served on, and its resources find their record", async () => {
  const before = world.repository.head();
  const leaving = world.operator;
  await world.kubectl(["delete", "namespace", world.namespace, "--wait"]);
  // Its Lease went too.
  expect(await leaving?.exited).toBe(1);
  expect(leaving?.logs()).toMatch(/it is being deleted|may not (?:list and watch|ask)/);
  await nothingWrong(before);
  await world.begin();
  const operator = await world.startOperator();
  await eventually(() => expect(operator.logs()).toContain("it is served on until its file is removed or the resource comes back"));
  await nothingWrong(before);
  await world.apply(resource("cgr", ", cache: {tagTTL: 1m}"), hub());
  await overridden();
  const adopted = ["cgr", "hub"].map((name) => `${of(name)}: generation 1, adopts what is recorded`);
  await nothingWrong(before, adopted);
});

test("a new cluster with the record of an old one: all is served on, orphans are kept, and adopted when their resources come", async () => {
  const before = world.repository.head();
  expect(await world.operator?.stop()).toBe(0);
  await world.begin(await sharedApiServer());
  const operator = await world.startOperator();
  await eventually(async () => {
    expect(await (await fetch(`${operator.url}/metrics`)).text()).toContain("wharfinger_operator_orphans 2");
  });
  await nothingWrong(before);
  await world.apply(hub());
  await overridden();
  await nothingWrong(before, [`${of("hub")}: generation 1, adopts what is recorded`]);
  await eventually(async () => expect(await (await fetch(`${operator.url}/metrics`)).text()).toContain("wharfinger_operator_orphans 1"));
});

test("a first installation beside a record with content: an empty registry serves it before any resource is there", async () => {
  const before = world.repository.head();
  expect(await world.operator?.stop()).toBe(0);
  await world.kubectl(["delete", "upstream/hub", "configmap/wharfinger"]);
  await rm(world.record, { recursive: true });
  await world.replaceRegistry();
  await world.startOperator();
  await nothingWrong(before);
  expect(await fetch(`${world.registry.url}/v2/cgr/acme/app/manifests/v1`)).toMatchObject({ status: 200 });
  expect(await fetch(`${world.registry.url}/v2/acme/app/manifests/v1?ns=hub.example`)).toMatchObject({ status: 404 });
  await world.apply(resource("cgr", ", cache: {tagTTL: 1m}"), hub());
  await overridden();
  await nothingWrong(
    before,
    ["cgr", "hub"].map((name) => `${of(name)}: generation 1, adopts what is recorded`),
  );
});

test("a history that was rewritten is refused, which the resources say, and counts when a person accepts it", async () => {
  const ready = () => world.condition("Upstream", "cgr", "Ready");
  const pulled = `${world.registry.url}/v2/theirs/acme/app/manifests/v1`;
  const text = world.person.git("show", `HEAD:upstreams/${world.namespace}/cgr.yaml`);
  const add = (name: string) => world.person.edit(`upstreams/${world.namespace}/${name}.yaml`, () => text.replaceAll("cgr", name), name);
  add("theirs");
  await eventually(async () => expect(await fetch(pulled)).toMatchObject({ status: 200 }));
  await world.published();
  // A third of the files may go; another one makes it half of them.
  add("more");
  await world.published();
  const served = world.repository.head();
  world.person.git("reset", "-q", "--hard", "HEAD~2");
  await eventually(async () => expect(await ready()).toMatchObject({ status: "False", reason: "RevisionNotAccepted" }));
  const { message = "" } = (await ready()) ?? {};
  expect(message).toMatch(/history was rewritten: 2 of 4 files are missing .*What is published stays/);
  await eventually(async () => expect(await world.kubectl(["events", "--for", "upstream/cgr"])).toMatch(/Warning\s+RevisionNotAccepted/));
  expect(await world.control.record()).toMatchObject({ revision: served });
  expect(await fetch(pulled)).toMatchObject({ status: 200 });
  const [, command = "", commit = ""] = /kubectl -n \S+ (annotate --overwrite \S+ \S+=([0-9a-f]{40}))/.exec(message) ?? [];
  expect(commit).toBe(world.repository.head());
  await world.kubectl(command.split(" "));
  await overridden();
  await world.published();
  expect(world.repository.head()).toBe(commit);
  expect(await fetch(pulled)).toMatchObject({ status: 404 });
  await eventually(async () =>
    expect(await world.kubectl(["events", "--for", "configmap/wharfinger"])).toContain(`accept-revision ${commit}: heard`),
  );
  expect(await world.kubectl(["get", "configmap/wharfinger", "-o", "jsonpath={.metadata.annotations}"])).toBe("");
});
