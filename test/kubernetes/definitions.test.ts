// What a person sees of our kinds with kubectl, and what an API server makes of their definitions.

import { beforeAll, expect, test } from "vitest";

import { kinds, type Kind } from "../../src/domain/resource.ts";
import type { Schema } from "../../src/validation/crds.ts";
import type { KubernetesApi } from "../support/kubernetes-access.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { accepted, create, resourcePath, toObject, type StoredResource } from "../support/resource-api.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

const specs: Readonly<Record<Kind, object>> = {
  Upstream: { url: "https://cgr.dev", prefix: "cgr" },
  TagPolicy: { upstreamRef: { name: "example" }, images: [{ repository: "chainguard/nginx" }], verify: { mode: "Unverified" } },
  RetentionPolicy: { repositories: { include: ["team-a/**"] }, keep: [{ name: "releases", tags: "^v.*" }] },
  AccessPolicy: { subjects: [{ kind: "Anonymous" }], repositories: { include: ["**"] }, actions: ["pull", "push"] },
};
const ready = {
  type: "Ready",
  status: "True",
  reason: "Published",
  message: "served",
  lastTransitionTime: "2026-01-01T00:00:00Z",
  observedGeneration: 1,
};
const statuses: Readonly<Record<Kind, object>> = {
  Upstream: { conditions: [ready, { ...ready, type: "Reachable", status: "False" }] },
  TagPolicy: { tags: 212, images: { total: 40, failed: 1 } },
  RetentionPolicy: { lastRun: { kept: 7, planned: 3, deleted: 2, finishedAt: "2020-01-01T00:00:00Z" } },
  AccessPolicy: { subjects: "Anonymous" },
};

let api: KubernetesApi;
let namespace: string;
beforeAll(async () => {
  api = await sharedApiServer();
  namespace = await createNamespace(api);
  for (const kind of kinds) {
    accepted(await create(api, { kind, name: "example", spec: specs[kind] }, { namespace }));
    await setStatus(kind, { observedGeneration: 1, conditions: [ready], ...statuses[kind] });
  }
});

async function get(kind: Kind): Promise<StoredResource> {
  return (await api.send<StoredResource>("GET", resourcePath(kind, namespace, "example"))).body;
}

async function setStatus(kind: Kind, status: object): Promise<void> {
  const path = `${resourcePath(kind, namespace, "example")}/status`;
  accepted(await api.send<StoredResource>("PUT", path, { body: { ...(await get(kind)), status } }));
}

async function kubectl(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await api.kubectl(["-n", namespace, ...args]);
  if (code !== 0) throw new Error(`kubectl ${args.join(" ")} ended with ${code}: ${stderr}`);
  return stdout;
}

test("kubectl get wharfinger shows every kind, with what matters of it", async () => {
  const tables = (await kubectl("get", "wharfinger")).trim().split("\n\n");
  const cells = tables.map((table) => table.split("\n").map((line) => line.split(/ {2,}/)));
  const [access, retention, tags, upstream] = cells.sort(([, [a = ""] = []], [, [b = ""] = []]) => (a < b ? -1 : 1));
  const age = expect.stringMatching(/^\d+[smh]/) as string;
  expect(access).toEqual([
    ["NAME", "SUBJECTS", "ACTIONS", "REPOSITORIES", "READY", "REASON", "AGE"],
    ["accesspolicy.wharfinger.dev/example", "Anonymous", '["pull","push"]', '["**"]', "True", "Published", age],
  ]);
  expect(retention).toEqual([
    ["NAME", "ACTION", "KEPT", "PLANNED", "DELETED", "LAST RUN", "READY", "REASON", "AGE"],
    ["retentionpolicy.wharfinger.dev/example", "Plan", "7", "3", "2", expect.stringMatching(/y|d$/), "True", "Published", age],
  ]);
  expect(tags).toEqual([
    ["NAME", "UPSTREAM", "VERIFY", "TAGS", "FAILED", "READY", "REASON", "AGE"],
    ["tagpolicy.wharfinger.dev/example", "example", "Unverified", "212", "1", "True", "Published", age],
  ]);
  expect(upstream).toEqual([
    ["NAME", "PREFIX", "URL", "REACHABLE", "READY", "REASON", "AGE"],
    ["upstream.wharfinger.dev/example", "cgr", "https://cgr.dev", "False", "True", "Published", age],
  ]);
});

test.each([
  ["upst", "upstream"],
  ["tagpol", "tagpolicy"],
  ["retpol", "retentionpolicy"],
  ["accpol", "accesspolicy"],
])("%s is short for %s", async (short, singular) => {
  expect((await kubectl("get", short, "-o", "name")).trim()).toBe(`${singular}.wharfinger.dev/example`);
});

test("kubectl wait sees Ready, and a generation that nobody has looked at", async () => {
  expect(await kubectl("wait", "--for=condition=Ready", "upst/example", "--timeout=120s")).toContain("condition met");
  accepted(await create(api, { kind: "Upstream", name: "fresh", spec: { url: "https://quay.io", prefix: "quay" } }, { namespace }));
  const { body } = await api.send<StoredResource>("GET", resourcePath("Upstream", namespace, "fresh"));
  expect(body.status).toEqual({ observedGeneration: -1 });
});

test("kubectl apply refuses a field that nobody knows", async () => {
  const object = toObject({ kind: "Upstream", name: "typo", spec: { url: "https://cgr.dev", prefix: "typo", prefx: "cgr" } });
  const { code, stderr } = await api.kubectl(["-n", namespace, "apply", "-f", "-"], { input: JSON.stringify(object) });
  expect(code).toBe(1);
  expect(stderr).toContain('unknown field "spec.prefx"');
});

test("the words of a rule are what kubectl says", async () => {
  const object = toObject({ kind: "Upstream", name: "plain", spec: { url: "http://cgr.dev", prefix: "plain" } });
  const { code, stderr } = await api.kubectl(["-n", namespace, "apply", "-f", "-"], { input: JSON.stringify(object) });
  expect(code).toBe(1);
  expect(stderr.trim()).toMatch(
    /^The Upstream "plain" is invalid: spec\.insecure: Invalid value: .*an http url needs insecure: true; better is https$/s,
  );
});

test.each(kinds)("kubectl explain says something of every field of %s", async (kind) => {
  const { body } = await api.send<{ components: { schemas: Record<string, Schema> } }>("GET", "/openapi/v3/apis/wharfinger.dev/v1alpha1");
  const schema = body.components.schemas[`dev.wharfinger.v1alpha1.${kind}`] ?? {};
  const { spec, status } = schema.properties ?? {};
  expect(fieldsOf({ properties: { spec: spec ?? {}, status: status ?? {} } }, "")).not.toEqual([]);
  expect(fieldsOf(schema, "").filter(({ description }) => description === undefined || description.length < 5)).toEqual([]);
  expect(await kubectl("explain", `${kind}.spec.suspend`)).toContain("Stop the controller");
});

interface Field {
  readonly path: string;
  readonly description: string | undefined;
}

function fieldsOf(schema: Schema, path: string): Field[] {
  const inside = Object.entries(schema.properties ?? {}).flatMap(([name, property]): Field[] => [
    { path: `${path}.${name}`, description: property.description },
    // ObjectMeta is Kubernetes' own.
    ...(path === "" && name === "metadata" ? [] : fieldsOf(property, `${path}.${name}`)),
  ]);
  return schema.items === undefined ? inside : [...inside, ...fieldsOf(schema.items, `${path}[]`)];
}

test("conditions are a map by type: two writers keep each other's", async () => {
  const path = `${resourcePath("TagPolicy", namespace, "example")}/status`;
  const apply = (manager: string, conditions: readonly object[]) =>
    api.send<StoredResource>("PATCH", `${path}?fieldManager=${manager}&force=true`, {
      contentType: "application/apply-patch+yaml",
      body: { apiVersion: "wharfinger.dev/v1alpha1", kind: "TagPolicy", metadata: { name: "example" }, status: { conditions } },
    });
  expect((await apply("one", [{ ...ready, type: "Verified" }])).status).toBe(200);
  const { body } = await apply("other", [{ ...ready, type: "Synced" }]);
  const types = ((body.status?.["conditions"] ?? []) as { type: string }[]).map(({ type }) => type);
  expect(types.sort()).toEqual(["Ready", "Synced", "Verified"]);
  expect((await apply("one", [ready, ready])).status).not.toBe(200);
});

test("status is written by its own door, and counts no generation", async () => {
  const before = await get("AccessPolicy");
  const body = { ...before, status: { subjects: "somebody else" } };
  expect((await api.send("PUT", resourcePath("AccessPolicy", namespace, "example"), { body })).status).toBe(200);
  expect((await get("AccessPolicy")).status).toEqual(before.status);
  await setStatus("AccessPolicy", { ...before.status, subjects: "User ci" });
  const after = await get("AccessPolicy");
  expect(after.status).toMatchObject({ subjects: "User ci" });
  expect(after.metadata.generation).toBe(before.metadata.generation);
});
