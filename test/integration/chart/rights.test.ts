// Roles of the chart: those of deploy/, and no other.

import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { expect, test } from "vitest";

import { everything, named, objectsOf, ofKind, production, render, reporterAlone, type Rendered } from "../../support/chart.ts";

const deploy = resolve(import.meta.dirname, "../../../deploy");

test.each([
  ["wharfinger-operator", "resources", "operator/role.yaml"],
  ["wharfinger-operator-jobs", "resources", "operator/jobs.yaml"],
  ["wharfinger-operator", "team-a", "watched-namespace/role.yaml"],
  ["wharfinger-operator-credentials", "registry", "credentials-namespace/role.yaml"],
  ["wharfinger-pod-events", "registry", "pod-events/role.yaml"],
  ["wharfinger-administrator", "registry", "cli/administrator.yaml"],
  ["wharfinger-administrator-resources", "resources", "cli/resources.yaml"],
  ["wharfinger-administrator-resources", "team-a", "cli/resources.yaml"],
])("the Role %s in %s is that of deploy/%s", async (name, namespace, file) => {
  const written = objectsOf(await readFile(join(deploy, file), "utf8"));
  const { rules } = named(await render(everything), "Role", name, namespace);
  expect(rules).toEqual(ofKind(written, "Role")[0]?.rules);
});

test("there is no Role but these, and the one ClusterRole of an account is the reporter's", async () => {
  const objects = await render(everything);
  expect(ofKind(objects, "Role")).toHaveLength(8);
  const bound = (all: typeof objects) => ofKind(all, "ClusterRoleBinding").map(({ metadata }) => metadata.name);
  expect(bound(objects)).toEqual(["registry:wharfinger-reporter"]);
  expect(bound(await render(production))).toEqual([]);
  expect(bound(await render({ ...reporterAlone, reporter: { cluster: "edge", namespaces: ["team-a"] } }))).toEqual([]);
});

test("ClusterRoles that nobody is bound to belong to Kubernetes' own roles: view reads, edit writes, admin says who may what", async () => {
  const of = (objects: readonly Rendered[]) =>
    ofKind(objects, "ClusterRole")
      .filter(({ metadata }) => metadata.name !== "registry:wharfinger-reporter")
      .map(({ metadata, rules }) => {
        const label = Object.keys(metadata.labels ?? {}).find((name) => name.includes("/aggregate-to-"));
        return [label?.split("-to-")[1], rules.map(({ resources, verbs }) => `${verbs?.[0]} ${resources?.join(",")}`)];
      });
  expect(of(await render(everything))).toEqual([
    ["admin", ["create accesspolicies"]],
    ["edit", ["create upstreams,tagpolicies,retentionpolicies"]],
    ["view", ["get upstreams,tagpolicies,retentionpolicies,accesspolicies"]],
  ]);
  expect(of(await render({ ...everything, crds: { enabled: false } }))).toEqual([]);
  expect(of(await render({ ...everything, crds: { roles: false } }))).toEqual([]);
});

test("each program knows its own Pod, and may say in its events what is in the way", async () => {
  const objects = await render(everything);
  for (const { spec } of ofKind(objects, "Deployment")) {
    const names = spec.template.spec.containers[0]?.env?.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["POD_NAME", "POD_NAMESPACE", "POD_UID"]));
  }
  const bound = named(objects, "RoleBinding", "wharfinger-pod-events") as unknown as {
    readonly subjects: readonly { readonly name: string }[];
  };
  expect(bound.subjects.map(({ name }) => name).sort()).toEqual(["wharfinger-operator", "wharfinger-registry", "wharfinger-reporter"]);
});
