// Lists to their very end, or an error: what is left out here would be lost. (Everything else: import-source.conformance.ts.)

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, expect, test } from "vitest";

import { digestOf } from "../domain/digest.ts";
import { RunningRegistry } from "./running-registry.ts";

const started: { server: Server; registry: RunningRegistry }[] = [];
afterEach(async () => {
  for (const { server, registry } of started.splice(0)) {
    await registry.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

type Handler = (request: { path: string; query: URLSearchParams; raw: IncomingMessage }, response: ServerResponse) => void;

async function against(handler: Handler): Promise<RunningRegistry> {
  const server = createServer((raw, response) => {
    const url = new URL(raw.url ?? "", "http://here");
    if (url.pathname === "/v2/") response.end("{}");
    else handler({ path: url.pathname, query: url.searchParams, raw }, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const registry = await RunningRegistry.open({ url, credentials: { state: "anonymous" }, credentialsFrom: "--test", allowedHosts: [] });
  started.push({ server, registry });
  return registry;
}

const page = (response: ServerResponse, content: object, next?: string) =>
  response.writeHead(200, next === undefined ? {} : { link: `<${next}>; rel="next"` }).end(JSON.stringify(content));

async function repositories(registry: RunningRegistry): Promise<string[]> {
  const all: string[] = [];
  for await (const name of registry.repositories()) all.push(name);
  return all;
}

test("pages are followed, and a registry that gives fewer entries than it is asked for is asked again", async () => {
  const asked: string[] = [];
  const registry = await against(({ query, raw }, response) => {
    asked.push(raw.url ?? "");
    if (query.get("n") === "1000") return response.writeHead(400).end('{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}');
    if (query.has("last")) return page(response, { repositories: ["c"] });
    return page(response, { repositories: ["a", "b"] }, "/v2/_catalog?last=b");
  });
  expect(await repositories(registry)).toEqual(["a", "b", "c"]);
  expect(asked).toEqual(["/v2/_catalog?n=1000", "/v2/_catalog", "/v2/_catalog?last=b"]);
});

test.each<[string, Handler, object]>([
  [
    "a page that is not there",
    ({ query }, response) => (query.has("last") ? response.writeHead(404).end() : page(response, { tags: ["a"] }, "?last=a")),
    { code: "Failing", message: expect.stringContaining("answers 404 in the middle of the list /v2/app/tags/list") as string },
  ],
  [
    "a page that is no list",
    ({ query }, response) => (query.has("last") ? response.end("<html>") : page(response, { tags: ["a"] }, "?last=a")),
    { code: "Failing", message: expect.stringContaining("something that is not a list") as string },
  ],
  ["a next page elsewhere", (_, response) => page(response, { tags: ["a"] }, "/elsewhere?last=a"), { code: "Unusable" }],
  ["a page that follows itself", ({ raw }, response) => page(response, { tags: ["a"] }, raw.url), { code: "Unusable" }],
])("%s: the list fails", async (_, handler, error) => {
  const registry = await against(handler);
  await expect(registry.tags("app")).rejects.toMatchObject(error);
});

test("without a catalog it is said what to do", async () => {
  const registry = await against((_, response) => response.writeHead(404).end());
  await expect(repositories(registry)).rejects.toMatchObject({
    code: "Unlisted",
    message: expect.stringContaining("it has no catalog). Name them with --repository.") as string,
  });
});

test("referrers, and no more questions where there is no such list", async () => {
  const [subject, referrer] = [digestOf("subject"), digestOf("referrer")];
  const asked: string[] = [];
  const registry = await against(({ path }, response) => {
    asked.push(path);
    if (path.startsWith("/v2/new/")) return page(response, { manifests: [{ digest: referrer }, { digest: "none" }, null] });
    return response.writeHead(404).end();
  });
  expect(await registry.referrers("new", subject)).toEqual([referrer]);
  expect(await registry.referrers("old", subject)).toEqual([]);
  expect(await registry.referrers("old", subject)).toEqual([]);
  expect(asked).toHaveLength(2);
});

test("a manifest in schema 1 is told apart from wrong bytes", async () => {
  const registry = await against(({ path }, response) =>
    response
      .writeHead(200, {
        "content-type": path.endsWith(digestOf("old")) ? "application/vnd.docker.distribution.manifest.v1+prettyjws" : "application/json",
      })
      .end('{"schemaVersion":1}'),
  );
  await expect(registry.manifest("app", digestOf("old"))).rejects.toMatchObject({ code: "Schema1" });
  await expect(registry.manifest("app", digestOf("new"))).rejects.toMatchObject({ code: "WrongBytes" });
});
