// The whole of it on real nodes: Helm installs it with PostgreSQL, a bucket and a Git host, kubectl says what is served, and Pods run what they
// pull through it.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test, vi } from "vitest";

import { createCosignKey, slsaProvenance, type CosignKey } from "../support/cosign.ts";
import { eventually } from "../support/eventually.ts";
import { pushShell } from "../support/node/images.ts";
import { sharedCluster } from "../support/node/cluster.ts";
import { alice } from "../support/node/people.ts";
import { describePod, runPod } from "../support/node/pods.ts";
import { prepareProduction, publicUpstream, type Production } from "../support/node/production.ts";
import { use } from "../support/programs.ts";

let release: Production;
let key: CosignKey;
/** host:port of the registry: for Pods' images, and for this machine. */
let host: string;
let service: string;
let logins: string;

beforeAll(async () => {
  // Whoever runs this keeps the logins that he has, and gets none of ours.
  logins = await mkdtemp(join(tmpdir(), "wharfinger-logins-"));
  vi.stubEnv("DOCKER_CONFIG", logins);
  key = await createCosignKey();
  release = await prepareProduction(await sharedCluster(), "wharfinger-story");
  await release.secret("publisher", { "publisher.pub": key.publicKey });
  await release.install(release.values);
  ({ host, address: service } = release.entrance);
  await release.entrance.publish();
});
afterAll(async () => {
  await release?.remove();
  await key?.remove();
  vi.unstubAllEnvs();
  await rm(logins, { recursive: true, force: true });
});

const words = ["cat", "/etc/words"];
const crane = (...args: readonly string[]) => use("crane", [...args, "--insecure"]);

test("`helm test` is content", async () => {
  expect(await release.helm("test", "wharfinger")).toContain("Phase:          Succeeded");
});

test("an Upstream that kubectl applied is Ready, and a Pod pulls through it by the registry's name", async () => {
  await pushShell(`${release.surroundings.upstream.host}/tools/shell:latest`, "first");
  await release.apply(publicUpstream(release));
  await release.hasCondition("Ready", "upstream/tools");
  // Its certificate is with all Pods.
  await release.hasCondition("CredentialsLoaded", "upstream/tools");
  expect(await runPod(release, { image: `${host}/up/tools/shell:latest`, command: words })).toBe("first");
});

test("an AccessPolicy lets alice push; a Pod without her password gets nothing, one with it does", async () => {
  await release.apply(`
apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: team-a}
spec: {subjects: [{kind: User, name: ${alice.name}}], repositories: {include: ["team-a/**"]}, actions: [pull, push, delete]}
`);
  await release.hasCondition("CredentialsLoaded", "accesspolicy/team-a");
  await crane("auth", "login", service, "-u", alice.name, "-p", alice.password);
  for (const build of [1, 2, 3]) await pushShell(`${service}/team-a/app:build-${build}`, `build ${build}`);
  const image = `${host}/team-a/app:build-1`;
  await release.kubectl("run", "stranger", `--image=${image}`, "--restart=Never");
  await eventually(async () => expect(await describePod(release, "stranger")).toMatch(/401|403|authorization failed/), 60);
  const login = [`--docker-server=${host}`, `--docker-username=${alice.name}`, `--docker-password=${alice.password}`];
  await release.kubectl("create", "secret", "docker-registry", "alice", ...login);
  expect(await runPod(release, { image, command: words, pullSecret: "alice" })).toBe("build 1");
});

test("a tag-sync Job finds the version that the publisher signed, and a Deployment runs it by that version", async () => {
  const reference = `${release.surroundings.upstream.host}/tools/shell`;
  const digest = await crane("digest", `${reference}:latest`);
  await key.attest(`${reference}@${digest}`, "slsaprovenance1", slsaProvenance({ shell: "1.27.3-r2" }));
  await release.apply(`
apiVersion: wharfinger.dev/v1alpha1
kind: TagPolicy
metadata: {name: tools}
spec: {upstreamRef: {name: tools}, images: [{repository: tools/shell}], verify: {keys: [{secretRef: {name: publisher}}]}, schedule: "0 3 1 1 *"}
`);
  await release.hasCondition("Ready", "tagpolicy/tools");
  // It waits until the publisher's key is with all Pods, and so does its first run.
  await release.reconcile("tagpolicy/tools");
  expect(await release.kubectl("get", "jobs", "-l", "wharfinger.dev/job=tag-sync", "-o", "name")).toMatch(/^job\.batch\/tools-/);
  expect(release.record.git("log", "-1", "--format=%s", "wharfinger")).toBe("versions up/tools/shell: 1.27.3-r2");
  await release.kubectl("create", "deployment", "versioned", `--image=${host}/up/tools/shell:1.27.3`, "--", "sleep", "infinity");
  await release.kubectl("rollout", "status", "deployment/versioned", "--timeout=90s");
  expect(await release.kubectl("exec", "deployment/versioned", "--", ...words)).toBe("first");
});

test("prune deletes what no rule keeps, but not what a Pod runs: the reporter said so", async () => {
  const spec = { containers: [{ name: "main", image: `${host}/team-a/app:build-1`, command: ["sleep", "infinity"] }] };
  const template = { metadata: { labels: { app: "running" } }, spec: { ...spec, imagePullSecrets: [{ name: "alice" }] } };
  const deployment = { selector: { matchLabels: { app: "running" } }, template };
  await release.apply(JSON.stringify({ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "running" }, spec: deployment }));
  await release.kubectl("rollout", "status", "deployment/running", "--timeout=90s");
  await release.apply(`
apiVersion: wharfinger.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: team-a}
spec:
  repositories: {include: ["team-a/**"]}
  action: Delete
  keep: [{name: newest, mostRecentlyPushed: 1}]
  inUse: {keepFor: 0s}
  limits: {maxDeletePercent: 100}
  schedule: "0 3 1 1 *"
`);
  await release.hasCondition("Ready", "retentionpolicy/team-a");
  await release.reconcile("retentionpolicy/team-a");
  expect((await crane("ls", `${service}/team-a/app`)).split("\n").sort()).toEqual(["build-1", "build-3"]);
  // What runs can be started again.
  await release.kubectl("delete", "pod", "-l", "app=running", "--wait=false");
  await release.kubectl("rollout", "status", "deployment/running", "--timeout=90s");
});
