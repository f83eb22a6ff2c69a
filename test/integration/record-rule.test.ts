// record.md, "One rule: the registry serves what Git says", sentence by sentence: real git, a real registry over HTTP, a real folder.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import type { RecordState } from "../../src/api/control/record.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { ClientError } from "../../src/client/errors.ts";
import { World } from "../support/control-plane.ts";
import { eventually } from "../support/eventually.ts";

let world: World;

beforeEach(async () => {
  world = await World.create();
});

afterEach(async () => {
  await world.close();
});

const cgr = "Upstream/default/cgr";
const tagTTL = async () => ((await world.served(cgr)) as { cache?: { tagTTL: string } } | undefined)?.cache?.tagTTL;
const serves = (ttl: string) => eventually(async () => expect(await tagTTL()).toBe(ttl));
const minutes = (n: number) => `  cache: {tagTTL: ${n}m}\n`;

/** 5 minutes, then one, then what a person's revert brings back. Returns the revert. */
async function editAndRevert(): Promise<string> {
  world.upstream("cgr");
  await world.start();
  world.upstream("cgr", minutes(1));
  await serves("1m");
  world.git("revert", "--no-edit", "HEAD");
  const revert = world.head();
  await serves("5m");
  return revert;
}

async function published(): Promise<void> {
  await eventually(async () => expect((await world.client.record()).revision).toBe(world.head()));
}

/** A change that people see and nothing records: when its condition is there, a round has looked at everything that was before it. */
async function nextRound(): Promise<void> {
  const name = `marker-${++markers}`;
  world.upstream(name, "  insecure: maybe\n");
  await eventually(() => expect(world.condition(`Upstream/default/${name}`, "Stalled")).toMatchObject({ status: "True" }));
}
let markers = 0;

/** As pushes leave it: the prefix is ours, and `app` under it holds something. */
async function pushedUnder(prefix: string, ...others: string[]): Promise<void> {
  await world.sql("INSERT INTO prefixes (prefix, kind) VALUES ($1, 'own')", [prefix]);
  await world.sql("INSERT INTO repositories (name) SELECT unnest($1::text[])", [[`${prefix}/app`, ...others]]);
  await world.sql(
    "INSERT INTO manifests (repository, digest, media_type, bytes, keep_until) SELECT id, 'sha256:x', 'x', '', now() FROM repositories",
  );
}

test("a resource is committed, then served, and says so", async () => {
  world.upstream("cgr");
  const plane = await world.start();
  expect(await plane.ready).toEqual({ revision: world.head(), problem: undefined });
  expect(world.subjects()).toEqual(["upstream default/cgr: generation 1", "record: begins"]);
  expect(await world.served(cgr)).toMatchObject({ prefix: "cgr", cache: { tagTTL: "5m" } });
  await eventually(() =>
    expect(world.view(cgr)).toMatchObject({
      generation: 1,
      status: { observedGeneration: 1, recordedGeneration: 1, revision: world.head() },
    }),
  );
  await eventually(() => expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True", reason: "Succeeded" }));
  await eventually(() => expect(world.condition(cgr, "Recorded")).toMatchObject({ status: "True" }));
});

test("a start says what it records, and nothing when there is nothing new", async () => {
  world.upstream("cgr");
  const info = () => world.log.filter(({ level }) => level >= 30).map(({ msg }) => msg);
  await world.start();
  await eventually(() => expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True" }));
  expect(info()).toEqual([expect.stringMatching(/^recorded [0-9a-f]{10}: upstream default\/cgr: generation 1$/)]);
  await world.stop();
  world.log.splice(0);
  await world.start();
  await eventually(() => expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True" }));
  expect(info()).toEqual([]);
});

test("an edit takes effect, generations count up from the last recorded, also after a restart", async () => {
  world.upstream("cgr");
  await world.start();
  world.upstream("cgr", minutes(1));
  await serves("1m");
  await world.stop();
  world.upstream("cgr", minutes(2));
  await world.start();
  expect(await tagTTL()).toBe("2m");
  await eventually(() => expect(world.view(cgr).generation).toBe(3));
  expect(world.subjects()[0]).toBe("upstream default/cgr: generation 3");
});

test("a revert brings back the earlier configuration, holds over restarts and unchanged manifests, and says Overridden; reverting it ends it", async () => {
  const revert = await editAndRevert();
  const isOverridden = (): void => {
    expect(world.condition(cgr, "Overridden")).toMatchObject({ status: "True", reason: "Overridden" });
    expect(world.condition(cgr, "Overridden")?.message).toContain(`Jane Doe <jane@example.org> in ${revert.slice(0, 10)}`);
    expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True", reason: "Overridden" });
    expect(world.view(cgr)).toMatchObject({ generation: 2, status: { recordedGeneration: 2, revision: revert } });
  };
  await eventually(isOverridden);
  world.upstream("cgr", `${minutes(1)}# the same content, applied again\n`);
  await nextRound();
  isOverridden();
  await world.stop();
  await world.start();
  await eventually(isOverridden);
  expect(await tagTTL()).toBe("5m");
  expect(world.head()).toBe(revert);
  world.git("revert", "--no-edit", "HEAD");
  await serves("1m");
  await eventually(() => expect(world.condition(cgr, "Overridden")).toBeUndefined());
  await eventually(() => expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True", reason: "Succeeded" }));
});

test("new content ends an override, and the commit says whose", async () => {
  const revert = await editAndRevert();
  world.upstream("cgr", minutes(2));
  await serves("2m");
  expect(world.subjects()[0]).toBe(`upstream default/cgr: generation 3, ends override ${revert.slice(0, 10)} by Jane Doe`);
  expect(world.git("log", "-1", "--format=%b")).toContain("* cache.tagTTL: 5m → 2m");
  expect(world.log.some(({ level, msg }) => level === 40 && msg.includes("ends override"))).toBe(true);
  await eventually(() => expect(world.condition(cgr, "Overridden")).toBeUndefined());
});

test("a field that nobody knows is served without it, and named where people look", async () => {
  world.upstream("cgr");
  await world.start();
  const file = join(world.recordFolder, "upstreams/default/cgr.yaml");
  writeFileSync(file, readFileSync(file, "utf8").replace("tagTTL: 5m", "tagTTL: 5m\n    tagTtl: 1m"));
  world.git("commit", "-qam", "a typing mistake");
  const line =
    readFileSync(file, "utf8")
      .split("\n")
      .findIndex((text) => text.includes("tagTtl")) + 1;
  const message = 'spec.cache.tagTtl is ignored, because it is no field of this kind; did you mean "tagTTL"?';
  const said = `upstreams/default/cgr.yaml:${line}: ${message}`;
  await eventually(() => expect(world.condition(cgr, "Recorded")?.message).toContain(said));
  expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True", message: expect.stringContaining(said) });
  expect(world.plane?.record().warnings).toEqual([{ path: "upstreams/default/cgr.yaml", line, message }]);
  expect(world.log.filter(({ msg }) => msg === `record: ${said}`)).toHaveLength(1);
  expect(await tagTTL()).toBe("5m");
});

test("what a person wrote first is adopted by an empty commit", async () => {
  world.upstream("cgr");
  await world.start();
  const file = join(world.recordFolder, "upstreams/default/cgr.yaml");
  writeFileSync(file, readFileSync(file, "utf8").replace("tagTTL: 5m", "tagTTL: 1m"));
  world.git("commit", "-qam", "faster");
  const theirs = world.head();
  await serves("1m");
  world.upstream("cgr", minutes(1));
  await eventually(() => expect(world.subjects()[0]).toBe(`upstream default/cgr: generation 2, adopts ${theirs.slice(0, 10)} by Jane Doe`));
  expect(world.git("show", "--stat", "--format=")).toBe("");
  await eventually(() => expect(world.condition(cgr, "Overridden")).toBeUndefined());
});

test("a deleted resource leaves the record; its removal reverted stays as an orphan; its comeback is new content", async () => {
  world.upstream("cgr");
  world.upstream("hub");
  await world.start();
  world.remove("cgr.yaml");
  await eventually(async () => expect(await world.served(cgr)).toBeUndefined());
  expect(world.subjects()[0]).toBe("upstream default/cgr: removed");
  expect(world.git("log", "-1", "--format=%B")).toContain("Spec-Digest: none");
  world.git("revert", "--no-edit", "HEAD");
  await serves("5m");
  await eventually(() => expect(world.plane?.record().orphans).toEqual([{ kind: "Upstream", namespace: "default", name: "cgr" }]));
  await world.stop();
  await world.start();
  expect(await tagTTL()).toBe("5m");
  world.upstream("cgr", minutes(3));
  await serves("3m");
  await eventually(() => expect(world.view(cgr).generation).toBe(2)); // statuses follow what is served
  await eventually(() => expect(world.plane?.record().orphans).toEqual([]));
});

test("files of another installation are orphans: served on, adopted when their resource appears", async () => {
  world.upstream("cgr");
  world.upstream("hub");
  await world.start({ installation: "first" });
  await world.stop();
  world.remove("cgr.yaml");
  world.upstream("hub");
  await world.start({ installation: "second" });
  expect(await tagTTL()).toBe("5m");
  await eventually(() => expect(world.plane?.record().orphans).toEqual([{ kind: "Upstream", namespace: "default", name: "cgr" }]));
  expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True", reason: "Orphaned" });
  expect(world.subjects()[0]).toBe("upstream default/hub: generation 1, adopts what is recorded");
  expect(world.plane?.record().other?.message).toMatch(
    /is another installation's: first recorded files there .*, and this one is second\./,
  );
  world.upstream("cgr");
  await eventually(() => expect(world.plane?.record().orphans).toEqual([]));
  expect(world.git("log", "-1", "--format=%B")).toContain("Installation: second");
  await eventually(() => expect(world.plane?.record().other).toBeUndefined());
  world.remove("cgr.yaml");
  await eventually(async () => expect(await world.served(cgr)).toBeUndefined());
});

test("a namespace that was deleted and made again: its files are orphans, and adopted when their resources come back; overrides hold", async () => {
  let uid = "one";
  world.seen = (snapshot) => ({
    ...snapshot,
    resources: snapshot.resources.map((resource) => ({ ...resource, namespaceUid: uid })),
    namespaces: new Map([["default", { whole: true, uid }]]),
  });
  await editAndRevert();
  const before = world.head();
  uid = "two";
  world.remove("cgr.yaml");
  await nextRound();
  expect(world.plane?.record().orphans).toEqual([{ kind: "Upstream", namespace: "default", name: "cgr" }]);
  expect(world.head()).toBe(before);
  world.upstream("cgr", minutes(1));
  await eventually(() => expect(world.condition(cgr, "Overridden")).toMatchObject({ status: "True" }));
  await eventually(() => expect(world.subjects()[0]).toMatch(/adopts what is recorded$/));
  expect(await tagTTL()).toBe("5m");
  await nextRound();
  expect(world.git("rev-list", "--count", `${before}..HEAD`)).toBe("1");
  // From here on it is one of this namespace.
  world.remove("cgr.yaml");
  await eventually(async () => expect(await world.served(cgr)).toBeUndefined());
});

test("a removal of more than three files and a third of them waits for a person", async () => {
  world.upstreamsOf("four.yaml", ["a", "b", "c", "d"]);
  world.upstream("e");
  await world.start();
  world.remove("four.yaml");
  await eventually(() => expect(world.plane?.record().waiting.join()).toContain("namespace default: 4 resources are gone "));
  const word = `${world.git("log", "-1", "--format=%H", "--", "upstreams/default/d.yaml")}/default`;
  expect(world.plane?.record().waiting).toEqual([expect.stringMatching(new RegExp(`wharfinger record confirm-removal ${word}$`))]);
  expect(await world.served("Upstream/default/a")).toBeDefined();
  const shown = world.view("Upstream/default/a");
  expect(shown).toMatchObject({ generation: 1, spec: { prefix: "a" }, status: { recordedGeneration: 1 } });
  expect(shown.source).toBeUndefined();
  expect(world.condition("Upstream/default/a", "Ready")).toMatchObject({
    status: "True",
    reason: "WaitsForConfirmation",
    message: expect.stringContaining(`wharfinger record confirm-removal ${word})`) as string,
  });
  expect(world.condition("Upstream/default/e", "Ready")).toMatchObject({ status: "True", reason: "Succeeded" });
  await world.record.confirm("removal", world.head());
  await eventually(async () => expect(await world.served("Upstream/default/a")).toBeUndefined());
  expect(await world.served("Upstream/default/e")).toBeDefined();
  await eventually(() => expect(world.plane?.record().waiting).toEqual([]));
  expect(world.plane?.views().map(({ name }) => name)).toEqual(["e"]);
  expect(world.git("log", "-1", "--format=%(trailers:key=Confirmed-Removal,valueonly)").trim()).toMatch(/^[0-9a-f]{40}$/);
  expect(world.git("for-each-ref", "refs/wharfinger/removal")).toBe("");
});

test("a removal in slices waits as the whole would, over a restart, and others go on; what went an hour ago is not counted", async () => {
  const names = ["a", "b", "c", "d", "e", "f"];
  for (const name of names) world.upstream(name);
  const goes = async (name: string) => {
    world.remove(`${name}.yaml`);
    await eventually(() => expect(world.subjects()[0]).toBe(`upstream default/${name}: removed`));
  };
  world.now = () => new Date(Date.now() - 61 * 60_000);
  await world.start();
  await goes("a");
  world.now = () => new Date();
  await goes("b");
  await goes("c");
  await world.stop();
  await world.start();
  await goes("d");
  world.remove("e.yaml");
  await eventually(() => expect(world.plane?.record().waiting.join()).toContain("within an hour 4 of 5 resources of this namespace"));
  const asked = world.plane?.record().waiting;
  world.upstream("g");
  await eventually(async () => expect(await world.served("Upstream/default/g")).toBeDefined());
  expect(world.plane?.record().waiting).toEqual(asked);
  expect(await world.served("Upstream/default/e")).toBeDefined();
  // Any commit that came after what waits is good for it.
  await world.record.confirm("removal", world.head(), "default");
  await eventually(async () => expect(await world.served("Upstream/default/e")).toBeUndefined());
  expect(await world.served("Upstream/default/f")).toBeDefined();
});

test("a folder that cannot be read whole deletes nothing", async () => {
  world.upstream("cgr");
  world.upstream("hub");
  await world.start();
  await world.stop();
  world.write("cgr.yaml", "kind: [\n");
  await world.start();
  expect(await world.served(cgr)).toBeDefined();
  expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True", reason: "SourceIncomplete" });
  expect(world.subjects()[0]).toBe("upstream default/hub: generation 1");
});

test("an invalid resource is reported with file, line and field, and what was served before stays", async () => {
  world.upstream("cgr", minutes(1));
  await world.start();
  world.upstream("cgr", "  insecure: maybe\n");
  await eventually(() => expect(world.condition(cgr, "Stalled")).toMatchObject({ status: "True", reason: "Invalid" }));
  await eventually(() => expect(world.condition(cgr, "Ready")?.message).toMatch(/^cgr\.yaml:7: spec\.insecure /));
  await eventually(() => expect(world.view(cgr).generation).toBe(2));
  expect(await tagTTL()).toBe("1m");
  world.upstream("cgr", "", "other");
  await eventually(() => expect(world.condition(cgr, "Ready")?.message).toMatch(/^cgr\.yaml:6: spec\.prefix /));
  expect(await world.served(cgr)).toMatchObject({ prefix: "cgr" });
});

test("a file of the record that does not validate is served as of its last valid commit; the others move on", async () => {
  world.upstream("cgr", minutes(1));
  world.upstream("hub");
  await world.start();
  const file = join(world.recordFolder, "upstreams/default/cgr.yaml");
  writeFileSync(file, readFileSync(file, "utf8").replace("tagTTL: 1m", "tagTTL: soon"));
  world.git("commit", "-qam", "oops");
  await eventually(() => expect(world.condition(cgr, "Recorded")).toMatchObject({ status: "False", reason: "InvalidRecord" }));
  await eventually(() =>
    expect(world.condition(cgr, "Recorded")?.message).toMatch(/^upstreams\/default\/cgr\.yaml:\d+: spec\.cache\.tagTTL /),
  );
  expect(await tagTTL()).toBe("1m");
  world.upstream("hub", minutes(9));
  await eventually(async () => expect(await world.served("Upstream/default/hub")).toMatchObject({ cache: { tagTTL: "9m" } }));
  expect(await tagTTL()).toBe("1m");
  world.upstream("cgr", minutes(2));
  await serves("2m");
  await eventually(() => expect(world.condition(cgr, "Recorded")).toMatchObject({ status: "True" }));
});

test("of two owners of a prefix the one recorded first keeps it", async () => {
  world.upstream("cgr");
  await world.start();
  world.upstream("also", "", "cgr");
  await eventually(() => expect(world.condition("Upstream/default/also", "Stalled")).toMatchObject({ reason: "PrefixInUse" }));
  await eventually(() =>
    expect(world.condition("Upstream/default/also", "Ready")?.message).toContain("prefix cgr belongs to upstream default/cgr"),
  );
  expect(world.subjects()).toHaveLength(2);
  world.remove("cgr.yaml");
  await eventually(async () => expect(await world.served("Upstream/default/also")).toMatchObject({ prefix: "cgr" }));
});

test("two owners of a prefix in Git: by Git's order", async () => {
  world.upstream("cgr");
  world.upstream("hub");
  await world.start();
  const text = readFileSync(join(world.recordFolder, "upstreams/default/cgr.yaml"), "utf8");
  writeFileSync(join(world.recordFolder, "upstreams/default/also.yaml"), text.replace("name: cgr", "name: also"));
  world.git("add", ".");
  world.git("commit", "-qm", "a second owner");
  await published();
  expect(await world.served("Upstream/default/also")).toBeUndefined();
  expect(await world.served(cgr)).toBeDefined();
});

test("a prefix under which images were pushed is refused with their names", async () => {
  await pushedUnder("cgr", "cgrx/other");
  world.upstream("cgr");
  await world.start();
  await eventually(() => expect(world.condition(cgr, "Ready")).toMatchObject({ status: "False", reason: "PrefixInUse" }));
  expect(world.condition(cgr, "Ready")?.message).toBe(
    "prefix cgr holds pushed content (cgr/app): choose another prefix, or delete what is there: " +
      "a publish takes the prefix once nothing of it can be restored any longer (gc.trashFor)",
  );
  expect(await world.served(cgr)).toBeUndefined();
});

test("what the registry refused is offered again when its obstacle may have gone, without a commit", async () => {
  await pushedUnder("cgr");
  world.upstream("cgr");
  await world.start({ times: { lookAgainAfter: 300, refusedAgainAfter: 300 } });
  await eventually(() => expect(world.condition(cgr, "Ready")).toMatchObject({ status: "False", reason: "PrefixInUse" }));
  const head = world.head();
  await world.sql("DELETE FROM manifests");
  await eventually(async () => expect(await world.served(cgr)).toBeDefined());
  await eventually(() => expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True", reason: "Succeeded" }));
  expect(world.head()).toBe(head);
});

test("what the registry refused is not offered again in every round", async () => {
  await pushedUnder("cgr");
  world.upstream("cgr");
  await world.start({ times: { refusedAgainAfter: 600_000 } });
  const { publishedAt } = await world.client.record();
  for (let rounds = 0; rounds < 3; rounds++) await nextRound();
  expect(await world.client.record()).toMatchObject({ publishedAt, refused: [{ name: "cgr", reason: "PrefixInUse" }] });
});

test("a namespace without a grant, and what is not built, are stalled and not recorded", async () => {
  world.upstream("cgr", "  auth: {provider: aws}\n");
  world.write(
    "team.yaml",
    "apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: x, namespace: team-a}\nspec: {url: https://x.example.org, prefix: x}\n",
  );
  await world.start();
  await eventually(() => expect(world.condition(cgr, "Stalled")).toMatchObject({ status: "True", reason: "NotImplemented" }));
  await eventually(() => expect(world.condition("Upstream/team-a/x", "Stalled")).toMatchObject({ status: "True", reason: "NotGranted" }));
  const place = "team.yaml:3: metadata.namespace: namespace team-a has no grant";
  expect(world.condition("Upstream/team-a/x", "Ready")?.message).toContain(place);
  expect(world.log.filter(({ msg }) => msg.includes(place))).toHaveLength(1);
  expect(world.subjects()).toEqual(["record: begins"]);
});

test("spec.suspend is not recorded and stops the controller, not the service", async () => {
  world.upstream("cgr", minutes(1));
  await world.start();
  const head = world.head();
  world.upstream("cgr", `${minutes(2)}  suspend: true\n`);
  await eventually(() => expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True", reason: "Suspended" }));
  expect(world.head()).toBe(head);
  expect(await tagTTL()).toBe("1m");
  world.upstream("cgr", minutes(2));
  await serves("2m");
});

test("secrets never pass through the record", async () => {
  world.upstream("cgr", "  auth: {secretRef: {name: pull}}\n");
  world.write(
    "secret.yaml",
    "apiVersion: v1\nkind: Secret\nmetadata: {name: pull}\ntype: kubernetes.io/basic-auth\nstringData: {username: me, password: hunter2-hunter2}\n",
  );
  await world.start();
  expect(world.git("log", "-p")).not.toContain("hunter2");
  expect(JSON.stringify(world.log)).not.toContain("hunter2");
  world.remove("secret.yaml");
  await eventually(() => expect(world.condition(cgr, "Ready")).toMatchObject({ status: "False", reason: "SecretNotFound" }));
  const message = "cgr.yaml:7: spec.auth.secretRef.name: there is no Secret default/pull: create it, or take the reference out";
  for (const type of ["Ready", "CredentialsLoaded"]) expect([type, world.condition(cgr, type)?.message]).toEqual([type, message]);
  expect(world.log.filter(({ msg }) => msg.includes(message))).toHaveLength(1);
  expect(await world.served(cgr)).toBeDefined();
});

test("quiet minutes write nothing", async () => {
  world.upstream("cgr");
  await world.start();
  await eventually(() => expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True" }));
  await eventually(() => expect(world.condition(cgr, "Reachable")).toMatchObject({ status: "False" }));
  const before = { head: world.head(), view: world.view(cgr), publishedAt: (await world.client.record()).publishedAt };
  world.write("unrelated.txt", "x");
  const moved = new Promise<void>((resolve) => world.record.onMove(resolve));
  world.git("update-ref", "refs/wharfinger/removal/default", "HEAD");
  await moved;
  await nextRound();
  expect({ head: world.head(), view: world.view(cgr), publishedAt: (await world.client.record()).publishedAt }).toEqual(before);
});

test("committed and not published: the next start publishes without another commit", async () => {
  world.upstream("cgr");
  const nowhere = new ControlClient({ url: "http://127.0.0.1:1", token: "x" });
  await world.start({ client: nowhere });
  expect((await world.plane?.ready)?.problem).toContain("No answer from the registry");
  await world.stop();
  await nowhere.close();
  // The record is new, so nothing is committed before the registry has said that it has published nothing.
  await world.start();
  const head = world.head();
  world.upstream("cgr", minutes(1));
  const again = new ControlClient({ url: "http://127.0.0.1:1", token: "x" });
  await world.stop();
  await world.start({ client: again });
  expect(world.head()).not.toBe(head);
  expect(await tagTTL()).toBe("5m");
  await eventually(() => expect(world.condition(cgr, "Ready")).toMatchObject({ status: "False", reason: "NotPublished" }));
  await eventually(() => expect(world.condition(cgr, "Reconciling")).toMatchObject({ status: "True" }));
  const committed = world.head();
  await world.stop();
  await again.close();
  await world.start();
  expect(world.head()).toBe(committed);
  expect(await tagTTL()).toBe("1m");
});

test("a publish on another base than the published one is refused", async () => {
  world.upstream("cgr");
  await world.start();
  const revision = world.head();
  const request = { revision: "f".repeat(40), base: "e".repeat(40), resources: [], ledgers: {}, settled: [] };
  await expect(world.client.publish(request)).rejects.toMatchObject({
    code: "Conflict",
    message: expect.stringContaining(revision) as string,
  });
  await expect(world.client.publish({ ...request, base: null })).rejects.toMatchObject({ code: "Conflict" });
});

test("a registry that is away for a moment takes Ready from what waits for it, and from nothing else", async () => {
  world.upstream("cgr");
  world.upstream("hub");
  await world.start();
  const { operator } = world;
  const record = operator.record.bind(operator);
  // The last thing that there is to say of it: it was asked, and its name is nobody's.
  await eventually(() => expect(world.condition(cgr, "Reachable")).toMatchObject({ status: "False" }));
  const before = world.view(cgr);
  operator.record = () => Promise.reject(new ClientError("Unreachable", "No answer from the registry"));
  world.upstream("hub", minutes(1));
  await eventually(() =>
    expect(world.condition("Upstream/default/hub", "Ready")).toMatchObject({ status: "False", reason: "NotPublished" }),
  );
  expect(world.view(cgr)).toEqual(before);
  operator.record = record;
  await eventually(() => expect(world.condition("Upstream/default/hub", "Ready")).toMatchObject({ status: "True" }));
  expect(world.view(cgr)).toEqual(before);
});

test("a process that is behind holds up what has changed since, and nothing else", async () => {
  let slowest: string | null = null;
  const { operator } = world;
  const besides = (state: RecordState): RecordState => ({
    ...state,
    pods: [...state.pods, { id: "slow", revision: slowest, seenAt: new Date().toISOString() }],
  });
  const [record, publish] = [operator.record.bind(operator), operator.publish.bind(operator)];
  operator.record = async () => besides(await record());
  operator.publish = async (request) => besides(await publish(request));
  world.upstream("cgr");
  world.upstream("hub");
  await world.start();
  const behind = {
    status: "False",
    reason: "Progressing",
    message: expect.stringContaining("slow still serves an older revision") as string,
  };
  await eventually(() => expect(world.condition(cgr, "Ready")).toMatchObject(behind));
  slowest = world.head();
  await eventually(() => expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True" }));
  world.upstream("hub", minutes(1));
  await eventually(() => expect(world.condition("Upstream/default/hub", "Ready")).toMatchObject(behind));
  expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True" });
});

test("a rewritten history waits when ledgers are missing, until a person accepts it", async () => {
  world.upstream("cgr");
  world.tagPolicy("nginx");
  await world.start();
  await world.propose("1.27.3-r2", "a");
  await eventually(async () => expect(await world.versions("cgr/chainguard/nginx")).toEqual(["1.27.3-r2"]));
  const before = world.head();
  world.git("reset", "-q", "--hard", "HEAD~1");
  await eventually(() => expect(world.plane?.record().waiting.join()).toContain("the record's history was rewritten"));
  await eventually(() => expect(world.plane?.record().waiting[0]).toContain(`wharfinger record accept-revision ${world.head()}`));
  expect(await world.versions("cgr/chainguard/nginx")).toEqual(["1.27.3-r2"]);
  expect((await world.client.record()).revision).toBe(before);
  await world.stop();
  await world.start();
  expect(await world.versions("cgr/chainguard/nginx")).toEqual(["1.27.3-r2"]);
  await world.record.confirm("accepted", world.head());
  await eventually(async () => expect(await world.versions("cgr/chainguard/nginx")).toEqual([]));
  await published();
});

test("a rewritten history that misses nothing is followed", async () => {
  world.upstream("cgr");
  await world.start();
  world.git("commit", "--amend", "-qm", "upstream default/cgr: rewritten by hand");
  await eventually(async () => {
    expect((await world.client.record()).revision).toBe(world.head());
    expect(world.subjects()[0]).toBe(
      "upstream default/cgr: generation 1, adopts " + world.git("rev-parse", "HEAD~1").slice(0, 10) + " by Wharfinger",
    );
  });
  expect(await tagTTL()).toBe("5m");
});

test("an emptied record waits", async () => {
  world.upstream("cgr");
  await world.start();
  const before = world.head();
  world.git("rm", "-rq", "upstreams");
  world.git("commit", "-qm", "empty");
  await eventually(() => expect(world.plane?.record().waiting.join()).toContain("the record was emptied"));
  expect((await world.client.record()).revision).toBe(before);
  await world.record.confirm("accepted", world.head());
  await eventually(async () => expect(await world.served(cgr)).toBeUndefined());
  await eventually(() => expect(world.condition(cgr, "Overridden")?.message).toContain("removed from the record by Jane Doe"));
});

test("uncommitted changes of a person are neither lost nor served", async () => {
  world.upstream("cgr");
  await world.start();
  const file = join(world.recordFolder, "upstreams/default/cgr.yaml");
  writeFileSync(file, readFileSync(file, "utf8").replace("tagTTL: 5m", "tagTTL: 7m"));
  world.upstream("cgr", minutes(1));
  await serves("1m");
  expect(readFileSync(file, "utf8")).toContain("tagTTL: 7m");
  await eventually(() => expect(world.log.some(({ msg }) => msg.includes("uncommitted changes"))).toBe(true));
});

test("git of the caller's environment does not lead the record elsewhere", async () => {
  execFileSync("git", ["init", "-q", join(world.folder, "elsewhere")]);
  process.env["GIT_DIR"] = join(world.folder, "elsewhere/.git");
  try {
    world.upstream("cgr");
    await world.start();
  } finally {
    delete process.env["GIT_DIR"];
  }
  expect(world.subjects()[0]).toBe("upstream default/cgr: generation 1");
});
