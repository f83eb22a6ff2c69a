// Lists that never end, in every way: what they may cost is bounded, and who asks is told why.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, expect, test } from "vitest";

import { digestOf } from "../../domain/digest.ts";
import { EgressPolicy } from "./egress.ts";
import { Requester } from "./requester.ts";
import { UpstreamClient } from "./upstream-client.ts";

const started: { server: Server; requester: Requester }[] = [];
let asked = 0;

afterEach(async () => {
  for (const { server, requester } of started.splice(0)) {
    await requester.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function against(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  { wholeTime, ...options }: { listTime?: number; wholeTime?: number } = {},
): Promise<UpstreamClient> {
  asked = 0;
  const server = createServer((request, response) => {
    asked++;
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const requester = new Requester({
    egress: new EgressPolicy({ allowedCIDRs: [], trustOwnHosts: true }),
    target: {
      key: "default/hub",
      url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
      insecure: true,
      allowedHosts: [],
      credentials: { state: "anonymous" },
      tls: {},
      timeouts: { connect: 2000, firstByte: 10_000, idle: 10_000, ...(wholeTime === undefined ? {} : { whole: wholeTime }) },
      rateLimit: { reservePercent: 0 },
    },
  });
  started.push({ server, requester });
  return new UpstreamClient(requester, options);
}

/** `content` as one page; what follows it is another. */
function page(request: IncomingMessage, response: ServerResponse, content: string | object): void {
  response.writeHead(200, { link: `<${new URL(request.url ?? "/", "http://here").pathname}?last=${asked}>; rel="next"` });
  response.end(typeof content === "string" ? content : JSON.stringify(content));
}

/** `text`, and then a space every 20 ms without end. Resolves when the connection is closed. */
function drip(response: ServerResponse, text: string): Promise<void> {
  response.write(text);
  const timer = setInterval(() => response.write(" "), 20);
  return new Promise((resolve) => response.on("close", () => (clearInterval(timer), resolve())));
}

const tags = (count: number, length = 0) => Array.from({ length: count }, (_, index) => `v${asked}-${index}`.padEnd(length, "x"));
const list = (client: UpstreamClient) => client.tags("team/app", "pull");
const refused = (message: string) => ({ code: "TooLarge", message: expect.stringContaining(message) as string });

test("100,000 tags on one page are a list, each once", async () => {
  const all = tags(100_000);
  const client = await against((_, response) => response.end(JSON.stringify({ tags: all })));
  expect(await list(client)).toEqual(all);
  const twice = await against((request, response) =>
    asked === 1 ? page(request, response, { tags: ["a", "b"] }) : response.end('{"tags":["b","c"]}'),
  );
  expect(await list(twice)).toEqual(["a", "b", "c"]);
});

test("more are refused, on one page or on many", async () => {
  await expect(list(await against((_, response) => response.end(JSON.stringify({ tags: tags(100_001) }))))).rejects.toMatchObject(
    refused("answers tags of team/app with more than 100000 entries, the most that is read"),
  );
  await expect(list(await against((request, response) => page(request, response, { tags: tags(1000) })))).rejects.toMatchObject(
    refused("more than 100000 entries"),
  );
  expect(asked).toBe(101);
});

test("pages full of other things end at 32 MiB, and empty ones some time", async () => {
  const noise = JSON.stringify({ tags: [], noise: "x".repeat(7 * 1024 * 1024) });
  await expect(list(await against((request, response) => page(request, response, noise)))).rejects.toMatchObject(
    refused("bytes where that is the limit"),
  );
  expect(asked).toBe(5);
  await expect(list(await against((request, response) => page(request, response, {})))).rejects.toMatchObject(
    refused("more than 2000 pages"),
  );
});

test("a page that drips, and pages without end, are cut at the deadline of the whole list", async () => {
  const late = { code: "Timeout", message: expect.stringContaining("did not list tags of team/app within 0.3 s") as string };
  const dripping = await against((_, response) => void drip(response, '{"tags":['), { listTime: 300 });
  await expect(list(dripping)).rejects.toMatchObject(late);
  const endless = await against((request, response) => void setTimeout(() => page(request, response, { tags: ["a"] }), 20), {
    listTime: 300,
  });
  await expect(list(endless)).rejects.toMatchObject(late);
});

test("referrers: 10,000 at most, in 8 MiB", async () => {
  const about = digestOf("subject");
  const manifests = (count: number) => ({ manifests: Array.from({ length: count }, (_, size) => ({ size })) });
  const many = await against((_, response) => response.end(JSON.stringify(manifests(10_000))));
  expect(await many.referrers("team/app", about, "pull")).toHaveLength(10_000);
  const more = await against((request, response) => page(request, response, manifests(4000)));
  await expect(more.referrers("team/app", about, "pull")).rejects.toMatchObject(
    refused("answers referrers of team/app with more than 10000 entries"),
  );
  const large = await against((request, response) => page(request, response, { manifests: ["x".repeat(5 * 1024 * 1024)] }));
  await expect(large.referrers("team/app", about, "pull")).rejects.toMatchObject(refused("bytes where that is the limit"));
});

test("a manifest that drips, and a token that does, are cut at their deadline, and so are their connections", async () => {
  const late = { code: "Timeout", message: expect.stringContaining("did not send the whole of an answer within 0.3 s") as string };
  const dripped: Promise<void>[] = [];
  const manifest = await against((_, response) => void dripped.push(drip(response, "{")), { wholeTime: 300 });
  await expect(manifest.getManifest("team/app", "latest", "pull")).rejects.toMatchObject(late);
  const token = await against(
    (request, response) => {
      if (request.url?.startsWith("/token") === true) return void dripped.push(drip(response, '{"token":"t"}'));
      const realm = `http://${request.headers.host ?? ""}/token`;
      response.writeHead(401, { "www-authenticate": `Bearer realm="${realm}",service="x"` }).end();
    },
    { wholeTime: 300 },
  );
  await expect(token.getManifest("team/app", "latest", "pull")).rejects.toMatchObject(late);
  expect(dripped).toHaveLength(2);
  await Promise.all(dripped);
});

const elsewhere = '</elsewhere?last=a>; rel="next"';
const broken = (message: string) => ({ code: "UnexpectedAnswer", message: expect.stringContaining(message) as string });

test.each<[string, (request: IncomingMessage, response: ServerResponse) => void, string]>([
  [
    "whose second page is not there",
    (request, response) => (asked === 1 ? page(request, response, { tags: ["a"], manifests: [] }) : response.writeHead(404).end()),
    "breaks off with 404",
  ],
  [
    "whose second page is refused",
    (request, response) => (asked === 1 ? page(request, response, { tags: ["a"], manifests: [] }) : response.writeHead(400).end()),
    "breaks off with 400",
  ],
  [
    "that goes on elsewhere",
    (_, response) => response.writeHead(200, { link: elsewhere }).end('{"tags":["a"],"manifests":[]}'),
    "goes on by a Link that cannot be followed",
  ],
  [
    "whose page follows itself",
    (request, response) => response.writeHead(200, { link: `<${request.url ?? ""}>; rel="next"` }).end('{"tags":["a"],"manifests":[]}'),
    "goes on by a Link that cannot be followed",
  ],
])("a list %s fails, rather than be short", async (_, answer, message) => {
  await expect(list(await against(answer))).rejects.toMatchObject(broken(`the list of tags of team/app at 127.0.0.1`));
  await expect(list(await against(answer))).rejects.toMatchObject(broken(message));
  await expect((await against(answer)).referrers("team/app", digestOf("subject"), "pull")).rejects.toMatchObject(broken(message));
});

test("referrers that end with a page of something else fail; no list at all is none", async () => {
  const mixed = await against((request, response) => (asked === 1 ? page(request, response, { manifests: [] }) : response.end("{}")));
  await expect(mixed.referrers("team/app", digestOf("subject"), "pull")).rejects.toMatchObject(broken("ends with a page that is no list"));
  const none = await against((_, response) => response.writeHead(asked === 1 ? 400 : 404).end());
  expect(await none.referrers("team/app", digestOf("subject"), "pull")).toBeUndefined();
  expect(await list(none)).toBeUndefined();
  await expect(list(await against((_, response) => response.writeHead(400).end()))).rejects.toMatchObject(broken("is answered with 400"));
});
