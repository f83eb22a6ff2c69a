// wharfinger import from a real distribution: what comes along, what is left and named, and that it can be ended at any time.

import { spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { randomBytes } from "node:crypto";
import { digestOf, hexOf, type Digest } from "../../src/domain/digest.ts";
import { FolderTree } from "../../src/import/folder-tree.ts";
import type { SourceContent } from "../../src/import/import-source.conformance.ts";
import { importRegistry, type ImportOptions } from "../../src/import/import.ts";
import { SourceError, type ImportSource } from "../../src/import/import-source.ts";
import { RegistryLayout } from "../../src/import/registry-layout.ts";
import { RunningRegistry } from "../../src/import/running-registry.ts";
import { ImportReport, type ImportResult } from "../../src/import/report.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import { Hidden } from "../../src/registry/upstream/hidden.ts";
import { startDistribution, type Distribution } from "../support/distribution.ts";
import { startFaultyHop } from "../support/faulty-hop.ts";
import { program, use } from "../support/programs.ts";
import { adminToken, publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";
import { fillSource, pushList, pushManifest } from "../support/source-content.ts";

const main = resolve(import.meta.dirname, "../../src/cli/main.ts");
const layout = "docker/registry/v2";
const anonymous = { credentials: { state: "anonymous" }, credentialsFrom: "the test", allowedHosts: [] } as const;

let folder: string;
let old: Distribution;
let content: SourceContent;
let registry: TestRegistry;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-import-"));
  old = await startDistribution({ folder: join(folder, "old") });
  content = await fillSource(old.url);
  registry = await startTestRegistry();
});
afterAll(async () => {
  await registry?.stop();
  await old?.stop();
  await rm(folder, { recursive: true, force: true });
});

const environment = { WHARFINGER_TOKEN: adminToken, DOCKER_CONFIG: "/nonexistent" };
const importing = (...args: string[]) =>
  program(process.execPath, [main, "import", "--registry", registry.url, "-o", "json", ...args], { env: environment, cwd: folder });

async function imported(...args: string[]): Promise<ImportResult & { code: number; stderr: string }> {
  const { code, stdout, stderr } = await importing(...args);
  if (stdout === "") throw new Error(`import ${args.join(" ")} ended with ${code}: ${stderr}`);
  return { ...(JSON.parse(stdout) as ImportResult), code, stderr };
}

/** In this process. */
async function importFolder(path: string, more: Partial<ImportOptions> = {}): Promise<ImportResult> {
  return importRegistry({
    source: more.source ?? (await RegistryLayout.open(new FolderTree(path))),
    target: { url: registry.url, token: adminToken },
    names: { repositories: [], prefix: "", renames: [] },
    concurrency: 4,
    overwriteTags: false,
    untagged: false,
    dryRun: false,
    report: new ImportReport(),
    ...more,
  });
}

const prefixed = (prefix: string) => ({ names: { repositories: [], prefix: `${prefix}/`, renames: [] } });

/** Digest of what a tag or digest leads to here; undefined when there is nothing. */
async function here(repository: string, reference: string): Promise<string | undefined> {
  const answer = await fetch(`${registry.url}/v2/${repository}/manifests/${reference}`, {
    headers: {
      accept:
        "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json",
    },
  });
  if (answer.status === 404) return undefined;
  return digestOf(Buffer.from(await answer.arrayBuffer()));
}

const tagsHere = async (repository: string) =>
  ((await (await fetch(`${registry.url}/v2/${repository}/tags/list`)).json()) as { tags?: string[] }).tags;
const blobHere = async (repository: string, digest: Digest) => (await fetch(`${registry.url}/v2/${repository}/blobs/${digest}`)).status;

test("a folder: every image with tags, children, attachments and foreign layers; again, and nothing is sent", async () => {
  const first = await imported(join(folder, "old"));
  expect([first.code, first.problems]).toEqual([0, []]);
  expect(first).toMatchObject({ repositories: { selected: 3, done: 3 }, tags: { created: 7, left: 0, skipped: 0 } });
  // One layer in two repositories is sent once.
  expect(first.blobs.present).toBeGreaterThanOrEqual(1);
  for (const [repository, tags] of Object.entries(content.tags)) expect(await tagsHere(repository)).toEqual([...tags].sort());
  expect(await here("team/app", "1.0")).toBe(content.image);
  expect(await here("team/app", "multi")).toBe(content.index);
  for (const child of content.children) expect(await here("team/app", child)).toBe(child);
  // The signature came with the list that the client left as a tag, and this registry knows it as a referrer.
  const referrers = await fetch(`${registry.url}/v2/team/deep/er/tool/referrers/${content.tool.digest}`);
  expect(await referrers.json()).toMatchObject({ manifests: [{ digest: content.attached.digest }] });
  expect(await blobHere("win", digestOf(content.layer))).toBe(200);
  // Nobody names them.
  expect(await here("team/deep/er/tool", content.untagged.digest)).toBeUndefined();
  expect(await here("team/deep/er/tool", content.deleted)).toBeUndefined();
  const { host } = new URL(registry.url);
  await use("crane", ["validate", "--insecure", "--remote", `${host}/team/app:1.0`]);
  const again = await imported(join(folder, "old", layout));
  expect(again).toMatchObject({
    code: 0,
    tags: { created: 0, unchanged: 7 },
    manifests: { copied: 0 },
    blobs: { copied: 0, present: 0, bytes: 0 },
  });
});

test("--dry-run says what would be sent and stores nothing; --rename and --prefix name it; --untagged brings the rest, but not what was deleted", async () => {
  const names = ["--prefix", "old/", "--rename", "team/deep=tools", "--repository", "team/**"];
  const dry = await imported(join(folder, "old"), ...names, "--dry-run");
  expect(dry).toMatchObject({ code: 0, dryRun: true, repositories: { done: 2 }, tags: { created: 6 } });
  expect(dry.blobs.bytes).toBeGreaterThan(300_000);
  const stored = await fetch(`${registry.url}/v2/_catalog`);
  expect(JSON.stringify(await stored.json())).not.toContain("tools");
  const real = await imported(join(folder, "old"), ...names, "--untagged");
  expect(real).toMatchObject({ code: 0, tags: dry.tags });
  expect(await here("tools/er/tool", "v1")).toBe(content.tool.digest);
  expect(await here("tools/er/tool", content.untagged.digest)).toBe(content.untagged.digest);
  expect(await here("tools/er/tool", content.deleted)).toBeUndefined();
  expect(await here("old/team/app", "1.0")).toBe(content.image);
  expect(await tagsHere("old/win")).toBeUndefined();
});

test("a tag that points elsewhere here is left and named, until --overwrite-tags", async () => {
  const mine = await pushManifest(registry.url, "moved/win", { config: '{"mine":true}', tag: "ltsc" });
  const options = { names: { repositories: ["win"], prefix: "moved/", renames: [] } };
  const left = await importFolder(join(folder, "old"), options);
  expect(left.tags).toMatchObject({ created: 0, left: 1 });
  expect(left.problems).toEqual([expect.objectContaining({ kind: "tagLeft", repository: "win", tag: "ltsc" })]);
  expect(await here("moved/win", "ltsc")).toBe(mine.digest);
  const dry = await importFolder(join(folder, "old"), { ...options, overwriteTags: true, dryRun: true });
  expect([dry.tags.moved, await here("moved/win", "ltsc")]).toEqual([1, mine.digest]);
  const moved = await importFolder(join(folder, "old"), { ...options, overwriteTags: true });
  expect([moved.tags.moved, moved.problems]).toEqual([1, []]);
  expect(await here("moved/win", "ltsc")).not.toBe(mine.digest);
});

test("a link in a circle is named, and the repositories beside it come along", async () => {
  const linked = join(folder, "linked");
  await mkdir(linked);
  await symlink(join(folder, "old", layout, "blobs"), join(linked, "blobs"));
  await cp(join(folder, "old", layout, "repositories"), join(linked, "repositories"), { recursive: true });
  for (const name of ["b", "c"]) await symlink(".", join(linked, "repositories", name));
  const result = await importFolder(linked, prefixed("linked"));
  expect(result.repositories).toEqual({ selected: 3, done: 3 });
  expect(result.problems.map(({ kind, repository }) => [kind, repository])).toEqual([
    ["brokenLink", "b"],
    ["brokenLink", "c"],
  ]);
  expect(result.problems[0]?.message).toBe("repositories/b is a link to a folder that it lies in; no repository below it was looked for");
  expect(await here("linked/team/app", "1.0")).toBe(content.image);
});

test("a list that breaks off is asked for again, and manifests that cannot be listed cost their repository nothing else", async () => {
  const layout = await RegistryLayout.open(new FolderTree(join(folder, "old")));
  let lists = 0;
  const changed: Partial<ImportSource> = {
    async *repositories(leftOut) {
      if (++lists === 1) {
        yield "win";
        throw new SourceError("Failing", "cut off");
      }
      yield* layout.repositories(leftOut);
    },
    manifests: (repository) =>
      repository === "win" ? Promise.reject(new SourceError("Denied", "revisions may not be read")) : layout.manifests(repository),
  };
  const source = new Proxy<ImportSource>(layout, {
    get: (_, key: keyof ImportSource) => changed[key] ?? (typeof layout[key] === "function" ? layout[key].bind(layout) : layout[key]),
  });
  const result = await importFolder("", { ...prefixed("again"), source, untagged: true, patience: { firstPause: 1 } });
  expect(lists).toBe(2);
  expect(result.repositories).toEqual({ selected: 3, done: 3 });
  expect(result.problems).toEqual([{ kind: "unreadable", repository: "win", message: "revisions may not be read" }]);
  expect(await tagsHere("again/win")).toEqual(["ltsc"]);
});

test("a running registry with users: refused without the right login, which no output repeats", async () => {
  const user = { name: "reader", password: "s3cret:with colon" };
  const guarded = await startDistribution({ folder: join(folder, "old"), user });
  const asked = (password: string) =>
    program(process.execPath, [main, "import", guarded.url, "--registry", registry.url, "--prefix", "guarded", "-o", "json"], {
      env: { ...environment, WHARFINGER_SOURCE_USERNAME: user.name, WHARFINGER_SOURCE_PASSWORD: password },
    });
  try {
    const wrong = await asked("guess");
    expect([wrong.code, wrong.stdout]).toEqual([1, ""]);
    expect(wrong.stderr).toMatch(/refuses the request with 401: .*WHARFINGER_SOURCE_USERNAME and WHARFINGER_SOURCE_PASSWORD/);
    expect(wrong.stderr).not.toContain("guess");
    const right = await asked(user.password);
    expect(right.stderr).not.toContain(user.password);
    const { problems, tags } = JSON.parse(right.stdout) as ImportResult;
    expect([right.code, problems, tags.created]).toEqual([0, [], 7]);
    expect(await here("guarded/team/app", "multi")).toBe(content.index);
    const nobody = await RunningRegistry.open({ url: new URL(guarded.url), ...anonymous });
    const listing = nobody.repositories()[Symbol.asyncIterator]().next();
    const message = expect.stringMatching(/gives no list of its repositories .*needs credentials \(the test\).*--repository/) as string;
    await expect(listing).rejects.toMatchObject({ code: "Unlisted", message });
    await nobody.close();
  } finally {
    await guarded.stop();
  }
});

test("killed in the middle and run again: it goes on with what is missing, and all of it is whole", async () => {
  const many = join(folder, "many");
  const source = await startDistribution({ folder: many });
  const names = Array.from({ length: 12 }, (_, index) => `many/r${String(index).padStart(2, "0")}`);
  const shared = Buffer.alloc(200_000, "shared");
  const pushed: Record<string, Digest> = {};
  for (const name of names) {
    const layers = [{ bytes: shared }, { bytes: Buffer.alloc(400_000, name) }];
    pushed[name] = (await pushManifest(source.url, name, { layers, config: JSON.stringify({ name }), tag: "v1" })).digest;
  }
  await source.stop();
  const killed = spawn(process.execPath, [main, "import", many, "--registry", registry.url, "--concurrency", "1"], {
    env: { ...process.env, ...environment },
  });
  let stderr = "";
  killed.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    if (text.includes("3 of 12: many/")) killed.kill("SIGKILL");
  });
  const signal = await new Promise((done) => killed.on("close", (_, signal) => done(signal)));
  expect([signal, stderr]).toEqual(["SIGKILL", expect.stringContaining("3 of 12: many/")]);
  const rest = await imported(many);
  expect([rest.code, rest.problems]).toEqual([0, []]);
  expect(rest.tags.unchanged).toBeGreaterThanOrEqual(3);
  expect(rest.tags.unchanged + rest.tags.created).toBe(12);
  expect(rest.manifests.present).toBeGreaterThanOrEqual(3);
  // What all of them share was there already: nothing of it is sent again.
  expect(rest.blobs.copied).toBeLessThanOrEqual(2 * 9);
  expect(rest.blobs.bytes).toBeLessThanOrEqual(9 * 401_000);
  for (const name of names) expect(await here(name, "v1")).toBe(pushed[name]);
  const audit = await program(process.execPath, [main, "audit", "--deep", "--registry", registry.url], { env: environment });
  expect([audit.code, audit.stderr]).toEqual([0, expect.stringContaining("Checked")]);
});

test("what is broken is named, skipped and counted; everything else comes along", async () => {
  const broken = join(folder, "broken");
  const source = await startDistribution({ folder: broken });
  const push = (tag: string, layer: string) =>
    pushManifest(source.url, "app", { layers: [{ bytes: layer }], config: JSON.stringify({ tag }), tag });
  await push("good", "good");
  await push("lost-layer", "lost");
  await push("wrong-layer", "wrong");
  const [lostManifest, wrongManifest, deleted] = [
    await push("lost-manifest", "a"),
    await push("wrong-manifest", "b"),
    await push("dangling", "c"),
  ];
  await push("empty-link", "d");
  const child = await pushManifest(source.url, "app", { config: '{"child":1}' });
  const other = await pushManifest(source.url, "app", { config: '{"child":2}' });
  const index = await pushList(source.url, "app", [child, other], "index");
  await source.stop();
  const root = join(broken, layout);
  const data = (digest: Digest) => join(root, "blobs/sha256", hexOf(digest).slice(0, 2), hexOf(digest), "data");
  const revision = (digest: Digest) => join(root, "repositories/app/_manifests/revisions/sha256", hexOf(digest));
  await rm(data(digestOf("lost")));
  await writeFile(data(digestOf("wrong")), "wrung");
  await rm(data(lostManifest.digest));
  await writeFile(data(wrongManifest.digest), (await readFile(data(wrongManifest.digest), "utf8")).replace("tar", "TAR"));
  await rm(revision(deleted.digest), { recursive: true });
  await truncate(join(root, "repositories/app/_manifests/tags/empty-link/current/link"));
  await rm(revision(child.digest), { recursive: true });
  // As distribution 2 left them: the digest is that of a part of the bytes.
  const old = digestOf("schema 1");
  await mkdir(revision(old), { recursive: true });
  await writeFile(join(revision(old), "link"), old);
  await mkdir(join(data(old), ".."), { recursive: true });
  await writeFile(data(old), '{"schemaVersion":1,"name":"app","tag":"ancient","signatures":[]}');
  await cp(join(root, "repositories/app/_manifests/tags/good"), join(root, "repositories/app/_manifests/tags/ancient"), {
    recursive: true,
  });
  await writeFile(join(root, "repositories/app/_manifests/tags/ancient/current/link"), old);
  await mkdir(join(root, "repositories/Not_A_Name/_manifests"), { recursive: true });
  await mkdir(join(root, "repositories/app/_manifests/tags/not a tag/current"), { recursive: true });

  const kinds = { missingManifest: 3, missingBlob: 1, brokenLink: 1, schema1: 1, name: 2 };
  // Without reading layers.
  const dry = await importFolder(broken, { ...prefixed("broken"), dryRun: true });
  expect(dry.problemsByKind).toEqual({ ...kinds, wrongBytes: 1, incompleteManifest: 1, tagWithoutManifest: 5 });
  const result = await imported(broken, "--prefix", "broken");
  expect(result.code).toBe(1);
  expect(result.problemsByKind).toEqual({ ...kinds, wrongBytes: 2, incompleteManifest: 2, tagWithoutManifest: 6 });
  const named = (kind: string) => result.problems.filter((problem) => problem.kind === kind).map(({ tag, digest }) => tag ?? digest);
  const tagless = ["ancient", "dangling", "lost-layer", "lost-manifest", "wrong-layer", "wrong-manifest"];
  expect(new Set(named("tagWithoutManifest"))).toEqual(new Set(tagless));
  expect(named("missingBlob")).toEqual([digestOf("lost")]);
  expect(named("brokenLink")).toEqual(["empty-link"]);
  expect(new Set(named("missingManifest"))).toEqual(new Set([lostManifest.digest, deleted.digest, child.digest]));
  expect(result.stderr).toContain(`app:empty-link: brokenLink: `);
  expect(result.stderr).toMatch(/\n18 things were not imported as the source has them; each is named above\.\n$/);
  expect(await tagsHere("broken/app")).toEqual(["good", "index"]);
  // The index as it is, without the child that the source lost.
  expect(await here("broken/app", "index")).toBe(index.digest);
  expect(await here("broken/app", other.digest)).toBe(other.digest);
});

test("connections that break and a registry that asks to wait: all of it arrives", async () => {
  const fresh = join(folder, "fresh");
  const source = await startDistribution({ folder: fresh });
  const layers = ["x", "y", "z"].map((letter) => ({ bytes: Buffer.alloc(200_000, letter) }));
  const { digest } = await pushManifest(source.url, "app", { layers, config: '{"fresh":true}', tag: "v1" });
  await source.stop();
  const hop = await startFaultyHop(registry.url);
  const waits: string[] = [];
  try {
    hop.fail(/^PUT .*blobs\/uploads/, "lost answer");
    hop.fail(/^PUT .*blobs\/uploads/, "refused");
    hop.fail(/^POST .*blobs\/uploads\/\?mount/, { answer: 503 });
    hop.fail(/^PUT .*\/manifests\//, { answer: 429 }, 2);
    hop.fail(/^HEAD .*\/blobs\//, "refused");
    const result = await importFolder(fresh, {
      ...prefixed("hop"),
      target: { url: hop.url, token: adminToken },
      patience: { firstPause: 10, onWait: (_, reason) => waits.push(reason) },
    });
    expect([result.problems, result.tags.created, hop.done.length]).toEqual([[], 1, 6]);
    expect(await here("hop/app", "v1")).toBe(digest);
  } finally {
    await hop.stop();
  }
});

test("a running source that breaks off, asks to wait, and has one thing that it cannot give", async () => {
  const source = await ScriptedUpstream.start({ referrersApi: true, challenge: "bearer" });
  const layer = randomBytes(9_000_000);
  const image = source.addImage("app", "v1", layer);
  const bad = source.addImage("app", "v2", Buffer.from("nobody gets this"));
  const signature = source.addManifest("app", {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: "application/vnd.example.signature",
    config: { mediaType: mediaTypes.ociEmpty, digest: source.addBlob("app", Buffer.from("{}")), size: 2 },
    layers: [],
    subject: { mediaType: mediaTypes.ociManifest, digest: image.manifest, size: 1 },
  });
  source.script(`blobs/${image.layer}`, { kind: "truncate", after: 6_000_000 }, 1);
  source.script(`manifests/${image.manifest}`, { kind: "status", status: 429, headers: { "retry-after": "1" } }, 1);
  source.script(`blobs/${bad.layer}`, { kind: "status", status: 500 });
  const waits: string[] = [];
  const running = await RunningRegistry.open({ url: new URL(source.url), ...anonymous });
  try {
    const result = await importRegistry({
      source: running,
      target: { url: registry.url, token: adminToken },
      names: { repositories: ["app", "nothing/here"], prefix: "scripted/", renames: [] },
      concurrency: 4,
      overwriteTags: false,
      untagged: false,
      dryRun: false,
      report: new ImportReport(),
      patience: { attempts: 4, firstPause: 100, onWait: (_, reason) => waits.push(reason) },
    });
    expect(result.problemsByKind).toEqual({ unreadable: 1, incompleteManifest: 1, tagWithoutManifest: 1, missingRepository: 1 });
    expect(await here("scripted/app", "v1")).toBe(image.manifest);
    expect(await here("scripted/app", signature)).toBe(signature);
    expect(await here("scripted/app", "v2")).toBeUndefined();
    expect(waits).toEqual(expect.arrayContaining([expect.stringContaining("429")]));
    // What had arrived is not sent again.
    const ranges = source.asked(`blobs/${image.layer}`, "GET").map(({ headers }) => headers["range"]);
    expect([ranges[0], ranges.at(-1)]).toEqual([undefined, expect.stringMatching(/^bytes=[1-9]\d*-$/)]);
  } finally {
    await running.close();
    await source.stop();
  }
});

test("credentials stay with the host that was named", async () => {
  const elsewhere = await ScriptedUpstream.start();
  const login = { username: "u", password: "p" };
  const source = await ScriptedUpstream.start({ challenge: "bearer", login, realm: `${elsewhere.url}/token` });
  const options = {
    url: new URL(source.url),
    credentials: { state: "loaded", login: new Hidden(login) },
    credentialsFrom: "the test",
  } as const;
  try {
    const refused = RunningRegistry.open({ ...options, allowedHosts: [] });
    await expect(refused).rejects.toMatchObject({ code: "Unusable", message: expect.stringContaining("Add it to --allow-host") as string });
    expect(elsewhere.seen).toEqual([]);
    await RunningRegistry.open({ ...options, allowedHosts: [elsewhere.host] }).then(
      (opened) => opened.close(),
      () => {},
    );
    expect(elsewhere.asked("/token")).not.toEqual([]);
  } finally {
    await Promise.all([source.stop(), elsewhere.stop()]);
  }
});

test("the registry does not take it: repositories under an Upstream's prefix once each, protected tags one by one", async () => {
  const path = join(folder, "old");
  await importFolder(path, prefixed("kept"));
  const mine = await pushManifest(registry.url, "kept/win", { config: '{"kept":true}', tag: "ltsc" });
  const everybody = { subjects: [{ kind: "Anonymous" }], repositories: { include: ["**"] }, actions: ["pull", "push"] };
  await publishFirst(registry.url, [
    { kind: "Upstream", name: "hub", spec: { url: old.url, prefix: "hub", insecure: true } },
    { kind: "AccessPolicy", name: "everybody", spec: { ...everybody, protectedTags: "ltsc" } },
  ]);
  const result = await importFolder(path, prefixed("hub"));
  expect(result.problemsByKind).toEqual({ refused: 3 });
  expect(new Set(result.problems.map(({ repository }) => repository))).toEqual(new Set(Object.keys(content.tags)));
  expect(result.problems[0]?.message).toMatch(/^hub\/.*: This repository is another registry's, .*nothing can be pushed to it/);
  expect(result.manifests).toEqual({ copied: 0, present: 0 });
  const kept = await importFolder(path, { ...prefixed("kept"), overwriteTags: true });
  expect(kept.problems).toEqual([
    expect.objectContaining({ kind: "refused", repository: "win", tag: "ltsc", message: expect.stringContaining("protected") as string }),
  ]);
  expect(kept.tags.unchanged).toBe(6);
  expect(await here("kept/win", "ltsc")).toBe(mine.digest);
});
