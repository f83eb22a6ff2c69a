// record.md against a remote: git's own http backend over TLS, a real registry, people with clones of their own.

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { credentials, GitHost } from "../support/git-remote.ts";
import { RemoteWorld } from "../support/remote-world.ts";

let host: GitHost;
let world: RemoteWorld;

beforeAll(async () => {
  host = await GitHost.start();
});
afterAll(() => host.stop());

beforeEach(async () => {
  world = await RemoteWorld.on(host);
});
afterEach(async () => {
  host.heal();
  await world.close();
});

const cgr = "Upstream/default/cgr";
const file = "upstreams/default/cgr.yaml";
const minutes = (n: number) => `  cache: {tagTTL: ${n}m}\n`;
const tagTTL = async () => ((await world.served(cgr)) as { cache?: { tagTTL: string } } | undefined)?.cache?.tagTTL;
const serves = (ttl: string) => eventually(async () => expect(await tagTTL()).toBe(ttl));
const publishes = (commit: string) => eventually(async () => expect((await world.client.record()).revision).toBe(commit));
const isOverridden = () => eventually(() => expect(world.condition(cgr, "Overridden")).toMatchObject({ status: "True" }));

/** Five minutes, then one, then a person's revert. Returns the revert. */
async function revertedByAPerson(): Promise<string> {
  world.upstream("cgr");
  await world.start();
  world.upstream("cgr", minutes(1));
  await serves("1m");
  world.git("revert", "--no-edit", "HEAD");
  await serves("5m");
  await isOverridden();
  return world.head();
}

test("a resource is pushed, then served; the clone beside the operator is no place to commit", async () => {
  world.upstream("cgr");
  const plane = await world.start();
  expect(await plane.ready).toEqual({ revision: world.head(), problem: undefined });
  expect(world.subjects()).toEqual(["upstream default/cgr: generation 1", "record: begins"]);
  await eventually(() => expect(world.condition(cgr, "Recorded")).toMatchObject({ status: "True" }));
  expect(await tagTTL()).toBe("5m");
  expect(readdirSync(world.recordFolder)).toEqual([".git"]);
  expect(world.repository.git("show", "--format=%B", "-s", "wharfinger")).toContain("Installation: first");
});

test("a person's revert holds: over manifests that are applied again, a restart, a lost clone, and a lost database", async () => {
  const revert = await revertedByAPerson();
  world.upstream("cgr", `${minutes(1)}# applied again\n`);
  for (const loss of ["nothing", "the clone", "the database"]) {
    await world.stop();
    if (loss === "the clone") world.loseClone();
    if (loss === "the database") await world.loseDatabase();
    await world.start();
    await isOverridden();
    expect([loss, await tagTTL(), world.head()]).toEqual([loss, "5m", revert]);
  }
  world.git("revert", "--no-edit", "HEAD");
  await serves("1m");
});

test("a new cluster beside a record with content: all of it is served, resources adopt it without a change, overrides hold", async () => {
  const revert = await revertedByAPerson();
  world.upstream("hub");
  await eventually(async () => expect(await world.served("Upstream/default/hub")).toBeDefined());
  await world.stop();
  world.loseClone();
  await world.loseDatabase();
  world.installation = "second";
  world.remove("cgr.yaml");
  await world.start();
  const orphan = { kind: "Upstream", namespace: "default", name: "cgr" };
  await eventually(() => expect(world.plane?.record().orphans).toEqual([orphan]));
  expect(await tagTTL()).toBe("5m");
  world.upstream("cgr", minutes(1));
  await eventually(() => expect(world.plane?.record().orphans).toEqual([]));
  await isOverridden();
  expect(await tagTTL()).toBe("5m");
  // Whoever installs anew writes down that it is theirs now, and changes no file.
  const since = world.repository.git("log", "--format=%s", "--stat", `${revert}..wharfinger`).split("\n").filter(Boolean);
  expect(since.filter((line) => line.includes("|"))).toEqual([expect.stringMatching(/^ upstreams\/default\/hub\.yaml/)]);
  expect(since.slice(0, 2)).toEqual([
    "upstream default/cgr: generation 2, adopts what is recorded",
    "upstream default/hub: generation 1, adopts what is recorded",
  ]);
});

test("two installations with the same resources on one branch do not adopt them from each other without end", async () => {
  world.upstream("cgr");
  world.upstream("hub");
  await world.start();
  const other = world.sibling();
  other.installation = "second";
  await other.start();
  await eventually(() =>
    expect(
      world
        .subjects()
        .slice(0, 2)
        .every((subject) => subject.endsWith("adopts what is recorded")),
    ).toBe(true),
  );
  // Each new resource is a round of both.
  const news = ["one", "two", "three"];
  for (const name of news) {
    world.upstream(name);
    for (const each of [world, other])
      await eventually(() => expect(each.condition(`Upstream/default/${name}`, "Ready")).toMatchObject({ status: "True" }));
  }
  expect(world.subjects().toReversed().slice(1)).toEqual([
    "upstream default/cgr: generation 1",
    "upstream default/hub: generation 1",
    "upstream default/cgr: generation 1, adopts what is recorded",
    "upstream default/hub: generation 1, adopts what is recorded",
    ...news.map((name) => `upstream default/${name}: generation 1`),
  ]);
  for (const each of [world, other]) expect(each.condition(cgr, "Ready")).toMatchObject({ status: "True" });
});

test("a resource that is deleted and made again is new content; its removal reverted is an orphan", async () => {
  world.upstream("cgr", minutes(1));
  world.upstream("hub");
  await world.start();
  world.remove("cgr.yaml");
  await eventually(async () => expect(await world.served(cgr)).toBeUndefined());
  expect(world.repository.git("log", "-1", "--format=%B", "wharfinger")).toContain("Spec-Digest: none");
  world.git("revert", "--no-edit", "HEAD");
  await serves("1m");
  await eventually(() => expect(world.plane?.record().orphans).toHaveLength(1));
  world.upstream("cgr", minutes(2));
  await serves("2m");
  await eventually(() => expect(world.plane?.record().orphans).toEqual([]));
});

test("new content ends an override, and what a person pushed first is adopted", async () => {
  const revert = await revertedByAPerson();
  world.upstream("cgr", minutes(2));
  await serves("2m");
  expect(world.subjects()[0]).toBe(`upstream default/cgr: generation 3, ends override ${revert.slice(0, 10)} by Jane Doe`);
  const theirs = world.edit(file, (text) => text.replace("tagTTL: 2m", "tagTTL: 3m"));
  await serves("3m");
  world.upstream("cgr", minutes(3));
  await eventually(() => expect(world.subjects()[0]).toBe(`upstream default/cgr: generation 4, adopts ${theirs.slice(0, 10)} by Jane Doe`));
});

test("a removal of more than three files and a third of them waits for a person, also over a restart without a clone", async () => {
  world.upstreamsOf("four.yaml", ["a", "b", "c", "d"]);
  world.upstream("e");
  await world.start();
  world.remove("four.yaml");
  await eventually(() => expect(world.plane?.record().waiting.join()).toContain("4 resources are gone "));
  await world.stop();
  world.loseClone();
  await world.start();
  await eventually(() => expect(world.plane?.record().waiting[0]).toMatch(/wharfinger record confirm-removal [0-9a-f]{40}\/default$/));
  expect(await world.served("Upstream/default/a")).toBeDefined();
  await world.record.confirm("removal", world.head());
  await eventually(async () => expect(await world.served("Upstream/default/a")).toBeUndefined());
  expect(await world.served("Upstream/default/e")).toBeDefined();
});

test("files that do not validate are served as of their last valid commit, one by one; links and submodules are not followed", async () => {
  for (const name of ["cgr", "hub", "linked", "module"]) world.upstream(name, minutes(1));
  await world.start();
  world.edit(file, (text) => text.replace("tagTTL: 1m", "tagTTL: soon"));
  world.git("status");
  execFileSync("ln", ["-sf", "/etc/passwd", join(world.clone, "upstreams/default/linked.yaml")]);
  world.git("commit", "-qam", "a link");
  world.git("rm", "-q", "--cached", "upstreams/default/module.yaml");
  world.git("update-index", "--add", "--cacheinfo", `160000,${"1".repeat(40)},upstreams/default/module.yaml`);
  world.git("commit", "-qm", "a submodule");
  for (const name of ["cgr", "linked", "module"]) {
    const key = `Upstream/default/${name}`;
    await eventually(() => expect(world.condition(key, "Recorded")).toMatchObject({ status: "False", reason: "InvalidRecord" }));
    expect(await world.served(key)).toMatchObject({ cache: { tagTTL: "1m" } });
  }
  expect(world.condition(cgr, "Recorded")?.message).toMatch(/^upstreams\/default\/cgr\.yaml:\d+: spec\.cache\.tagTTL /);
  world.upstream("hub", minutes(9));
  await eventually(async () => expect(await world.served("Upstream/default/hub")).toMatchObject({ cache: { tagTTL: "9m" } }));
});

test("a force-push that takes ledgers away waits for a person; one that misses nothing is followed", async () => {
  world.upstream("cgr");
  world.tagPolicy("nginx");
  await world.start();
  world.git("commit", "--amend", "-qm", "rewritten by hand");
  await eventually(() => expect(world.subjects()[0]).toMatch(/adopts [0-9a-f]{10} by Wharfinger$/));
  await world.propose("1.27.3-r2", "a");
  await eventually(async () => expect(await world.versions("cgr/chainguard/nginx")).toEqual(["1.27.3-r2"]));
  const before = world.head();
  world.git("reset", "-q", "--hard", "HEAD~1");
  await eventually(() => expect(world.plane?.record().waiting.join()).toContain("the record's history was rewritten"));
  expect((await world.client.record()).revision).toBe(before);
  await world.stop();
  world.loseClone();
  await world.start();
  // Its clone never had the commit that is published.
  await eventually(() => expect(world.plane?.record().waiting.join()).toContain(`${before} is not in the record's history`));
  expect(await world.versions("cgr/chainguard/nginx")).toEqual(["1.27.3-r2"]);
  await world.record.confirm("accepted", world.head());
  await publishes(world.head());
  expect(await world.versions("cgr/chainguard/nginx")).toEqual([]);
});

test("an emptied folder waits for a person", async () => {
  world.upstream("cgr");
  await world.start();
  const before = world.head();
  world.git("rm", "-rq", "upstreams");
  world.git("commit", "-qm", "empty");
  await eventually(() => expect(world.plane?.record().waiting.join()).toContain("the record was emptied"));
  expect((await world.client.record()).revision).toBe(before);
  await world.record.confirm("accepted", world.head());
  await eventually(async () => expect(await world.served(cgr)).toBeUndefined());
});

test("a branch that was taken back a moment ago is not brought forward again", async () => {
  world.upstream("cgr");
  world.setRemote({ interval: 600_000 });
  await world.start();
  world.upstream("cgr", minutes(1));
  await serves("1m");
  const taken = world.head();
  world.git("reset", "-q", "--hard", "HEAD~1");
  world.upstream("cgr", minutes(2));
  await serves("2m");
  expect(world.repository.git("rev-list", "wharfinger").split("\n")).not.toContain(taken);
});

test("a branch that was deleted, and a repository that was made anew, get the history back", async () => {
  await revertedByAPerson();
  for (const gone of ["the branch", "the repository"]) {
    const before = world.head();
    if (gone === "the branch") world.repository.git("update-ref", "-d", "refs/heads/wharfinger");
    else world.repository.recreate();
    await eventually(() => expect([gone, world.repository.head()]).toEqual([gone, before]));
  }
  await isOverridden();
  expect(await tagTTL()).toBe("5m");
});

test("a repository that was made anew beside an operator without its clone is filled from resources and registry", async () => {
  world.upstream("cgr", minutes(3));
  world.tagPolicy("nginx");
  await world.start();
  await world.propose("1.27.3-r2", "a");
  await eventually(async () => expect(await world.versions("cgr/chainguard/nginx")).toEqual(["1.27.3-r2"]));
  await world.stop();
  world.loseClone();
  world.repository.recreate();
  await world.start();
  await publishes(world.head());
  expect(await world.versions("cgr/chainguard/nginx")).toEqual(["1.27.3-r2"]);
  expect(await tagTTL()).toBe("3m");
  expect(world.subjects()).toContain("versions cgr/chainguard/nginx: restored from the registry");
});

test("what an older release rendered, without a field that has a default since, is left as it is", async () => {
  world.upstream("cgr", minutes(1));
  await world.start();
  await world.stop();
  world.git("status");
  const path = join(world.clone, file);
  writeFileSync(path, readFileSync(path, "utf8").replace(/^ {2}offline: false\n/m, ""));
  // The commit stays the operator's, trailers and all.
  world.git("commit", "-qa", "--amend", "--no-edit");
  const older = world.head();
  world.loseClone();
  await world.loseDatabase();
  await world.start();
  await publishes(older);
  expect(await world.served(cgr)).toMatchObject({ offline: false, cache: { tagTTL: "1m" } });
  expect(world.condition(cgr, "Overridden")).toBeUndefined();
  expect(world.head()).toBe(older);
});

test("content from Git passes the same rules as any other: a file of a namespace without a grant is not served", async () => {
  world.upstream("cgr");
  await world.start();
  world.git("status");
  mkdirSync(join(world.clone, "upstreams/team-a"));
  const text = readFileSync(join(world.clone, file), "utf8")
    .replaceAll("cgr", "foreign")
    .replace("namespace: default", "namespace: team-a");
  writeFileSync(join(world.clone, "upstreams/team-a/foreign.yaml"), text);
  world.git("add", ".");
  world.git("commit", "-qm", "an upstream of their own");
  await publishes(world.head());
  expect(await world.served("Upstream/team-a/foreign")).toBeUndefined();
  await eventually(() =>
    expect(world.condition("Upstream/team-a/foreign", "Ready")).toMatchObject({ status: "False", reason: "NotGranted" }),
  );
  expect(await tagTTL()).toBe("5m");
});

test("two operators on one remote and one registry: each change is committed once, and all of it is served", async () => {
  const other = world.sibling();
  world.upstream("cgr");
  await Promise.all([world.start(), other.start()]);
  const names = ["a", "b", "c", "d", "e", "f"];
  for (const name of names) {
    world.upstream(name);
    // Both are in the middle of something when the next one comes.
    await eventually(() => expect(world.repository.git("ls-tree", "-r", "--name-only", "wharfinger")).toContain(`default/${name}.yaml`));
  }
  await publishes(world.head());
  await eventually(() => {
    for (const { record, plane } of [world, other]) {
      expect(record.view.head).toBe(world.head());
      expect(plane?.record()).toMatchObject({ head: world.head(), published: world.head() });
    }
  });
  for (const name of ["cgr", ...names]) expect(await world.served(`Upstream/default/${name}`)).toBeDefined();
  const subjects = ["record: begins", ...["cgr", ...names].map((name) => `upstream default/${name}: generation 1`)];
  expect(world.subjects().sort()).toEqual(subjects.sort());
});

test("an operator that is behind publishes nothing older: it fetches what the other one published", async () => {
  world.upstream("cgr");
  world.setRemote({ interval: 600_000 });
  await world.start();
  await world.sibling().start();
  // Only the other one looks at the remote, and the registry then names a commit that is not here.
  const theirs = world.edit(file, (text) => text.replace("tagTTL: 5m", "tagTTL: 7m"));
  await publishes(theirs);
  expect(world.record.view.head).not.toBe(theirs);
  world.upstream("marker", "  insecure: maybe\n");
  await eventually(() => expect(world.condition("Upstream/default/marker", "Stalled")).toMatchObject({ status: "True" }));
  expect(world.record.view.head).toBe(theirs);
  expect((await world.client.record()).revision).toBe(theirs);
  expect(JSON.stringify(world.log)).not.toContain("accept-revision");
});

test("500 changes at once are few pushes, with a remote that takes 1.5 s for each", async () => {
  await world.start();
  host.faults.pushTakes = 1_500;
  const before = host.pushes;
  const document = (name: string, fields = "") =>
    `apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: ${name}}\nspec: {url: "https://${name}.example.org", prefix: ${name}${fields}}\n`;
  const many = Array.from({ length: 500 }, (_, index) => document(`many-${index}`));
  world.write("many.yaml", many.join("---\n"));
  for (const name of ["many-0", "many-499"])
    await eventually(async () => expect(await world.served(`Upstream/default/${name}`)).toBeDefined());
  expect(world.subjects().filter((subject) => subject.endsWith(": generation 1"))).toHaveLength(500);
  expect(host.pushes - before).toBeLessThanOrEqual(3);
  // What comes while a push is under way goes with the next one, together.
  const pushed = host.pushes;
  world.write("one.yaml", document("one"));
  await eventually(() => expect(host.pushes).toBeGreaterThan(pushed));
  for (let index = 0; index < 20; index++) world.write(`more-${index}.yaml`, document(`more-${index}`));
  await eventually(async () => expect(await world.served("Upstream/default/more-19")).toBeDefined());
  await eventually(async () => expect(await world.served("Upstream/default/more-0")).toBeDefined());
  expect(host.pushes - pushed).toBeLessThanOrEqual(4);
});

test("a remote set later receives the history; taken away again, the record goes on as a folder", async () => {
  const { remote } = world;
  world.remote = undefined;
  world.upstream("cgr");
  await world.start();
  world.upstream("cgr", minutes(1));
  await serves("1m");
  const inFolder = (...args: string[]) => execFileSync("git", ["-C", world.recordFolder, ...args], { encoding: "utf8" }).trim();
  const before = inFolder("rev-parse", "HEAD");
  await world.stop();
  world.remote = remote;
  await world.start();
  await eventually(() => expect(world.head()).toBe(before));
  expect(readdirSync(world.recordFolder)).toEqual([".git"]);
  world.git("revert", "--no-edit", "HEAD");
  await serves("5m");
  const revert = world.head();
  await world.stop();
  world.remote = undefined;
  await world.start();
  expect(inFolder("rev-parse", "HEAD")).toBe(revert);
  expect(inFolder("status", "--porcelain")).toBe("");
  expect(readFileSync(join(world.recordFolder, file), "utf8")).toContain("tagTTL: 5m");
  await isOverridden();
});

test("a remote with another history is refused, and nothing of either is lost", async () => {
  const { remote } = world;
  world.remote = undefined;
  world.upstream("cgr");
  await world.start();
  await world.stop();
  const published = (await world.client.record()).revision;
  const empty = execFileSync("git", ["-C", world.repository.path, "mktree"], { input: "", encoding: "utf8" }).trim();
  const foreign = world.repository.git("-c", "user.name=J", "-c", "user.email=j@example.org", "commit-tree", "-m", "theirs", empty);
  world.repository.git("update-ref", "refs/heads/wharfinger", foreign);
  world.remote = remote;
  world.upstream("cgr", minutes(1));
  await world.start();
  await eventually(() => expect(world.condition(cgr, "Recorded")).toMatchObject({ status: "False", reason: "RecordConflict" }));
  expect(world.plane?.record().problem).toContain("has another history on its branch wharfinger");
  expect(world.head()).toBe(foreign);
  expect((await world.client.record()).revision).toBe(published);
  expect(await tagTTL()).toBe("5m");
});

test("a folder of a branch that others use too: only its files count, and its memory is its own", async () => {
  world.upstream("cgr", minutes(1));
  world.setRemote({ folder: "registries/one" });
  await world.start();
  expect(world.repository.git("ls-tree", "-r", "--name-only", "wharfinger").split("\n")).toEqual(
    [".sourceignore", "README.md", file].map((path) => `registries/one/${path}`),
  );
  const other = await RemoteWorld.on(host);
  other.setRemote({ url: host.urlOf(world.repository), folder: "registries/two" });
  other.upstream("cgr", minutes(2));
  await other.start();
  await eventually(async () => expect(await other.served(cgr)).toMatchObject({ cache: { tagTTL: "2m" } }));
  world.edit(`registries/one/${file}`, (text) => text.replace("tagTTL: 1m", "tagTTL: 4m"));
  await serves("4m");
  await isOverridden();
  expect(await other.served(cgr)).toMatchObject({ cache: { tagTTL: "2m" } });
  expect(other.condition(cgr, "Overridden")).toBeUndefined();
  world.upstream("cgr", minutes(6));
  await serves("6m");
  expect(world.repository.git("ls-tree", "-r", "--name-only", "wharfinger").split("\n")).toHaveLength(4);
  await other.close();
});

test("whoever annotates a resource has the remote asked at once", async () => {
  world.setRemote({ interval: 600_000 });
  world.upstream("cgr");
  await world.start();
  world.edit(file, (text) => text.replace("tagTTL: 5m", "tagTTL: 7m"));
  const annotated = (at: string) =>
    `apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: cgr, annotations: {wharfinger.dev/requestedAt: "${at}"}}\nspec: {url: "https://cgr.example.org", prefix: cgr}\n`;
  world.write("cgr.yaml", annotated("2026-11-22T09:00:00Z"));
  await serves("7m");
  expect(world.record.view.head).toBe(world.head());
});

test("credentials are in no argument, file of the repository, log or status", async () => {
  const path = process.env["PATH"];
  const calls = join(world.folder, "calls");
  const git = execFileSync("sh", ["-c", "command -v git"], { encoding: "utf8" }).trim();
  mkdirSync(join(world.folder, "bin"));
  writeFileSync(join(world.folder, "bin/git"), `#!/bin/sh\nprintf '%s\\n' "$@" >>"${calls}"\nexec "${git}" "$@"\n`, { mode: 0o755 });
  process.env["PATH"] = `${join(world.folder, "bin")}:${path}`;
  try {
    world.upstream("cgr");
    await world.start();
    world.upstream("cgr", minutes(1));
    await serves("1m");
  } finally {
    process.env["PATH"] = path;
  }
  const basic = Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64");
  const files = readdirSync(world.recordFolder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const places = {
    arguments: readFileSync(calls, "utf8"),
    files: files.map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1")).join("\n"),
    log: JSON.stringify(world.log),
    status: JSON.stringify([world.plane?.record(), world.plane?.views()]),
  };
  expect(places.arguments).toContain(host.urlOf(world.repository));
  for (const [place, text] of Object.entries(places)) {
    for (const secret of [credentials.password, basic]) expect([place, text.includes(secret)]).toEqual([place, false]);
  }
});
