// The story with kubectl in the place of files: resources applied to a cluster become commits, then what a registry serves; a revert holds.

import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { ControlClient } from "../../src/client/control-client.ts";
import { paths } from "../../src/operator/kube/objects.ts";
import { eventually } from "../support/eventually.ts";
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
let registry: RegistryProcess;
let control: ControlClient;
let operator: OperatorProcess;

const kubectl = async (args: readonly string[], input?: string) => {
  const result = await api.kubectl(["-n", namespace, ...args], input === undefined ? {} : { input });
  expect(result, `${args.join(" ")}\n${operator?.logs() ?? ""}`).toMatchObject({ code: 0 });
  return result.stdout.trim();
};
const git = (...args: string[]) =>
  execFileSync("git", ["-c", "user.name=Jane Doe", "-c", "user.email=jane@example.org", ...args], {
    cwd: join(folder, "record"),
    encoding: "utf8",
    stdio: "pipe",
  }).trim();
const start = () => startOperatorProcess({ kubeconfig, namespaces: [namespace], registry: registry.url, record: join(folder, "record") });
const ready = (name: string, extra: readonly string[] = []) => kubectl(["wait", "--for=condition=Ready", name, "--timeout=60s", ...extra]);

const upstream = (fields = "") => `
apiVersion: wharfinger.dev/v1alpha1
kind: Upstream
metadata: {name: chainguard}
spec: {url: "https://cgr.example.org", prefix: cgr, offline: true${fields}}
`;
const tagPolicy = `
apiVersion: wharfinger.dev/v1alpha1
kind: TagPolicy
metadata: {name: nginx}
spec: {upstreamRef: {name: chainguard}, images: [{repository: chainguard/nginx}], verify: {mode: Unverified}, schedule: "0 3 1 1 *"}
`;

beforeAll(async () => {
  api = await sharedApiServer();
  namespace = await createNamespace(api);
  folder = await mkdtemp(join(tmpdir(), "wharfinger-operator-test-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const database = await createDatabase();
  stack.defer(() => database.drop());
  registry = await startRegistryProcess({ settings: { database: { url: database.url }, storage: { folder: join(folder, "blobs") } } });
  stack.defer(async () => void (await registry.stop()));
  control = new ControlClient({ url: registry.url, token: processToken });
  stack.defer(() => control.close());
  // As in a cluster: with no more rights than the file has that people apply.
  await kubectl(["apply", "-f", "deploy/operator/role.yaml"]);
  await kubectl(["create", "rolebinding", "wharfinger-operator", "--role=wharfinger-operator", `--serviceaccount=${namespace}:default`]);
  kubeconfig = await api.serviceAccountKubeconfig(namespace, "default");
  operator = await start();
  stack.defer(async () => void (await operator.stop()));
});
afterAll(() => stack.disposeAsync());

test("what is applied is committed, published, and Ready", async () => {
  await eventually(async () => expect((await fetch(`${operator.url}/readyz`)).status).toBe(200), 30);
  await kubectl(["apply", "-f", "-"], `${upstream()}---${tagPolicy}`);
  await ready("upstream/chainguard");
  await ready("tagpolicy/nginx");
  const subjects = git("log", "--format=%s");
  expect(subjects).toContain(`upstream ${namespace}/chainguard: generation 1`);
  expect(subjects).toContain(`tagpolicy ${namespace}/nginx: generation 1`);
  expect(await control.record()).toMatchObject({ revision: git("rev-parse", "HEAD") });
  const status = JSON.parse(await kubectl(["get", "upstream/chainguard", "-o", "jsonpath={.status}"])) as Record<string, unknown>;
  expect(status).toMatchObject({
    observedGeneration: 1,
    recordedGeneration: 1,
    revision: git("log", "-1", "--format=%H", "--", "upstreams"),
  });
  await eventually(async () =>
    expect(await kubectl(["events", "--for", "upstream/chainguard"])).toMatch(/Normal\s+Succeeded.*served as of/),
  );
  expect(await kubectl(["get", "wharfinger"])).toMatch(/chainguard\s+cgr\s+https:\/\/cgr\.example\.org\s+True\s+Succeeded/);
});

test("what cannot be is said where one looks, and mended by the next apply", async () => {
  await kubectl(["apply", "-f", "-"], upstream(", auth: {secretRef: {name: missing}}"));
  await kubectl([
    "wait",
    "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}=SecretNotFound",
    "upstream/chainguard",
    "--timeout=60s",
  ]);
  await kubectl(["apply", "-f", "-"], upstream());
  await eventually(
    async () => expect(await kubectl(["get", "upstream/chainguard", "-o", "jsonpath={.status.observedGeneration}"])).toBe("3"),
    30,
  );
  await ready("upstream/chainguard");
});

test("while nothing happens nothing is written but the Lease", async () => {
  interface Listed {
    readonly items: readonly {
      readonly metadata: { readonly name: string; readonly resourceVersion: string };
      readonly status?: unknown;
    }[];
  }
  const written = async () => {
    const { items } = JSON.parse(await kubectl(["get", "upstreams,tagpolicies,configmaps,events", "-o", "json"])) as Listed;
    return items.map(({ metadata: { name, resourceVersion }, status }) => ({ name, resourceVersion, status }));
  };
  const renewed = async () => kubectl(["get", "lease/wharfinger", "-o", "jsonpath={.spec.renewTime}"]);
  // The last thing that there is to say of an Upstream: the registry is asked every ten seconds what it has heard of it.
  await kubectl([
    "wait",
    "--for=jsonpath={.status.conditions[?(@.type=='Reachable')].reason}=NotAsked",
    "upstream/chainguard",
    "--timeout=60s",
  ]);
  const head = git("rev-parse", "HEAD");
  const before = await written();
  // As long as the pause between two rounds: one is among them.
  for (let renewal = 0; renewal < 16; renewal++) {
    const last = await renewed();
    await eventually(async () => expect(await renewed()).not.toBe(last));
  }
  expect(await written()).toEqual(before);
  expect(git("rev-parse", "HEAD")).toBe(head);
});

test("a revert in the record holds, also over the next operator, and is told of", async () => {
  await kubectl(["apply", "-f", "-"], upstream(', repositories: {include: ["chainguard/**"]}'));
  await eventually(
    async () => expect(await kubectl(["get", "upstream/chainguard", "-o", "jsonpath={.status.recordedGeneration}"])).toBe("4"),
    30,
  );
  git("revert", "--no-edit", "HEAD");
  await kubectl(["wait", "--for=condition=Overridden", "upstream/chainguard", "--timeout=60s"]);
  await ready("upstream/chainguard");
  const reverted = git("rev-parse", "HEAD");
  expect({ code: await operator.stop(), logs: operator.logs() }).toMatchObject({ code: 0 });
  expect(await kubectl(["get", "lease/wharfinger", "-o", "jsonpath={.spec.holderIdentity}"]), "handed over").toBe("");
  operator = await start();
  await eventually(async () => expect(operator.logs()).toContain("the Lease is ours"));
  await kubectl(["apply", "-f", "-"], upstream(', repositories: {include: ["chainguard/**"]}'));
  await kubectl(["annotate", "upstream/chainguard", "wharfinger.dev/requestedAt=now"]);
  await kubectl(["wait", "--for=jsonpath={.status.lastHandledReconcileAt}=now", "upstream/chainguard", "--timeout=60s"]);
  expect(git("rev-parse", "HEAD")).toBe(reverted);
  expect(await control.record()).toMatchObject({ revision: reverted });
  expect(await kubectl(["get", "upstream/chainguard", "-o", "jsonpath={.status.conditions[?(@.type=='Overridden')].message}"])).toContain(
    "Jane Doe",
  );
});

test("a change of the resource ends the override, and says whose", async () => {
  await kubectl(["apply", "-f", "-"], upstream(', repositories: {include: ["library/**"]}'));
  await eventually(
    async () => expect(await kubectl(["get", "upstream/chainguard", "-o", "jsonpath={.status.recordedGeneration}"])).toBe("5"),
    30,
  );
  expect(git("log", "-1", "--format=%s")).toContain("ends override");
  await eventually(async () =>
    expect(await kubectl(["events", "--for", "upstream/chainguard"])).toMatch(/Warning\s+OverrideEnded.*by Jane Doe/),
  );
  expect(await kubectl(["get", "upstream/chainguard", "-o", "jsonpath={.status.conditions[?(@.type=='Overridden')].status}"])).toBe("");
});

test("what is deleted is removed from the record", async () => {
  await kubectl(["delete", "tagpolicy/nginx", "upstream/chainguard"]);
  await eventually(() => expect(git("ls-files", "upstreams", "tagpolicies")).toBe(""), 30);
  await eventually(async () => expect(await control.record()).toMatchObject({ revision: git("rev-parse", "HEAD") }));
});

test("many that go at once wait for a person's word, by an annotation that is taken once", async () => {
  const many = ["a", "b", "c", "d", "e"].map((name) =>
    upstream().replace("{name: chainguard}", `{name: ${name}}`).replace("prefix: cgr", `prefix: ${name}`),
  );
  await kubectl(["apply", "-f", "-"], many.join("---"));
  await ready("upstream", ["--all"]);
  await kubectl(["delete", "upstream", "--all"]);
  await eventually(() => expect(operator.logs()).toContain("5 resources are gone at once"), 30);
  const [, command = "", commit = ""] =
    /To remove them: (kubectl -n \S+ annotate --overwrite (?:.*?)=([0-9a-f]{40}))/.exec(operator.logs()) ?? [];
  expect(commit).toBe(git("rev-parse", "HEAD"));
  expect(git("ls-files", "upstreams").split("\n")).toHaveLength(5);
  await kubectl(command.split(" ").slice(3));
  await eventually(() => expect(git("ls-files", "upstreams")).toBe(""), 30);
  await eventually(async () => expect(await kubectl(["get", "configmap/wharfinger", "-o", "jsonpath={.metadata.annotations}"])).toBe(""));
  expect(await kubectl(["events", "--for", "configmap/wharfinger"])).toContain(`confirm-removal ${commit}: heard`);
});

test("two operators are one: the second waits, and leads when the first has died", async () => {
  const second = await start();
  stack.defer(async () => void (await second.stop()));
  await eventually(() => expect(second.logs()).toContain("this process waits for its turn"), 30);
  expect((await fetch(`${second.url}/readyz`)).status).toBe(200);
  expect(await (await fetch(`${second.url}/metrics`)).text()).toContain(`leader_election_master_status{name="${namespace}/wharfinger"} 0`);
  await operator.kill9();
  await eventually(() => expect(second.logs()).toContain("the Lease is ours"), 60);
  await kubectl(["apply", "-f", "-"], upstream());
  await ready("upstream/chainguard");
});

test("an operator whose Lease is taken ends", async () => {
  const home = await createNamespace(api);
  // Two installations on one registry would be another test.
  const nowhere = "http://127.0.0.1:9";
  const alone = await startOperatorProcess({
    kubeconfig: api.kubeconfig,
    namespaces: [home],
    registry: nowhere,
    record: join(folder, "other"),
  });
  stack.defer(() => alone.kill9());
  await eventually(() => expect(alone.logs()).toContain("the Lease is ours"), 30);
  await api.send("PATCH", `${paths.leases(home)}/wharfinger`, {
    body: { spec: { holderIdentity: "another" } },
    contentType: "application/merge-patch+json",
  });
  expect(await alone.exited).toBe(1);
  expect(alone.logs()).toContain("another holds it");
});
