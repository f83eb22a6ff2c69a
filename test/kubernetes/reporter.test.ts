// `wharfinger report` as a process, between a real API server and a real registry: what it says it covers, and what a prune leaves because of it.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { Client } from "pg";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

import type { Plan } from "../../src/api/control/retention.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import { workloadKinds } from "../../src/reporter/cluster.ts";
import { digestOf, pushImage, putManifest } from "../conformance/content.ts";
import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { createNamespace, serviceAccountIssuer } from "../support/kubernetes.ts";
import type { KubernetesApi } from "../support/kubernetes-access.ts";
import { createMigratedDatabase, type TestDatabase } from "../support/postgres.ts";
import type { ProgramResult } from "../support/programs.ts";
import { startRegistryProcess } from "../support/registry-process.ts";
import { processToken, type ServingProcess } from "../support/serving-process.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";
import { wharfinger } from "../support/standalone.ts";

const app = "team-a/app";
const policy = "default/builds";
const host = "registry.example.com";

let api: KubernetesApi;
let database: TestDatabase;
let folder: string;
let tokenFile: string;
let registry: ServingProcess;
let control: ControlClient;
let namespace: string;

beforeAll(async () => {
  api = await sharedApiServer();
  folder = await mkdtemp(join(tmpdir(), "wharfinger-reporter-"));
  tokenFile = join(folder, "token");
  await writeFile(tokenFile, `${processToken}\n`);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

beforeEach(async () => {
  database = await createMigratedDatabase();
  const blobs = await mkdtemp(join(folder, "blobs-"));
  registry = await startRegistryProcess({
    settings: {
      database: { url: database.url },
      storage: { folder: blobs },
      gc: { lease: "1ms" },
      clusters: [{ name: "prod" }],
      tenants: [{ namespace: "team-a", repositories: ["team-a/**"], kinds: ["RetentionPolicy"], workloads: ["tenant-a"] }],
    },
  });
  control = new ControlClient({ url: registry.url, token: processToken });
  namespace = await createNamespace(api);
  return async () => {
    await control.close();
    await registry.stop();
    await database.drop();
  };
});

async function publish(): Promise<void> {
  const keep = [{ name: "none", tags: "none" }];
  const spec = {
    repositories: { include: ["team-a/**"] },
    action: "Delete",
    keep,
    untagged: { keepFor: "0s" },
    limits: { maxDeletePercent: 100 },
  };
  const common = { kind: "RetentionPolicy" as const, name: "builds", generation: 1, revision: "r", suspend: false, spec };
  const resources = [
    { ...common, namespace: "default" },
    { ...common, namespace: "team-a" },
  ];
  const { refused = [] } = await control.publish({ revision: "r", base: null, resources, ledgers: {}, settled: [] });
  expect(refused).toEqual([]);
}

const push = (tag: string) => pushImage(registry.url, app, tag, { annotations: { tag } });
const tags = async () => (JSON.parse((await send(registry.url, "GET", `/v2/${app}/tags/list`)).body.toString()) as { tags: string[] }).tags;
const goes = ({ entries }: Plan) => entries.filter(({ verdict }) => verdict === "delete").map(({ tag, digest }) => tag ?? digest);
const command = (args: readonly string[]) => wharfinger(args, { env: { WHARFINGER_TOKEN: processToken } });
const prune = () => command(["job", "prune", "--policy", policy, "--registry", registry.url, "-o", "json"]);
const reportArguments = (kubeconfig: string, ...more: string[]) => {
  return ["report", "--registry", registry.url, "--token-file", tokenFile, "--cluster", "prod", "--kubeconfig", kubeconfig, ...more];
};
const report = (kubeconfig = api.kubeconfig, ...more: string[]): Promise<ProgramResult> =>
  wharfinger(reportArguments(kubeconfig, "--once", ...more));
const unknown = async () => {
  const { body } = await send(registry.url, "GET", "/metrics", { headers: { authorization: `Bearer ${processToken}` } });
  return /^wharfinger_workloads_unknown\{cluster="prod"\} (\d)$/m.exec(body.toString())?.[1];
};

async function rows<Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  try {
    return (await client.query(text, [...values])).rows as Row[];
  } finally {
    await client.end();
  }
}
const reported = async (image: string) => (await rows("SELECT FROM workload_images WHERE image = $1", [image])).length === 1;

async function make(path: string, body: object): Promise<void> {
  const answer = await api.send("POST", path, { body });
  expect([answer.status, answer.status < 300 ? "" : answer.body]).toEqual([201, ""]);
}
const apps = (plural: string) => `/apis/apps/v1/namespaces/${namespace}/${plural}`;
const batch = (plural: string) => `/apis/batch/v1/namespaces/${namespace}/${plural}`;
const pods = (name = "") => `/api/v1/namespaces/${namespace}/pods${name}`;
const podSpec = (image: string, more: object = {}) => ({ containers: [{ name: "c", image }], ...more });
const labels = { app: "x" };
const workload = (name: string, image: string, spec: object = {}) => ({
  metadata: { name, labels },
  spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: podSpec(image) }, ...spec },
});

/** As the kubelet says what runs: by digest. */
async function sayPulled(pod: string, imageID: string): Promise<void> {
  const status = { phase: "Running", containerStatuses: [{ name: "c", image: "x", imageID, ready: true, restartCount: 0, state: {} }] };
  const answer = await api.send("PATCH", `${pods(`/${pod}`)}/status`, { body: { status }, contentType: "application/merge-patch+json" });
  expect(answer.status).toBe(200);
}

const groups = {
  "": ["pods"],
  apps: ["replicasets", "controllerrevisions", "deployments", "statefulsets", "daemonsets"],
  batch: ["jobs", "cronjobs"],
};

/** A ServiceAccount that may read these, in its namespace or in the whole cluster; answers its kubeconfig, which is of its namespace. */
async function account(name: string, where: "Role" | "ClusterRole", kinds: readonly string[] = workloadKinds): Promise<string> {
  await make(`/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name } });
  const path = `/apis/rbac.authorization.k8s.io/v1/${where === "Role" ? `namespaces/${namespace}/` : ""}`;
  const role = `${namespace}-${name}`;
  const rules = Object.entries(groups).map(([group, resources]) => {
    return { apiGroups: [group], resources: resources.filter((kind) => kinds.includes(kind)), verbs: ["list", "watch"] };
  });
  await make(`${path}${where.toLowerCase()}s`, { metadata: { name: role }, rules: rules.filter(({ resources }) => resources.length > 0) });
  await make(`${path}${where.toLowerCase()}bindings`, {
    metadata: { name: role },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: where, name: role },
    subjects: [{ kind: "ServiceAccount", namespace, name }],
  });
  const kubeconfig = await api.serviceAccountKubeconfig(namespace, name);
  const set = await api.kubectl(["config", "set-context", "--current", "--namespace", namespace], { kubeconfig });
  expect(set.code).toBe(0);
  return kubeconfig;
}

test("what a rollback, a CronJob, a Pod or a digest names survives a prune; what nobody names goes; while the reporter is silent nothing goes", async () => {
  await publish();
  for (const tag of ["live", "rollback", "revision", "nightly", "init", "gone"]) await push(tag);
  const child = await push("child");
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [{ mediaType: mediaTypes.ociManifest, digest: child.digest, size: child.manifest.length }],
  });
  expect((await putManifest(registry.url, app, "index", index, mediaTypes.ociIndex)).status).toBe(201);
  const all = await tags();

  // Never heard: everything stays, and whoever asks hears why.
  const message = "what clusters use is unknown, so everything is kept: cluster prod has never reported";
  expect(await unknown()).toBe("1");
  expect(await prune()).toMatchObject({ code: 1, stderr: expect.stringContaining(`WorkloadsUnknown: ${message}`) });
  expect((await control.finishedRuns())[0]?.result).toMatchObject({ blocked: { reason: "WorkloadsUnknown", message }, deleted: 0 });
  expect(await tags()).toEqual(all);

  await make(apps("deployments"), workload("web", `${host}/${app}:live`));
  await make(apps("replicasets"), workload("web-old", `${host}/${app}:rollback`, { replicas: 0 }));
  const patch = { spec: { template: { $patch: "replace", spec: podSpec(`${host}/${app}:revision`) } } };
  await make(apps("controllerrevisions"), { metadata: { name: "db-1" }, revision: 1, data: patch });
  const template = { spec: podSpec(`${host}/${app}:nightly`, { restartPolicy: "Never" }) };
  await make(batch("cronjobs"), { metadata: { name: "nightly" }, spec: { schedule: "0 3 * * *", jobTemplate: { spec: { template } } } });
  await make(pods(), {
    metadata: { name: "one" },
    spec: podSpec("elsewhere/x", { initContainers: [{ name: "i", image: `${host}/${app}:init` }] }),
  });
  await sayPulled("one", `${host}/other/name@${child.digest}`);

  const told = await report();
  expect(told).toMatchObject({ code: 0, stderr: expect.stringMatching(/reported \d+ images: the whole cluster/) });
  expect(await unknown()).toBe("0");
  const plan = await control.plan(policy);
  expect(goes(plan)).toEqual(["gone"]);
  expect(plan.entries.find(({ tag }) => tag === "rollback")).toMatchObject({ rule: "inUse", reason: "in use in cluster prod" });
  expect(await prune()).toMatchObject({ code: 0 });
  expect(await tags()).toEqual(all.filter((tag) => tag !== "gone"));

  // The reporter was last heard two hours ago: the same image would go, and stays.
  await push("gone");
  await rows("UPDATE workload_reports SET taken_at = taken_at - interval '2 hours'");
  expect(await unknown()).toBe("1");
  expect(await prune()).toMatchObject({ code: 1, stderr: expect.stringContaining("cluster prod last reported ") });
  expect(await tags()).toEqual(all);

  // What is not named any more is kept for keepFor (72 h) after it was last seen.
  expect((await api.send("DELETE", `${apps("replicasets")}/web-old`)).status).toBe(200);
  expect(await report()).toMatchObject({ code: 0 });
  const later = await control.plan(policy);
  expect(goes(later)).toEqual(["gone"]);
  expect(later.entries.find(({ tag }) => tag === "rollback")?.reason).toMatch(/^in use in cluster prod, last seen /);
  await rows("UPDATE workload_images SET last_seen = last_seen - interval '72 hours' WHERE last_seen IS NOT NULL");
  expect(goes(await control.plan(policy))).toEqual(["gone", "rollback"]);
});

test("what it may read decides what it says it covers", async () => {
  await publish();
  await push("unused");
  const blocked = async (of = policy) => (await control.plan(of)).blocked?.message;

  // All of one namespace: said as that, and not enough for a policy of administrators.
  const inNamespace = await account("local", "Role");
  expect(await report(inNamespace)).toMatchObject({ code: 0, stderr: expect.stringContaining(`namespace ${namespace}`) });
  expect(await rows("SELECT namespaces FROM workload_reports")).toEqual([{ namespaces: [namespace] }]);
  expect(await blocked()).toContain("the report of cluster prod does not cover the whole cluster");
  expect(await report(inNamespace, "--namespace", namespace)).toMatchObject({ code: 0 });
  expect(await report(inNamespace, "--namespace", "kube-system")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("pods in namespace kube-system: pods is forbidden"),
  });

  // Enough for a tenant of whom the settings say that its images run there and nowhere else.
  expect(await blocked("team-a/builds")).toContain("does not cover namespace tenant-a");
  expect(await report(api.kubeconfig, "--namespace", namespace, "--namespace", "tenant-a")).toMatchObject({ code: 0 });
  expect(await blocked("team-a/builds")).toBeUndefined();
  expect(await blocked()).toContain("does not cover the whole cluster");

  // All but one kind of the whole cluster: not whole, so the last whole report stays the last.
  const before = await rows("SELECT taken_at, namespaces FROM workload_reports");
  const allButOne = await account(
    "nearly",
    "ClusterRole",
    workloadKinds.filter((kind) => kind !== "cronjobs"),
  );
  expect(await report(allButOne)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("cronjobs of the whole cluster: cronjobs.batch is forbidden"),
  });
  expect(await rows("SELECT taken_at, namespaces FROM workload_reports")).toEqual(before);
  await rows("UPDATE workload_reports SET taken_at = taken_at - interval '2 hours'");
  expect(await blocked()).toMatch(
    /cluster prod last reported .* \(its reporter says: cronjobs of the whole cluster: cronjobs\.batch is forbidden/,
  );

  const everything = await account("global", "ClusterRole");
  expect(await report(everything)).toMatchObject({ code: 0, stderr: expect.stringContaining("the whole cluster") });
  expect(await blocked()).toBeUndefined();
});

test("its ServiceAccount's token reports for its cluster, and for no other", async () => {
  await make(`/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: "reporter" } });
  const keys = join(folder, "jwks.json");
  await writeFile(keys, (await api.kubectl(["get", "--raw", "/openid/v1/jwks"])).stdout);
  const other = await createMigratedDatabase();
  const strict = await startRegistryProcess({
    open: false,
    settings: {
      database: { url: other.url },
      storage: { folder: await mkdtemp(join(folder, "blobs-")) },
      externalURL: `https://${host}`,
      auth: { issuers: [{ name: "home", issuer: serviceAccountIssuer, jwks: keys }] },
      clusters: [{ name: "prod", reporter: { issuer: "home", namespace, name: "reporter" } }, { name: "edge" }],
    },
  });
  const projected = join(folder, "projected");
  await writeFile(projected, await api.serviceAccountToken(namespace, "reporter", { audience: host }));
  const reportAs = (cluster: string) =>
    wharfinger([
      "report",
      "--once",
      "--registry",
      strict.url,
      "--token-file",
      projected,
      "--cluster",
      cluster,
      "--kubeconfig",
      api.kubeconfig,
    ]);
  expect(await reportAs("prod")).toMatchObject({ code: 0, stderr: expect.stringContaining("the whole cluster") });
  expect(await reportAs("edge")).toMatchObject({ code: 1, stderr: expect.stringContaining("This is for the reporter of this cluster") });
  await strict.stop();
  await other.drop();
});

test("while it runs, a Pod's new image is told at once, and later what it was pulled as; it ends in order", async () => {
  const { child, logs } = startReporter();
  try {
    await eventually(async () => expect(await rows("SELECT FROM workload_reports WHERE taken_at IS NOT NULL")).toHaveLength(1));
    const image = `${host}/${app}:brand-new`;
    const imageID = `${host}/${app}@${digestOf(image)}`;
    await make(pods(), { metadata: { name: "new" }, spec: podSpec(image) });
    await eventually(async () => expect(await reported(image)).toBe(true));
    await sayPulled("new", imageID);
    await eventually(async () => expect(await reported(imageID)).toBe(true));
  } catch (error) {
    throw new Error(logs(), { cause: error });
  } finally {
    if (child.exitCode === null) {
      child.kill("SIGTERM");
      await once(child, "exit");
    }
  }
  expect(child.exitCode).toBe(0);
});

test("a registry that refuses, a token that is wrong and a cluster that cannot be reached are said", async () => {
  expect(await wharfinger(reportArguments(api.kubeconfig, "--once").map((word) => (word === "prod" ? "mine" : word)))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("No cluster mine is configured. Add it to the setting `clusters`"),
  });
  const wrong = join(folder, "wrong");
  await writeFile(wrong, "not-the-token");
  expect(await wharfinger(reportArguments(api.kubeconfig, "--once").map((word) => (word === tokenFile ? wrong : word)))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(wrong),
  });
  const away = await api.user("nobody");
  await api.kubectl(["config", "set-cluster", "test", "--server", "https://127.0.0.1:1"], { kubeconfig: away });
  expect(await report(away)).toMatchObject({ code: 1, stderr: expect.stringMatching(/pods of the whole cluster: .*; and 7 more/) });
  expect(await wharfinger(["report", "--once"])).toMatchObject({ code: 2 });
});

function startReporter(): { readonly child: ChildProcess; readonly logs: () => string } {
  const program = resolve(import.meta.dirname, "../../src/cli/main.ts");
  const child = spawn(process.execPath, [program, ...reportArguments(api.kubeconfig, "--log-level", "debug")], { cwd: tmpdir() });
  let logs = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (logs += text));
  return { child, logs: () => logs };
}
