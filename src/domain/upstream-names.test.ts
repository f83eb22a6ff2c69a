import { describe, expect, test } from "vitest";

import { canonicalHost, findByName, findByRepository, type UpstreamNames } from "./upstream-names.ts";

const all = { include: ["**"], exclude: [] };
const hub: UpstreamNames = { url: "https://docker.io", prefix: "hub", repositoryPrefix: "", repositories: all };
const cgr: UpstreamNames = { url: "https://cgr.dev", prefix: "cgr", repositoryPrefix: "", repositories: all };
const chainguard: UpstreamNames = { url: "https://cgr.dev", prefix: "cg", repositoryPrefix: "chainguard", repositories: all };
const some: UpstreamNames = { ...cgr, repositories: { include: ["chainguard/*"], exclude: ["chainguard/secret"] } };

describe("a full name", () => {
  test.each([
    [hub, "hub/alpine", { name: "hub/library/alpine", repository: "library/alpine" }],
    [hub, "hub/library/alpine", { name: "hub/library/alpine", repository: "library/alpine" }],
    [hub, "hub/grafana/grafana", { name: "hub/grafana/grafana", repository: "grafana/grafana" }],
    [cgr, "cgr/static", { name: "cgr/static", repository: "static" }],
    [cgr, "cgr/chainguard/nginx", { name: "cgr/chainguard/nginx", repository: "chainguard/nginx" }],
    [chainguard, "cg/nginx", { name: "cg/nginx", repository: "chainguard/nginx" }],
    [chainguard, "cg/a/b", { name: "cg/a/b", repository: "chainguard/a/b" }],
    [some, "cgr/chainguard/nginx", { name: "cgr/chainguard/nginx", repository: "chainguard/nginx" }],
    [some, "cgr/chainguard/secret", undefined],
    [some, "cgr/other/nginx", undefined],
    [cgr, "cgr", undefined],
    [cgr, "cgrx/nginx", undefined],
  ])("%o: %s", (upstream, name, expected) => {
    expect(findByName(upstream, name)).toEqual(expected);
  });
});

describe("a mirror request", () => {
  test.each([
    [hub, "library/alpine", { name: "hub/library/alpine", repository: "library/alpine" }],
    [hub, "alpine", { name: "hub/library/alpine", repository: "library/alpine" }],
    [chainguard, "chainguard/nginx", { name: "cg/nginx", repository: "chainguard/nginx" }],
    [chainguard, "other/nginx", undefined],
    [chainguard, "chainguard", undefined],
    [some, "other/nginx", undefined],
  ])("%o: %s", (upstream, repository, expected) => {
    expect(findByRepository(upstream, repository)).toEqual(expected);
  });
});

test("Docker Hub has several names", () => {
  expect(["docker.io", "registry-1.docker.io", "Index.Docker.io", "cgr.dev", "host:5000"].map(canonicalHost)).toEqual([
    "docker.io",
    "docker.io",
    "docker.io",
    "cgr.dev",
    "host:5000",
  ]);
});
