// The story of test/e2e/story.test.ts in a cluster: kubectl apply in the place of files, Jobs whose Pods do the work, a record at a Git host that
// people revert and force-push, and an operator that is killed on the way.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { createCosignKey, slsaProvenance, spdxDocument, type CosignKey } from "../support/cosign.ts";
import { applyDefinitions } from "../support/definitions.ts";
import { startDistribution, type Distribution } from "../support/distribution.ts";
import { DrillWorld } from "../support/drill-world.ts";
import { answerTo, eventually } from "../support/eventually.ts";
import { pushImage, pushIndex } from "../support/images.ts";
import { serviceAccountIssuer, startApiServer, type ApiServer } from "../support/kubernetes.ts";
import { jobCommand, startPodExecutor, type PodExecutor } from "../support/pod-executor.ts";
import { KubeletMount } from "../support/kubelet-mount.ts";
import { Kubelet } from "../support/kubelet.ts";
import { wharfinger } from "../support/standalone.ts";
import { use } from "../support/programs.ts";

const image = "chainguard/nginx";
const platforms = ["linux/amd64"];
let folder: string;
let cluster: ApiServer;
let world: DrillWorld;
let kubelet: PodExecutor;
let upstream: Distribution;
let key: CosignKey;
/** What registry and operator are told of the cluster. */
let shared: Record<string, unknown>;

const host = () => new URL(world.registry.url).host;
const crane = (...args: string[]) => use("crane", [...args, "--insecure"]);
const statusOf = async (path: string) => (await fetch(`${world.registry.url}${path}`)).status;
const versionStatus = (tag: string) => statusOf(`/v2/cgr/${image}/manifests/${tag}`);
const versions = "versions cgr/chainguard/nginx";

const upstreamResource = (hosts = "cgr.dev") => `
apiVersion: wharfinger.dev/v1alpha1
kind: Upstream
metadata: {name: chainguard}
spec: {url: "${upstream.url}", insecure: true, prefix: cgr, hosts: [${hosts}], cache: {tagTTL: 1s}}
`;
const tagPolicy = `
apiVersion: wharfinger.dev/v1alpha1
kind: TagPolicy
metadata: {name: chainguard}
spec: {upstreamRef: {name: chainguard}, images: [{repository: ${image}}], verify: {keys: [{secretRef: {name: cosign-pub}}]}, schedule: "0 3 1 1 *"}
`;
const retention = (action: string) => `
apiVersion: wharfinger.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: builds}
spec:
  repositories: {include: ["team-c/**"]}
  action: ${action}
  keep: [{name: releases, tags: "v.*"}, {name: recent, tags: "build-.*", mostRecentlyPushed: 2}]
  limits: {maxDeletePercent: 100}
  schedule: "0 3 1 1 *"
`;

/** `wharfinger reconcile <policy> --wait`: 0 when the run that it asked for went well, 1 with the reason when not. */
const reconcile = (policy: string) =>
  wharfinger(["reconcile", policy, "--wait", "--namespace", world.namespace, "--kubeconfig", cluster.kubeconfig]);
const jobs = async () => (await world.kubectl(["get", "jobs", "-l", "wharfinger.dev/job=tag-sync", "-o", "name"])).split("\n");
const commits = (subject: string) => world.subjects().filter((line) => line === subject).length;

async function settingsOf(namespace: string): Promise<Record<string, unknown>> {
  const tokenFile = join(folder, "keys-token");
  await writeFile(tokenFile, await cluster.serviceAccountToken(namespace, "default", { audience: serviceAccountIssuer }));
  shared = {
    externalURL: "https://registry.example.com",
    auth: { issuers: [{ name: "in-cluster", jwks: `${cluster.url}/openid/v1/jwks`, caFile: join(cluster.folder, "ca.crt"), tokenFile }] },
    access: { jobs: { issuer: "in-cluster", namespace, name: "wharfinger-jobs" } },
  };
  const gc = { lease: "10s", trashFor: "1h", doomDelay: "1s", interval: "200ms" };
  return { ...shared, gc, backup: { interval: "0s" }, egress: { allowedCIDRs: ["127.0.0.1/32"] } };
}
const startOperator = () =>
  world.startOperator({ settings: { ...shared, jobs: { image: "registry.example.com/wharfinger:test", command: jobCommand } } });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-cluster-story-"));
  const mount = await KubeletMount.make(join(folder, "credentials"));
  [cluster, upstream, key] = await Promise.all([startApiServer({ controllers: true }), startDistribution(), createCosignKey()]);
  await applyDefinitions(cluster);
  world = await DrillWorld.on(cluster, { registry: settingsOf, secrets: mount.folder });
  await world.kubectl(["label", "namespace", world.namespace, "pod-security.kubernetes.io/enforce=restricted"]);
  await world.kubectl(["apply", "-f", "deploy/operator/jobs.yaml"]);
  const account = `--serviceaccount=${world.namespace}:default`;
  await world.kubectl(["create", "rolebinding", "wharfinger-operator-jobs", "--role=wharfinger-operator-jobs", account]);
  kubelet = await startPodExecutor(cluster, { namespace: world.namespace });
  world.defer(() => kubelet.stop());
  const mounted = new Kubelet({ api: cluster, namespace: world.namespace, name: "wharfinger-credentials", mounts: [mount] });
  world.defer(() => mounted.stop());
  await world.kubectl(["create", "secret", "generic", "cosign-pub", `--from-literal=publisher.pub=${key.publicKey}`]);
  await startOperator();
});
afterAll(async () => {
  await world?.close();
  await Promise.all([cluster?.stop(), upstream?.stop(), key?.remove(), rm(folder, { recursive: true, force: true })]);
});

let first: Awaited<ReturnType<typeof pushIndex>>;

test("what is applied is served: own images, and an upstream's behind its prefix and by its name", async () => {
  const own = await pushImage({ reference: `${host()}/team-a/app:v1`, content: "ours" });
  world.reader.expect("/v2/team-a/app/manifests/v1", { status: 200, digest: own });
  first = await pushIndex({ reference: `${upstream.host}/${image}:latest`, content: "nginx 1.27.3-r2", platforms });
  await world.apply(upstreamResource());
  await world.hasCondition("Ready", "upstream/chainguard");
  expect(await crane("digest", `${host()}/cgr/${image}:latest`)).toBe(first.digest);
  expect(await statusOf(`/v2/${image}/manifests/latest?ns=cgr.dev`)).toBe(200);
});

test("without evidence there is no version; with signed evidence a Job's Pod finds it, and it is committed, then served", async () => {
  await world.apply(tagPolicy);
  await world.hasCondition("Ready", "tagpolicy/chainguard");
  // Its first run comes by itself.
  await world.becomes("tagpolicy/chainguard", "{.status.lastRun.state}", "succeeded");
  expect((await world.stored("TagPolicy", "chainguard")).status).toMatchObject({
    lastRun: { message: expect.stringContaining("1 failed") as string },
  });
  expect(await versionStatus("1.27.3")).toBe(404);
  for (const digest of [first.digest, ...Object.values(first.children)])
    await key.attest(`${upstream.host}/${image}@${digest}`, "slsaprovenance1", slsaProvenance({ nginx: "1.27.3-r2" }));
  expect(await reconcile("tagpolicy/chainguard")).toMatchObject({ code: 0 });
  expect(await crane("digest", `${host()}/cgr/${image}:1.27.3`)).toBe(first.digest);
  expect(world.subjects().at(-1)).toBe(`${versions}: 1.27.3-r2`);
  expect(await jobs()).toContainEqual(expect.stringMatching(/^job\.batch\/chainguard-/));
  world.reader.expect(`/v2/cgr/${image}/manifests/1.27.3`, { status: 200 });
});

test("latest moves on while API server and operator are killed: one Job does it, and the version is committed once", async () => {
  const second = await pushIndex({ reference: `${upstream.host}/${image}:latest`, content: "nginx 1.28.0-r0", platforms });
  for (const digest of [second.digest, ...Object.values(second.children)])
    await key.attest(`${upstream.host}/${image}@${digest}`, "spdxjson", spdxDocument({ nginx: "1.28.0-r0", openssl: "3.4.0-r1" }));
  const jobsBefore = await jobs();
  const before = new Set((await kubelet.pods()).map(({ metadata }) => metadata.name));
  kubelet.freeze = () => true;
  await world.kubectl(["annotate", "--overwrite", "tagpolicy/chainguard", "wharfinger.dev/requestedAt=killed"]);
  const begun = async () => (await kubelet.pods()).find(({ metadata }) => !before.has(metadata.name))?.metadata.name;
  const pod = await answerTo("a Pod of the run", begun);
  const process = await kubelet.process(pod);
  await cluster.restart();
  await world.operator?.kill9();
  kubelet.freeze = () => false;
  process.kill("SIGCONT");
  await world.kubectl(["delete", "lease/wharfinger"]); // nobody waits until it runs out
  await startOperator();
  await eventually(async () => expect(await versionStatus("1.28.0")).toBe(200), 90);
  await world.becomes("tagpolicy/chainguard", "{.status.lastRun.state}", "succeeded");
  expect(commits(`${versions}: 1.28.0-r0`)).toBe(1);
  expect((await jobs()).filter((job) => !jobsBefore.includes(job))).toHaveLength(1);
  // What was copied needs no upstream.
  await crane("delete", `${upstream.host}/${image}@${first.digest}`);
  await use("crane", ["validate", "--insecure", "--remote", `${host()}/cgr/${image}:1.27.3`]);
});

test("a version that is reverted at the Git host is out of service, a force-push brings it back, and no run mints what is reverted", async () => {
  const minted = world.repository.head() ?? "";
  world.person.git("revert", "--no-edit", "HEAD");
  await eventually(async () => expect(await versionStatus("1.28.0")).toBe(404));
  world.person.git("reset", "-q", "--hard", minted);
  await eventually(async () => expect(await versionStatus("1.28.0")).toBe(200));
  world.person.git("revert", "--no-edit", "HEAD");
  await eventually(async () => expect(await versionStatus("1.28.0")).toBe(404));
  await reconcile("tagpolicy/chainguard");
  expect(await versionStatus("1.28.0")).toBe(404);
  expect(commits(`${versions}: 1.28.0-r0`)).toBe(1);
});

test("a changed resource is served; its revert holds over what is applied again", async () => {
  const mirror = () => statusOf(`/v2/${image}/tags/list?ns=mirror.example`);
  await world.apply(upstreamResource("cgr.dev, mirror.example"));
  await eventually(async () => expect(await mirror()).toBe(200));
  world.person.git("revert", "--no-edit", "HEAD");
  await eventually(async () => expect(await mirror()).toBe(404));
  await world.hasCondition("Overridden", "upstream/chainguard");
  const head = world.repository.head();
  await world.apply(upstreamResource("cgr.dev, mirror.example"));
  await world.kubectl(["annotate", "--overwrite", "upstream/chainguard", "wharfinger.dev/requestedAt=again"]);
  await world.becomes("upstream/chainguard", "{.status.lastHandledReconcileAt}", "again");
  expect([await mirror(), world.repository.head()]).toEqual([404, head]);
});

test("a retention policy plans, then deletes, by Jobs; what it deleted is in Git, and can be had back", async () => {
  for (const number of [1, 2, 3, 4, 5]) await pushImage({ reference: `${host()}/team-c/app:build-${number}`, content: `build ${number}` });
  await pushImage({ reference: `${host()}/team-c/app:v1.0`, content: "release" });
  const tags = async () => (await crane("ls", `${host()}/team-c/app`)).split("\n").sort();
  await world.apply(retention("Plan"));
  await world.hasCondition("Ready", "retentionpolicy/builds");
  expect(await reconcile("retentionpolicy/builds")).toMatchObject({ code: 0 });
  expect(await tags()).toHaveLength(6);
  await world.apply(retention("Delete"));
  await world.becomes("retentionpolicy/builds", "{.status.recordedGeneration}", "2");
  await world.hasCondition("Ready", "retentionpolicy/builds");
  expect(await reconcile("retentionpolicy/builds")).toMatchObject({ code: 0 });
  expect(await tags()).toEqual(["build-4", "build-5", "v1.0"]);
  await eventually(() => expect(world.subjects().at(-1)).toContain(`plan ${world.namespace}/builds: `));
  await world.control.restore({ repository: "team-c/app", tag: "build-2" });
  expect(await tags()).toContain("build-2");
  await world.published();
  expect(world.reader.wrong).toEqual([]);
});
