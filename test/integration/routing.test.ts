// One host, several registries: the team's own names, an Upstream's prefix, and containerd's `?ns=`. The upstream is a registry of our own.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { defaultSettings } from "../../src/config/settings.ts";
import { digestOf, pushImage } from "../conformance/content.ts";
import { send } from "../support/http.ts";
import { publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";

let upstream: TestRegistry;
let registry: TestRegistry;
let url: string;
let digest: string;

beforeAll(async () => {
  const settings = {
    ...defaultSettings,
    externalURL: "https://registry.example.com:5000",
    access: { ...defaultSettings.access, hosts: ["images.internal", "127.0.0.1"] },
  };
  [upstream, registry] = await Promise.all([startTestRegistry(), startTestRegistry({ settings })]);
  url = registry.url;
  digest = (await pushImage(upstream.url, "chainguard/nginx", "latest")).digest;
  await pushImage(upstream.url, "secret/app", "latest");
  await pushImage(url, "team/app", "latest");
  const spec = (part: object) => ({
    url: upstream.url,
    insecure: true,
    repositories: { include: ["**"], exclude: ["secret/**"] },
    ...part,
  });
  await publishFirst(url, [
    { kind: "Upstream", name: "cgr", spec: spec({ prefix: "cgr", hosts: ["cgr.dev"] }) },
    { kind: "Upstream", name: "short", spec: spec({ prefix: "cg", repositoryPrefix: "chainguard" }) },
  ]);
});
afterAll(async () => {
  await registry.stop();
  await upstream.stop();
});

describe("pulls", () => {
  test.each([
    ["by prefix", "cgr/chainguard/nginx", ""],
    ["by a prefix with a repository prefix", "cg/nginx", ""],
    ["by ns", "chainguard/nginx", "?ns=cgr.dev"],
    ["by prefix, under our own name as ns", "cgr/chainguard/nginx", "?ns=Registry.example.com:5000"],
    ["by prefix, under another name of ours as ns", "cgr/chainguard/nginx", "?ns=images.internal"],
  ])("%s", async (_, name, query) => {
    for (const method of ["HEAD", "GET"]) {
      const reply = await send(url, method, `/v2/${name}/manifests/latest${query}`);
      expect([reply.status, reply.headers["docker-content-digest"]]).toEqual([200, digest]);
      expect(reply.headers["oci-namespace"]).toBe(new URLSearchParams(query).get("ns") ?? undefined);
    }
    const blob = await send(url, "GET", `/v2/${name}/blobs/${digestOf("{}")}${query}`);
    expect([blob.status, blob.body.toString()]).toEqual([200, "{}"]);
    expect((await send(url, "GET", `/v2/${name}/tags/list${query}`)).json()).toEqual({ name, tags: ["latest"] });
  });

  test.each([
    ["an unknown ns", "chainguard/nginx/manifests/latest?ns=ghcr.io"],
    ["an empty ns", "chainguard/nginx/manifests/latest?ns="],
    ["our own name under an unknown ns", "team/app/manifests/latest?ns=example.com"],
    ["what the filter leaves out", "cgr/secret/app/manifests/latest"],
    ["the same by ns", "secret/app/manifests/latest?ns=cgr.dev"],
    ["a prefix alone", "cgr/manifests/latest"],
    ["what upstream does not have", "cgr/nobody/manifests/latest"],
  ])("%s is 404 NAME_UNKNOWN or MANIFEST_UNKNOWN", async (_, path) => {
    const reply = await send(url, "GET", `/v2/${path}`);
    expect(reply.status).toBe(404);
    expect(["NAME_UNKNOWN", "MANIFEST_UNKNOWN"]).toContain(reply.code());
  });

  test("an unknown ns is answered at once, whatever credentials came", async () => {
    const reply = await send(url, "GET", "/v2/a/b/manifests/latest?ns=ghcr.io", { headers: { authorization: "Basic bm9ib2R5Ong=" } });
    expect([reply.status, reply.code()]).toEqual([404, "NAME_UNKNOWN"]);
  });

  test("own names are served beside them", async () => {
    expect((await send(url, "GET", "/v2/team/app/manifests/latest")).status).toBe(200);
  });
});

test.each([
  ["POST", "cgr/new/app/blobs/uploads/"],
  ["PUT", "cgr/chainguard/nginx/manifests/latest"],
  ["DELETE", "cgr/chainguard/nginx/manifests/latest"],
  ["DELETE", `cgr/chainguard/nginx/blobs/${digestOf("{}")}`],
  ["POST", "chainguard/nginx/blobs/uploads/?ns=cgr.dev"],
])("%s %s is 405 under a prefix", async (method, path) => {
  const reply = await send(url, method, `/v2/${path}`, method === "DELETE" ? {} : { body: "{}" });
  expect([reply.status, reply.code()]).toEqual([405, "UNSUPPORTED"]);
});
