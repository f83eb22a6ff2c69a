// A server that is busy: how long it says, in each of the ways, and what becomes of the request.

import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { KubeError } from "./errors.ts";
import { KubeClient } from "./kube-client.ts";

let server: Server;
let client: KubeClient;
let answers: ((response: ServerResponse) => void)[] = [];
let asked: { readonly at: number; readonly method: string; readonly body: string }[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      asked.push({ at: performance.now(), method: request.method ?? "", body: Buffer.concat(chunks).toString() });
      const answer = answers.shift() ?? ((last: ServerResponse) => void last.end("{}"));
      answer(response);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  client = new KubeClient({ server: url, namespace: "a", credentials: async () => ({ headers: {}, tls: {} }) });
});
afterAll(async () => {
  await client.close();
  server.closeAllConnections();
  server.close();
});
afterEach(() => void ([answers, asked] = [[], []]));

const busy =
  (status: number, retryAfter: string | undefined, body = "Too many requests, please try again later.") =>
  (response: ServerResponse) =>
    void response.writeHead(status, retryAfter === undefined ? {} : { "retry-after": retryAfter }).end(body);
const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1_000).toUTCString();
const status = (retryAfterSeconds: number) =>
  JSON.stringify({ kind: "Status", code: 429, reason: "TooManyRequests", details: { retryAfterSeconds } });
const refusal = (timeout?: number) =>
  client.send({ path: "/", ...(timeout === undefined ? {} : { timeout }) }).then(
    () => undefined,
    (error: unknown) => error as KubeError,
  );

test.each([
  ["429 in seconds", () => busy(429, "1")],
  ["503 in seconds", () => busy(503, "1")],
  ["a date", () => busy(429, inSeconds(2))],
  ["a Status", () => busy(429, undefined, status(1))],
])("%s: asked again after that, with the same", async (_, answer) => {
  answers = [answer()];
  expect(await client.send({ method: "POST", path: "/", body: { name: "x" } })).toEqual({});
  expect(asked.map(({ method, body }) => [method, body])).toEqual([
    ["POST", '{"name":"x"}'],
    ["POST", '{"name":"x"}'],
  ]);
  expect(asked[1]!.at - asked[0]!.at).toBeGreaterThan(950);
});

test.each([
  ["seconds", () => busy(429, "600"), 600],
  ["a date", () => busy(503, inSeconds(600)), 600],
  ["a Status", () => busy(429, undefined, status(600)), 600],
])("longer than the request has time, as %s: told to who asked", async (_, answer, seconds) => {
  answers = [answer()];
  const error = await refusal();
  expect(error).toBeInstanceOf(KubeError);
  expect(error?.retryAfter).toBeGreaterThan((seconds - 30) * 1_000);
  expect(error?.retryAfter).toBeLessThanOrEqual(seconds * 1_000);
  expect(asked).toHaveLength(1);
});

test("who does not say how long, or only fails, is not asked again here", async () => {
  for (const answer of [busy(429, undefined), busy(503, "soon"), busy(500, "1"), busy(409, "1")]) {
    answers = [answer];
    expect(await refusal()).toBeInstanceOf(KubeError);
  }
  expect(asked).toHaveLength(4);
  answers = [busy(429, "1")];
  expect((await refusal(1_000))?.status).toBe(429);
  expect(asked).toHaveLength(5);
});
