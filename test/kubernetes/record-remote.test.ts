// The record of a cluster at a Git host: the operator has nothing of its own that could not be lost.

import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { ControlClient } from "../../src/client/control-client.ts";
import { eventually } from "../support/eventually.ts";
import { GitHost, type BareRepository } from "../support/git-remote.ts";
import type { KubernetesApi } from "../support/kubernetes-access.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { startOperatorProcess, type OperatorProcess } from "../support/operator-process.ts";
import { createDatabase } from "../support/postgres.ts";
import { processToken, startRegistryProcess, type RegistryProcess } from "../support/registry-process.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

const stack = new AsyncDisposableStack();
let api: KubernetesApi;
let namespace: string;
let kubeconfig: string;
let folder: string;
let host: GitHost;
let repository: BareRepository;
let registry: RegistryProcess;
let control: ControlClient;
let operator: OperatorProcess | undefined;

const kubectl = async (args: readonly string[], input?: string) => {
  const result = await api.kubectl(["-n", namespace, ...args], input === undefined ? {} : { input });
  expect(result, `${args.join(" ")}\n${operator?.logs() ?? ""}`).toMatchObject({ code: 0 });
  return result.stdout.trim();
};
const condition = (type: string, part: string) =>
  kubectl(["get", "upstream/chainguard", "-o", `jsonpath={.status.conditions[?(@.type=='${type}')].${part}}`]);
const upstream = (tagTTL: string) => `
apiVersion: wharfinger.dev/v1alpha1
kind: Upstream
metadata: {name: chainguard}
spec: {url: "https://cgr.example.org", prefix: cgr, offline: true, cache: {tagTTL: ${tagTTL}}}
`;
/** git as a person runs it in a clone of today. */
const inClone = (...args: string[]) => {
  const clone = join(folder, "clone");
  const run = (cwd: string, words: readonly string[]) =>
    execFileSync("git", ["-c", "user.name=Jane Doe", "-c", "user.email=jane@example.org", ...words], { cwd, stdio: "pipe" });
  execFileSync("rm", ["-rf", clone]);
  run(folder, ["clone", "-q", "-b", "wharfinger", repository.path, clone]);
  run(clone, args);
  run(clone, ["push", "-q", "origin", "wharfinger"]);
};

async function start(): Promise<void> {
  const remote = { url: host.urlOf(repository), interval: "1s", secretRef: { namespace, name: "record" } };
  const settings = { record: { remote } };
  operator = await startOperatorProcess({
    kubeconfig,
    namespaces: [namespace],
    registry: registry.url,
    record: join(folder, "record"),
    settings,
  });
}

beforeAll(async () => {
  [api, host] = await Promise.all([sharedApiServer(), GitHost.start()]);
  stack.defer(() => host.stop());
  repository = host.repository("cluster");
  namespace = await createNamespace(api);
  folder = await mkdtemp(join(tmpdir(), "wharfinger-record-remote-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const database = await createDatabase();
  stack.defer(() => database.drop());
  registry = await startRegistryProcess({ settings: { database: { url: database.url }, storage: { folder: join(folder, "blobs") } } });
  stack.defer(async () => void (await registry.stop()));
  control = new ControlClient({ url: registry.url, token: processToken });
  stack.defer(() => control.close());
  await kubectl(["apply", "-f", "deploy/operator/role.yaml"]);
  await kubectl(["create", "rolebinding", "wharfinger-operator", "--role=wharfinger-operator", `--serviceaccount=${namespace}:default`]);
  kubeconfig = await api.serviceAccountKubeconfig(namespace, "default");
  await start();
  stack.defer(async () => void (await operator?.stop()));
});
afterAll(() => stack.disposeAsync());

test("what is missing for the remote is said at the resource, and counts as soon as it is there", async () => {
  await kubectl(["apply", "-f", "-"], upstream("5m"));
  await eventually(async () => expect(await condition("Recorded", "reason")).toBe("AuthenticationFailed"), 30);
  expect(await condition("Ready", "message")).toContain(`there is no Secret ${namespace}/record`);
  const literals = Object.entries(host.secret).map(([key, text]) => `--from-literal=${key}=${text}`);
  await kubectl(["create", "secret", "generic", "record", ...literals]);
  await kubectl(["wait", "--for=condition=Ready", "upstream/chainguard", "--timeout=60s"]);
  expect(repository.git("log", "--format=%s", "wharfinger").split("\n")).toEqual([
    `upstream ${namespace}/chainguard: generation 1`,
    "record: begins",
  ]);
  expect(await control.record()).toMatchObject({ revision: repository.head() });
});

test("a cluster that begins anew beside a record with content: all is served on, overrides hold, no file changes", async () => {
  await kubectl(["apply", "-f", "-"], upstream("1m"));
  await eventually(() => expect(repository.git("log", "-1", "--format=%s", "wharfinger")).toContain("generation 2"), 30);
  inClone("revert", "--no-edit", "HEAD");
  await eventually(async () => expect(await condition("Overridden", "status")).toBe("True"), 30);
  const before = repository.head();
  await operator?.stop();
  // Namespace, volume and the id of the installation: as after a restore that brought nothing back but the manifests.
  await kubectl(["delete", "upstream/chainguard", "configmap/wharfinger"]);
  await rm(join(folder, "record"), { recursive: true });
  await start();
  await eventually(() => expect(operator?.logs()).toContain("it is served on until its file is removed or the resource comes back"), 30);
  expect(repository.head()).toBe(before);
  await kubectl(["apply", "-f", "-"], upstream("1m"));
  await eventually(async () => expect(await condition("Overridden", "status")).toBe("True"), 30);
  expect(await condition("Ready", "status")).toBe("True");
  expect(repository.git("diff", "--stat", `${before}..wharfinger`)).toBe("");
  expect(repository.git("log", "--format=%s", `${before}..wharfinger`)).toMatch(/adopts what is recorded$/);
  await eventually(async () => expect(await control.record()).toMatchObject({ revision: repository.head() }));
});
