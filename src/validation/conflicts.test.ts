import { expect, test } from "vitest";

import type { TagPolicySpec, UpstreamSpec } from "../api/kinds.ts";
import { findConflicts, type JudgedResource } from "./conflicts.ts";

const upstream = (name: string, spec: Partial<UpstreamSpec>): JudgedResource => ({
  kind: "Upstream",
  namespace: "default",
  name,
  spec: { prefix: name, hosts: [], ...spec } as UpstreamSpec,
});
const policy = (name: string, upstreamName: string, repositories: readonly string[], namespace = "default"): JudgedResource => ({
  kind: "TagPolicy",
  namespace,
  name,
  spec: { upstreamRef: { name: upstreamName }, images: repositories.map((repository) => ({ repository })) } as unknown as TagPolicySpec,
});
const inShort = (resources: readonly JudgedResource[]) =>
  findConflicts(resources).map(({ resource, reason, path, message }) => [resource.name, reason, path, message]);

test("a prefix belongs to the one that was there first", () => {
  expect(inShort([upstream("a", { prefix: "hub" }), upstream("b", { prefix: "hub" })])).toEqual([
    ["b", "PrefixInUse", "spec.prefix", "prefix hub belongs to upstream default/a, which was there first: choose another prefix"],
  ]);
});

test("a host belongs to one, and Docker Hub's names are one host", () => {
  expect(inShort([upstream("a", { hosts: ["quay.io", "docker.io"] }), upstream("b", { hosts: ["x.io", "registry-1.docker.io"] })])).toEqual(
    [
      [
        "b",
        "HostInUse",
        "spec.hosts[1]",
        "host registry-1.docker.io is answered by upstream default/a, which was there first: remove it here or there",
      ],
    ],
  );
});

test("who loses owns nothing, so a third one may have the rest", () => {
  const resources = [
    upstream("a", { prefix: "hub" }),
    upstream("b", { prefix: "hub", hosts: ["quay.io"] }),
    upstream("c", { hosts: ["quay.io"] }),
  ];
  expect(inShort(resources).map(([name]) => name)).toEqual(["b"]);
});

test("a TagPolicy needs an Upstream that is served, in its own namespace", () => {
  const resources = [
    upstream("cgr", {}),
    upstream("lost", { prefix: "cgr" }),
    policy("a", "cgr", ["x/y"]),
    policy("b", "lost", ["x/z"]),
    policy("c", "cgr", ["x/v"], "team-a"),
  ];
  expect(inShort(resources).slice(1)).toEqual([
    [
      "b",
      "DependencyNotReady",
      "spec.upstreamRef.name",
      "there is no upstream default/lost that is served: create it, or name another one of the same namespace",
    ],
    [
      "c",
      "DependencyNotReady",
      "spec.upstreamRef.name",
      "there is no upstream team-a/cgr that is served: create it, or name another one of the same namespace",
    ],
  ]);
});

test("a repository has one TagPolicy; only that image is in conflict, and order of documents does not matter to references", () => {
  expect(inShort([policy("a", "cgr", ["x/y"]), policy("b", "cgr", ["x/z", "x/y"]), upstream("cgr", {})])).toEqual([
    [
      "b",
      "RepositoryInUse",
      "spec.images[1].repository",
      "x/y gets its versions from tagpolicy default/a, which was there first: remove it here or there",
    ],
  ]);
});
