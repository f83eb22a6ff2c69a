// The resources of a cluster as the control plane sees them: all of them or "not all", with the Secrets that they name.

import { pino } from "pino";
import { afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";

import { ClusterSource, type ClusterSourceOptions } from "../../src/operator/kube/cluster-source.ts";
import { clientBy } from "../support/cluster-access.ts";
import { applyDefinitions } from "../support/definitions.ts";
import { eventually } from "../support/eventually.ts";
import type { KubernetesApi } from "../support/kubernetes-access.ts";
import { createNamespace, startApiServer } from "../support/kubernetes.ts";
import { accepted, create, resourcePath } from "../support/resource-api.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

let shared: KubernetesApi;
let namespace: string;
let stack: AsyncDisposableStack;
beforeAll(async () => {
  shared = await sharedApiServer();
});
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  namespace = await createNamespace(shared);
});
afterEach(() => stack.disposeAsync());

interface Opened {
  readonly source: ClusterSource;
  readonly heard: () => number;
}

async function open(kubeconfig: string, options: Partial<ClusterSourceOptions> = {}): Promise<Opened> {
  const client = await clientBy(kubeconfig);
  const times = { firstPause: 50, longestPause: 500, watchFor: 2 };
  const source = new ClusterSource({ client, namespaces: [namespace], logger: pino({ level: "silent" }), times, ...options });
  stack.defer(() => client.close());
  stack.defer(() => source.stop());
  let heard = 0;
  source.onChange(() => heard++);
  await source.start();
  return { source, heard: () => heard };
}

const upstream = async (name: string, spec: object = {}) =>
  accepted(await create(shared, { kind: "Upstream", name, spec: { url: "https://example.org", prefix: name, ...spec } }, { namespace }));
const secret = (name: string, data: Record<string, string>, api = shared) =>
  api.kubectl([
    "-n",
    namespace,
    "create",
    "secret",
    "generic",
    name,
    ...Object.entries(data).map(([key, value]) => `--from-literal=${key}=${value}`),
  ]);
const namesIn = (source: ClusterSource) =>
  source
    .snapshot()
    .resources.map(({ name }) => name)
    .sort();
const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : new TextDecoder().decode(bytes));

test("resources come with their generation and annotations, change, and go", async () => {
  await upstream("one");
  const { source } = await open(shared.kubeconfig);
  expect(source.snapshot()).toMatchObject({
    complete: true,
    problems: [],
    resources: [{ kind: "Upstream", namespace, name: "one", generation: 1 }],
  });
  await shared.kubectl(["-n", namespace, "annotate", "upstream/one", "wharfinger.dev/requestedAt=now"]);
  await shared.kubectl(["-n", namespace, "patch", "upstream/one", "--type=merge", "-p", '{"spec":{"offline":true}}']);
  await eventually(() =>
    expect(source.snapshot().resources).toMatchObject([
      { generation: 2, annotations: { "wharfinger.dev/requestedAt": "now" }, spec: { offline: true } },
    ]),
  );
  await shared.send("DELETE", resourcePath("Upstream", namespace, "one"));
  await eventually(() => expect(source.snapshot()).toMatchObject({ complete: true, resources: [] }));
});

test("a status that is written is no news", async () => {
  await upstream("one");
  const { source, heard } = await open(shared.kubeconfig);
  const before = heard();
  await shared.send("PATCH", `${resourcePath("Upstream", namespace, "one")}/status`, {
    body: { status: { revision: "abc" } },
    contentType: "application/merge-patch+json",
  });
  await eventually(() =>
    expect(source.object({ kind: "Upstream", namespace, name: "one" })).toMatchObject({ status: { revision: "abc" } }),
  );
  // By then the last look has told what it had to tell.
  await source.lookNow();
  expect(heard()).toBe(before);
});

test("Secrets and ConfigMaps are had that a resource names, with what is in them now, and no others", async () => {
  await secret("named", { username: "ann", password: "one" });
  await secret("other", { "cosign.pub": "public", "cosign.key": "not for us" });
  await upstream("one", { auth: { secretRef: { name: "named" } } });
  const { source } = await open(shared.kubeconfig);
  expect(text(source.secret(namespace, "named")?.get("password"))).toBe("one");
  expect(source.secret(namespace, "other")).toBeUndefined();
  await shared.kubectl(["-n", namespace, "patch", "secret/named", "--type=merge", "-p", '{"stringData":{"password":"two"}}']);
  await eventually(() => expect(text(source.secret(namespace, "named")?.get("password"))).toBe("two"));
  await shared.kubectl(["-n", namespace, "delete", "secret/named"]);
  await eventually(() => expect(source.secret(namespace, "named")).toBeUndefined());

  const root = { name: "root" };
  await shared.kubectl(["-n", namespace, "create", "configmap", "root", "--from-literal=trusted_root.json={}"]);
  const verify = { mode: "Verified", keys: [{ secretRef: { name: "other" } }], trustedRoot: { configMapRef: root } };
  const spec = { upstreamRef: { name: "one" }, images: [{ repository: "a" }], verify };
  accepted(await create(shared, { kind: "TagPolicy", name: "tags", spec }, { namespace }));
  await eventually(() => expect(namesIn(source)).toEqual(["one", "tags"]));
  // In the same picture: nobody sees the policy before its Secret.
  const others = [...(source.secret(namespace, "other") ?? [])].map(([key, bytes]) => [key, text(bytes)] as const);
  expect(Object.fromEntries(others)).toEqual({ "cosign.key": "", "cosign.pub": "public" });
  expect(text(source.configMap(namespace, "root")?.get("trusted_root.json"))).toBe("{}");
});

test("of a Secret or ConfigMap that nobody names only its name and version are kept, and what becomes of it is no look", async () => {
  const apply = async (name: string, data: string, labels = {}) => {
    const input = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, labels }, data: { "trusted_root.json": data } });
    expect(await shared.kubectl(["-n", namespace, "apply", "-f", "-"], { input })).toMatchObject({ code: 0 });
  };
  await apply("other", "none of our business", { a: "b" });
  await apply("root", "one");
  await upstream("one");
  const verify = { mode: "Verified", keys: [{ secretRef: { name: "keys" } }], trustedRoot: { configMapRef: { name: "root" } } };
  const spec = { upstreamRef: { name: "one" }, images: [{ repository: "a" }], verify };
  accepted(await create(shared, { kind: "TagPolicy", name: "tags", spec }, { namespace }));
  const { source } = await open(shared.kubeconfig, { times: {} });
  const known = (name: string) => source.configMaps(namespace)?.items.get(name);
  const { resourceVersion } = known("other")?.metadata ?? {};
  expect(known("other")).toEqual({ metadata: { name: "other", namespace, uid: expect.any(String), resourceVersion } });
  const looks = vi.spyOn(source, "look");
  await apply("other", "changed");
  await eventually(() => expect(known("other")?.metadata.resourceVersion).not.toBe(resourceVersion));
  expect(looks).not.toHaveBeenCalled();
  await apply("root", "two");
  await eventually(() => expect(text(source.configMap(namespace, "root")?.get("trusted_root.json"))).toBe("two"));
});

test("a namespace that is not ours to look at makes the picture incomplete, and shows nothing of it", async () => {
  await upstream("one");
  let barred: string | undefined = "the Lease is held by another installation";
  const { source } = await open(shared.kubeconfig, { barred: () => barred });
  expect(source.snapshot()).toMatchObject({
    complete: false,
    resources: [],
    problems: [{ source: `namespace ${namespace}`, message: barred }],
  });
  barred = undefined;
  source.look();
  await eventually(() => expect(source.snapshot()).toMatchObject({ complete: true, problems: [], resources: [{ name: "one" }] }));
});

test("who has one namespace, and what becomes of it, keeps nothing that was deleted in another one", async () => {
  const home = namespace;
  const [held, leaving] = [await createNamespace(shared), await createNamespace(shared)];
  await upstream("one");
  const barred = (name: string) => (name === held ? "the Lease is held by another installation" : undefined);
  namespace = leaving;
  await upstream("two");
  const { source } = await open(shared.kubeconfig, { namespaces: [home, held, leaving], barred });
  await shared.send("DELETE", `/api/v1/namespaces/${leaving}`);
  // Nobody is there who would empty it, so the test does.
  await shared.send("DELETE", resourcePath("Upstream", leaving, "two"));
  await shared.send("DELETE", resourcePath("Upstream", home, "one"));
  const unread = () => [...source.snapshot().namespaces].filter(([, { whole }]) => !whole).map(([name]) => name);
  await eventually(() => expect(source.snapshot()).toMatchObject({ complete: false, resources: [] }));
  await eventually(() => expect(unread()).toEqual([held, leaving]));
  expect(source.obstacles()).toEqual([]);
});

test("what goes with its namespace does not count as deleted", async () => {
  await upstream("one");
  await upstream("two");
  const { source } = await open(shared.kubeconfig);
  await shared.send("DELETE", resourcePath("Upstream", namespace, "one"));
  await eventually(() => expect(source.snapshot()).toMatchObject({ complete: true, resources: [{ name: "two" }] }));
  // Nobody is there who would empty it, so the test does.
  await shared.send("DELETE", `/api/v1/namespaces/${namespace}`);
  await shared.send("DELETE", resourcePath("Upstream", namespace, "two"));
  const message = "it is being deleted: what goes with it is served on";
  await eventually(() =>
    expect(source.snapshot()).toMatchObject({ complete: false, resources: [], problems: [{ source: `namespace ${namespace}`, message }] }),
  );
  // Also for who comes only now.
  const late = await open(shared.kubeconfig);
  expect(late.source.snapshot()).toMatchObject({ complete: false });
  expect(late.source.obstacles()).toEqual([message]);
});

test("a namespace that was made anew is told from the one before", async () => {
  const api = await startApiServer({ controllers: true });
  stack.defer(() => api.stop());
  await applyDefinitions(api);
  namespace = await createNamespace(api);
  const made = { kind: "Upstream", name: "one", spec: { url: "https://example.org", prefix: "one" } } as const;
  accepted(await create(api, made, { namespace }));
  const { source } = await open(api.kubeconfig);
  const uid = () => source.snapshot().namespaces.get(namespace)?.uid;
  const before = uid();
  expect(before).toMatch(/^[0-9a-f-]{36}$/);
  expect(source.snapshot().resources).toMatchObject([{ name: "one", namespaceUid: before }]);
  expect(await api.kubectl(["delete", "namespace", namespace, "--wait"])).toMatchObject({ code: 0 });
  await eventually(() => expect(source.snapshot()).toMatchObject({ complete: false, resources: [] }));
  expect(await api.kubectl(["create", "namespace", namespace])).toMatchObject({ code: 0 });
  accepted(await create(api, made, { namespace }));
  await eventually(() => expect(source.snapshot()).toMatchObject({ complete: true, resources: [{ name: "one" }] }));
  expect(uid()).not.toBe(before);
  expect(source.snapshot().resources).toMatchObject([{ namespaceUid: uid() }]);
});

test("the rights of deploy/operator are enough, and without them it is said what is missing", async () => {
  await upstream("one", { auth: { secretRef: { name: "named" } } });
  await secret("named", { password: "one" });
  const { source } = await open(await shared.serviceAccountKubeconfig(namespace, "default"));
  expect(source.snapshot()).toMatchObject({ complete: false, resources: [] });
  expect(source.obstacles()).toContainEqual(
    expect.stringContaining(`may not list and watch upstreams in namespace ${namespace}: give its ServiceAccount the Role there`),
  );
  expect(await shared.kubectl(["-n", namespace, "apply", "-f", "deploy/operator/role.yaml"])).toMatchObject({ code: 0 });
  const binding = ["create", "rolebinding", "wharfinger-operator", "--role=wharfinger-operator", `--serviceaccount=${namespace}:default`];
  expect(await shared.kubectl(["-n", namespace, ...binding])).toMatchObject({ code: 0 });
  await eventually(() => expect(source.obstacles()).toEqual([]));
  await eventually(() => expect(source.snapshot()).toMatchObject({ complete: true, resources: [{ name: "one" }] }));
  await eventually(() => expect(text(source.secret(namespace, "named")?.get("password"))).toBe("one"));
});

test("definitions that are not installed, or are taken away, delete nothing", async () => {
  const bare = await startApiServer();
  stack.defer(() => bare.stop());
  namespace = await createNamespace(bare);
  const { source } = await open(bare.kubeconfig);
  expect(source.snapshot()).toMatchObject({ complete: false, resources: [] });
  expect(source.obstacles()).toContain(
    "the API server does not know upstreams of wharfinger.dev: install the definitions (kubectl apply -f crds/)",
  );
  expect(await bare.kubectl(["apply", "-f", "crds/"])).toMatchObject({ code: 0 });
  await eventually(() => expect(source.snapshot()).toMatchObject({ complete: true, problems: [] }));
  // Without objects in it a definition goes at once.
  expect(await bare.kubectl(["delete", "crd", "upstreams.wharfinger.dev"])).toMatchObject({ code: 0 });
  await eventually(() => expect(source.snapshot().complete).toBe(false));
});
