// What an upgrade, a rollback and a second release meet: fields that Kubernetes lets nobody change, and names that a cluster has once.

import { expect, test } from "vitest";

import { embedded, everything, named, ofKind, production, render, type Rendered, type Values } from "../../support/chart.ts";

/** A release of whatever version selects its Pods by these: a Deployment whose selector is another one is refused. */
const selector = (component: string, release = "wharfinger") => ({
  "app.kubernetes.io/name": "wharfinger",
  "app.kubernetes.io/instance": release,
  "app.kubernetes.io/component": component,
});

const disguises: readonly Values[] = [
  {},
  { nameOverride: "registry" },
  { fullnameOverride: "images" },
  { commonLabels: { "app.kubernetes.io/instance": "other", team: "platform" } },
  { registry: { podLabels: { "app.kubernetes.io/component": "mine" } } },
];

test.each(disguises)("selectors are those of the first version, whatever it is called (%#)", async (values) => {
  const objects = await render({ ...everything, ...values });
  const deployments = ofKind(objects, "Deployment").map(({ spec }) => [spec.selector.matchLabels, spec.template.metadata.labels] as const);
  expect(deployments.map(([chosen]) => chosen)).toEqual(["operator", "registry", "reporter"].map((component) => selector(component)));
  for (const [chosen, labels] of deployments) expect(labels).toMatchObject(chosen);
});

test("kubectl wharfinger finds the Pods by their labels, what tokens are for, and where the operator says how the record stands", async () => {
  const home = async (values: Values) =>
    named(await render(values), "Deployment", "wharfinger-operator").spec.template.metadata.annotations?.[
      "wharfinger.dev/record-namespace"
    ];
  expect([await home(production), await home(everything)]).toEqual([undefined, "resources"]);
  const objects = await render(production);
  for (const component of ["registry", "operator"]) {
    const { metadata } = named(objects, "Deployment", `wharfinger-${component}`).spec.template;
    expect(metadata.labels).toMatchObject({ "app.kubernetes.io/name": "wharfinger", "app.kubernetes.io/component": component });
    expect(metadata.annotations?.["wharfinger.dev/audience"]).toBe("registry.example.com");
  }
});

/** What an API server refuses to change of a claim; its size may grow. */
const fixedOf = ({ metadata, spec }: Rendered) => [metadata.name, spec["accessModes"], spec["storageClassName"], spec["volumeName"]];
const claims = (objects: readonly Rendered[]) => ofKind(objects, "PersistentVolumeClaim").map(fixedOf);

test("claims keep their names and what cannot be changed of them", async () => {
  const record = ["wharfinger-record", ["ReadWriteOnce"], undefined, undefined];
  expect(claims(await render(production))).toEqual([record]);
  const data = ["wharfinger-data", ["ReadWriteOnce"], undefined, undefined];
  const both = [record, data];
  expect(claims(await render(embedded))).toEqual(both);
  const changed = { ...embedded, persistence: { size: "40Gi" }, commonLabels: { team: "platform" }, image: { tag: "9.9.9" } };
  expect(claims(await render(changed))).toEqual(both);
  expect(claims(await render(everything))).toEqual([]);
});

test("what is kept when a release goes: definitions and volumes", async () => {
  const kept = (await render(embedded)).filter(({ metadata }) => metadata.annotations?.["helm.sh/resource-policy"] === "keep");
  expect(kept.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([
    "PersistentVolumeClaim wharfinger-record",
    "PersistentVolumeClaim wharfinger-data",
    "CustomResourceDefinition accesspolicies.wharfinger.dev",
    "CustomResourceDefinition retentionpolicies.wharfinger.dev",
    "CustomResourceDefinition tagpolicies.wharfinger.dev",
    "CustomResourceDefinition upstreams.wharfinger.dev",
  ]);
});

test("a Pod is not replaced because the chart's own version is another", async () => {
  const labels = named(await render(production), "Deployment", "wharfinger-registry").spec.template.metadata.labels;
  expect(Object.keys(labels)).not.toContain("helm.sh/chart");
  expect(Object.keys(labels)).not.toContain("app.kubernetes.io/version");
});

const id = ({ kind, metadata }: Rendered) => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;

test("a second release, in another namespace, has no object of the first", async () => {
  const first = new Set((await render(everything)).map(id));
  const others: readonly (readonly [Values, { readonly name?: string; readonly namespace: string }])[] = [
    // The same name too, as who has a namespace for each stage would call it.
    [{ ...everything, operator: { namespaces: ["staging-resources"] } }, { namespace: "staging" }],
    [production, { name: "second", namespace: "staging" }],
    // Namespace and name end to end, as cluster-wide names are made.
    [
      { ...everything, operator: { namespaces: [] } },
      { name: "wharfinger", namespace: "registry-wharfinger" },
    ],
  ];
  for (const [values, release] of others) {
    const second = (await render({ ...values, crds: { enabled: false } }, release)).map(id);
    expect(second.filter((object) => first.has(object))).toEqual([]);
    expect(second.some((object) => object.startsWith("CustomResourceDefinition"))).toBe(false);
  }
});

test("a name that a cluster has once says where namespace and release meet", async () => {
  const roles = async (name: string, namespace: string) =>
    ofKind(await render({ ...everything, fullnameOverride: name }, { namespace }), "ClusterRole").map(id);
  const [first, second] = [await roles("b-c", "a"), await roles("c", "a-b")];
  expect(first).not.toEqual([]);
  expect(first.filter((role) => second.includes(role))).toEqual([]);
});
