// The story of the quickstart, whole, with the real clients against a local upstream: start, push, pull through, attest, sync, pull the
// version, move `latest`, pull the version again, revert in Git, plan, prune, restore, prune, sweep.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { AuditReport } from "../../src/api/control/audit.ts";
import type { RestoreResult } from "../../src/api/control/deletion.ts";
import type { GcStatus } from "../../src/api/control/gc.ts";
import type { ResourceView } from "../../src/api/control/resources.ts";
import type { Plan } from "../../src/api/control/retention.ts";
import type { VersionsView } from "../../src/api/control/versions.ts";
import { createCosignKey, slsaProvenance, spdxDocument, type CosignKey } from "../support/cosign.ts";
import { startDistribution, type Distribution } from "../support/distribution.ts";
import { answerTo } from "../support/eventually.ts";
import { pushImage, pushIndex } from "../support/images.ts";
import { program, use, type ProgramResult } from "../support/programs.ts";
import { startStandalone, type Standalone } from "../support/standalone.ts";

let upstream: Distribution;
let key: CosignKey;
let wharfinger: Standalone;
let folder: string;
let config: string;

const host = () => new URL(wharfinger.url).host;
const image = "chainguard/nginx";
const platforms = ["linux/amd64", "linux/arm64"];

/** Waits until it is so; in vain, it shows what the registry said last. A question is often a whole process, and slow on a busy machine. */
async function comesTrue(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const context = () => wharfinger.logs().slice(-4000);
  await answerTo(what, async () => ((await holds()) ? true : undefined), { seconds: 120, context });
}

const wharfingerCli = (...args: string[]): Promise<ProgramResult> => wharfinger.cli(args);
/** A subcommand that must succeed. */
async function done(...args: string[]): Promise<ProgramResult> {
  const result = await wharfingerCli(...args);
  if (result.code !== 0) throw new Error(`wharfinger ${args.join(" ")} ended with ${result.code}: ${result.stderr}`);
  return result;
}
async function json<T>(...args: string[]): Promise<T> {
  return JSON.parse((await done(...args, "-o", "json")).stdout) as T;
}
const crane = (...args: string[]) => use("crane", [...args, "--insecure"]);
const git = (...args: string[]) =>
  use("git", ["-C", join(wharfinger.data, "record"), "-c", "user.name=Ann", "-c", "user.email=ann@example.com", ...args]);

async function condition(
  kind: string,
  name: string,
  type: string,
): Promise<{ status: string; reason: string; message: string } | undefined> {
  const found = await wharfingerCli("get", kind, `default/${name}`, "-o", "json");
  if (found.code !== 0) return undefined; // not seen yet
  const [view] = JSON.parse(found.stdout) as ResourceView[];
  return view?.status.conditions.find((c) => c.type === type);
}

beforeAll(async () => {
  [upstream, key, folder] = await Promise.all([startDistribution(), createCosignKey(), mkdtemp(join(tmpdir(), "wharfinger-story-"))]);
  config = join(folder, "config");
  await use("git", ["init", "-q", config]); // any folder will do; this one makes it
  await writeFile(
    join(config, "upstream.yaml"),
    `apiVersion: wharfinger.dev/v1alpha1
kind: Upstream
metadata: {name: chainguard}
spec:
  url: ${upstream.url}
  insecure: true
  prefix: cgr
  hosts: [cgr.dev]
  cache: {tagTTL: 1s}
`,
  );
  await writeFile(
    join(config, "versions.yaml"),
    `apiVersion: v1
kind: Secret
metadata: {name: cosign-pub}
stringData:
  publisher.pub: ${JSON.stringify(key.publicKey)}
---
apiVersion: wharfinger.dev/v1alpha1
kind: TagPolicy
metadata: {name: chainguard}
spec:
  upstreamRef: {name: chainguard}
  images: [{repository: ${image}}]
  verify:
    keys: [{secretRef: {name: cosign-pub}}]
`,
  );
  // trashFor: time enough to restore on a busy machine, and the story waits that long for the sweep.
  await writeFile(
    join(folder, "settings.yaml"),
    "gc: {lease: 2s, trashFor: 30s, doomDelay: 1s, interval: 200ms}\nbackup: {interval: 0s}\n",
  );
  wharfinger = await startStandalone({ config, settings: join(folder, "settings.yaml") });
});

afterAll(async () => {
  await wharfinger?.stop();
  await upstream?.stop();
  await key?.remove();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

test("own images: push and pull with crane, skopeo and buildah", async () => {
  const digest = await pushImage({ reference: `${host()}/team-a/app:v1`, content: "first", noise: 300_000 });
  expect(await crane("digest", `${host()}/team-a/app:v1`)).toBe(digest);
  await use("crane", ["validate", "--insecure", "--remote", `${host()}/team-a/app:v1`]);

  const layout = join(folder, "layout");
  await use("skopeo", ["copy", "--src-tls-verify=false", `docker://${host()}/team-a/app:v1`, `oci:${layout}:v1`]);
  await use("skopeo", ["copy", "--dest-tls-verify=false", `oci:${layout}:v1`, `docker://${host()}/team-a/app:v1-skopeo`]);
  await use("skopeo", [
    "copy",
    "--src-tls-verify=false",
    "--dest-tls-verify=false",
    "--format=v2s2",
    `docker://${host()}/team-a/app:v1`,
    `docker://${host()}/team-b/app:docker`,
  ]);
  expect(JSON.parse(await crane("manifest", `${host()}/team-b/app:docker`)).mediaType).toBe(
    "application/vnd.docker.distribution.manifest.v2+json",
  );

  const storage = ["--root", join(folder, "containers"), "--runroot", join(folder, "run"), "--storage-driver", "vfs"];
  const container = await use("buildah", [...storage, "from", "scratch"]);
  await writeFile(join(folder, "hello"), "hello");
  await use("buildah", [...storage, "copy", container, join(folder, "hello"), "/hello"]);
  await use("buildah", [...storage, "commit", container, `${host()}/team-a/built:v1`]);
  await use("buildah", [...storage, "push", "--tls-verify=false", `${host()}/team-a/built:v1`]);
  await use("buildah", [...storage, "pull", "--tls-verify=false", `${host()}/team-a/built:v1`]);
  expect((await crane("ls", `${host()}/team-a/app`)).split("\n")).toEqual(["v1", "v1-skopeo"]);
});

let first: Awaited<ReturnType<typeof pushIndex>>;

test("pull through a prefix and through ?ns=, cached", async () => {
  first = await pushIndex({ reference: `${upstream.host}/${image}:latest`, content: "nginx 1.27.3-r2", platforms });
  // The policy's first run asked for this image before it existed, and a 404 is believed for some seconds.
  await comesTrue(
    "the image behind the prefix",
    async () => (await fetch(`${wharfinger.url}/v2/cgr/${image}/manifests/latest`)).status === 200,
  );
  expect(await crane("digest", `${host()}/cgr/${image}:latest`)).toBe(first.digest);
  await use("crane", ["validate", "--insecure", "--remote", `${host()}/cgr/${image}:latest`]);
  await use("skopeo", [
    "copy",
    "--all",
    "--src-tls-verify=false",
    `docker://${host()}/cgr/${image}:latest`,
    `oci:${join(folder, "through")}:latest`,
  ]);
  const mirror = await fetch(`${wharfinger.url}/v2/${image}/manifests/latest?ns=cgr.dev`);
  expect([mirror.status, mirror.headers.get("docker-content-digest"), mirror.headers.get("oci-namespace")]).toEqual([
    200,
    first.digest,
    "cgr.dev",
  ]);
  expect((await fetch(`${wharfinger.url}/v2/${image}/manifests/latest?ns=nowhere.example`)).status).toBe(404);
});

test("without evidence there is no version; with signed evidence there is", async () => {
  const refused = await wharfingerCli("job", "tag-sync", "--policy", "default/chainguard", "-o", "json"); // every image failed: exit code 1
  const run = JSON.parse(refused.stdout) as { images: { failed: number } };
  expect(run.images.failed).toBe(1);
  expect((await fetch(`${wharfinger.url}/v2/cgr/${image}/manifests/1.27.3`)).status).toBe(404);

  for (const digest of [first.digest, ...Object.values(first.children)]) {
    await key.attest(`${upstream.host}/${image}@${digest}`, "slsaprovenance1", slsaProvenance({ nginx: "1.27.3-r2" }));
  }
  await done("job", "tag-sync", "--policy", "default/chainguard");
  expect(await crane("digest", `${host()}/cgr/${image}:1.27.3`)).toBe(first.digest);
  expect((await crane("ls", `${host()}/cgr/${image}`)).split("\n")).toEqual(expect.arrayContaining(["1.27.3", "1.27.3-r2", "latest"]));

  const subjects = (await git("log", "--format=%s")).split("\n");
  expect(subjects[0]).toBe(`versions cgr/${image}: 1.27.3-r2`);
  const why = await json<VersionsView>("explain", `cgr/${image}:1.27.3`);
  expect(why.ledger.builds[0]).toMatchObject({
    version: "1.27.3-r2",
    digest: first.digest,
    sourceTag: "latest",
    evidence: { type: "SLSAProvenance" },
  });
});

let second: Awaited<ReturnType<typeof pushIndex>>;

test("latest moves on: the old version stays, the new one (from an SBOM) joins", async () => {
  second = await pushIndex({ reference: `${upstream.host}/${image}:latest`, content: "nginx 1.28.0-r0", platforms });
  for (const digest of [second.digest, ...Object.values(second.children)]) {
    await key.attest(`${upstream.host}/${image}@${digest}`, "spdxjson", spdxDocument({ nginx: "1.28.0-r0", openssl: "3.4.0-r1" }));
  }
  await done("job", "tag-sync", "--policy", "default/chainguard");
  expect(await crane("digest", `${host()}/cgr/${image}:1.28.0`)).toBe(second.digest);
  expect(await crane("digest", `${host()}/cgr/${image}:latest`)).toBe(second.digest);

  // Upstream cleans up: what was copied does not need it any more.
  await crane("delete", `${upstream.host}/${image}@${first.digest}`);
  await use("crane", ["validate", "--insecure", "--remote", `${host()}/cgr/${image}:1.27.3`]);
  await use("skopeo", [
    "copy",
    "--all",
    "--src-tls-verify=false",
    `docker://${host()}/cgr/${image}:1.27.3`,
    `oci:${join(folder, "version")}:1.27.3`,
  ]);
});

test("git revert of a version takes it out of service, and no run mints it again", async () => {
  const commit = await git("log", "-1", "--format=%H", "--grep", `versions cgr/${image}: 1.28.0-r0`);
  await git("revert", "--no-edit", commit);
  await comesTrue("1.28.0 out of service", async () => (await fetch(`${wharfinger.url}/v2/cgr/${image}/manifests/1.28.0`)).status === 404);
  await done("job", "tag-sync", "--policy", "default/chainguard");
  expect((await fetch(`${wharfinger.url}/v2/cgr/${image}/manifests/1.28.0`)).status).toBe(404);
  expect(await crane("digest", `${host()}/cgr/${image}:1.27.3`)).toBe(first.digest);

  // Also after the database was lost: the memory is the history.
  await wharfinger.stop();
  await rm(join(wharfinger.data, "postgres"), { recursive: true, force: true });
  await rm(join(wharfinger.data, "blobs"), { recursive: true, force: true });
  wharfinger = await wharfinger.restart();
  await done("job", "tag-sync", "--policy", "default/chainguard");
  expect((await fetch(`${wharfinger.url}/v2/cgr/${image}/manifests/1.28.0`)).status).toBe(404);

  // What the person decided is written down with the next version.
  const third = await pushIndex({ reference: `${upstream.host}/${image}:latest`, content: "nginx 1.29.1-r0", platforms });
  await key.attest(`${upstream.host}/${image}@${third.digest}`, "slsaprovenance1", slsaProvenance({ nginx: "1.29.1-r0" }));
  await done("job", "tag-sync", "--policy", "default/chainguard");
  expect(await crane("digest", `${host()}/cgr/${image}:1.29.1`)).toBe(third.digest);
  const { ledger } = await json<VersionsView>("explain", `cgr/${image}:1.29.1`);
  expect(Object.keys(ledger.retired).sort()).toEqual(["1.28.0", "1.28.0-r0"]);
  expect(ledger.retired["1.28.0"]).toMatchObject({ by: expect.stringContaining("Ann") });
});

test("an edited resource is served within seconds; git revert brings the earlier one back and holds", async () => {
  const file = join(config, "upstream.yaml");
  await writeFile(file, (await readFile(file, "utf8")).replace("hosts: [cgr.dev]", "hosts: [cgr.dev, mirror.example]"));
  await comesTrue("the new host", async () => (await fetch(`${wharfinger.url}/v2/${image}/tags/list?ns=mirror.example`)).status === 200);

  await writeFile(
    join(config, "broken.yaml"),
    "apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: broken}\nspec:\n  url: https://example.com\n  prefx: broken\n",
  );
  await comesTrue("the invalid file is reported", () => /broken\.yaml:6.*prefx|prefx.*broken\.yaml:6/.test(wharfinger.logs()));
  expect((await fetch(`${wharfinger.url}/v2/${image}/tags/list?ns=mirror.example`)).status).toBe(200);
  await rm(join(config, "broken.yaml"));

  const commit = await git("log", "-1", "--format=%H", "--", "upstreams/default/chainguard.yaml");
  await git("revert", "--no-edit", commit);
  await comesTrue(
    "the earlier configuration",
    async () => (await fetch(`${wharfinger.url}/v2/${image}/tags/list?ns=mirror.example`)).status === 404,
  );
  await comesTrue("Overridden", async () => (await condition("upstream", "chainguard", "Overridden"))?.status === "True");
  wharfinger = await (await wharfinger.stop(), wharfinger.restart());
  expect((await fetch(`${wharfinger.url}/v2/${image}/tags/list?ns=mirror.example`)).status).toBe(404);
  expect((await condition("upstream", "chainguard", "Ready"))?.reason).toBe("Overridden");
});

test("plan, prune, restore, prune, sweep", async () => {
  for (const number of [1, 2, 3, 4, 5])
    await pushImage({ reference: `${host()}/team-c/app:build-${number}`, content: `build ${number}`, noise: 50_000 });
  await pushImage({ reference: `${host()}/team-c/app:v1.0`, content: "release" });
  const policy = join(config, "retention.yaml");
  const text = (action: string) => `apiVersion: wharfinger.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: builds}
spec:
  repositories: {include: ["team-c/**"]}
  action: ${action}
  keep:
    - {name: releases, tags: "v.*"}
    - {name: recent, tags: "build-.*", mostRecentlyPushed: 2}
  limits: {maxDeletePercent: 100}
`;
  await writeFile(policy, text("Plan"));
  await comesTrue("the policy is Ready", async () => (await condition("retentionpolicy", "builds", "Ready"))?.status === "True");
  const plan = await json<Plan>("plan", "default/builds");
  const verdicts = Object.fromEntries(plan.entries.map((entry) => [entry.tag, `${entry.verdict}: ${entry.rule}`]));
  expect(verdicts).toMatchObject({
    "build-1": expect.stringMatching(/^delete/),
    "build-3": expect.stringMatching(/^delete/),
    "build-4": expect.stringContaining("keep: "),
    "v1.0": expect.stringContaining("releases"),
  });
  await done("job", "prune", "--policy", "default/builds");
  expect((await crane("ls", `${host()}/team-c/app`)).split("\n")).toHaveLength(6); // action: Plan deletes nothing

  await writeFile(policy, text("Delete"));
  await comesTrue("the policy deletes", async () => {
    const [view] = await json<ResourceView[]>("get", "retentionpolicy", "default/builds");
    if ((view?.spec as { action?: string } | undefined)?.action !== "Delete") return false;
    return view!.status.conditions.some((c) => c.type === "Ready" && c.status === "True" && c.observedGeneration === view!.generation);
  });
  const blobs = join(wharfinger.data, "blobs");
  const usage = async () => Number((await program("du", ["-sb", blobs])).stdout.split("\t")[0]);
  // Before anything goes: on a busy machine the first builds may be swept before the last prune.
  const before = await usage();
  await done("job", "prune", "--policy", "default/builds");
  expect((await crane("ls", `${host()}/team-c/app`)).split("\n")).toEqual(["build-4", "build-5", "v1.0"]);

  const restored = await json<RestoreResult>("restore", "team-c/app:build-2");
  expect(restored.gone).toEqual([]);
  await use("crane", ["validate", "--insecure", "--remote", `${host()}/team-c/app:build-2`]);

  await done("job", "prune", "--policy", "default/builds");
  await comesTrue("everything unreferenced is swept", async () => {
    const gc = await json<GcStatus>("gc", "status");
    return gc.due === 0 && gc.doomed === 0 && (await usage()) < before - 100_000;
  });
  const report = await json<AuditReport>("audit", "--deep");
  expect(report.findings).toEqual([]);
  expect((await wharfingerCli("restore", "team-c/app:build-1")).code).toBe(1);
});
