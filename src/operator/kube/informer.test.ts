// What an informer makes of answers that a healthy API server seldom gives. Against a real one: test/kubernetes/informer.test.ts.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";

import { eventually } from "../../../test/support/eventually.ts";
import { Informer } from "./informer.ts";
import { KubeClient } from "./kube-client.ts";
import type { KubeObject } from "./objects.ts";

type Answer = (response: ServerResponse) => void;

/** Asked for in this order: `list`, `page 2`, `watch 7` (from version 7). */
let asked: string[];
/** What the next requests of a kind are answered; afterwards lists are empty and watches silent. */
let answers: { readonly list: Answer[]; readonly page: Answer[]; readonly watch: Answer[] };
let stack: AsyncDisposableStack;
let informer: Informer<KubeObject>;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  asked = [];
  answers = { list: [], page: [], watch: [] };
  const server = createServer(answer).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  stack.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const client = new KubeClient({
    server: `http://127.0.0.1:${port}`,
    namespace: "default",
    credentials: async () => ({ tls: {} }),
  });
  stack.defer(() => client.close());
  const times = { firstPause: 10, longestPause: 20 };
  informer = new Informer({ client, path: "/things", logger: pino({ level: "silent" }), times });
  stack.defer(() => informer.stop());
});
afterEach(() => stack.disposeAsync());

function answer({ url = "" }: IncomingMessage, response: ServerResponse): void {
  const query = new URL(url, "http://api").searchParams;
  const page = query.get("continue");
  const kind = query.has("watch") ? "watch" : page === null ? "list" : "page";
  asked.push(kind === "watch" ? `watch ${query.get("resourceVersion") ?? ""}` : page === null ? "list" : `page ${page}`);
  const next = answers[kind].shift();
  if (next !== undefined) next(response);
  else if (kind === "watch") response.flushHeaders();
  else listed({ version: "1" })(response);
}

const json =
  (status: number, body: object): Answer =>
  (response) =>
    void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
const listed = ({ version, names = [], next }: { version: string; names?: readonly string[]; next?: string }): Answer =>
  json(200, {
    metadata: { resourceVersion: version, ...(next === undefined ? {} : { continue: next }) },
    items: names.map((name) => ({ metadata: { name, resourceVersion: version } })),
  });
const refused = (code: number, reason: string): Answer => json(code, { kind: "Status", code, reason, message: reason });
const names = () => [...informer.items.keys()];

test("a list whose second page has expired is begun anew, and half of it is never shown", async () => {
  const seen: string[][] = [];
  informer.onChange(() => seen.push(names()));
  answers.list.push(listed({ version: "5", names: ["a"], next: "2" }), listed({ version: "7", names: ["b"] }));
  answers.page.push(refused(410, "Expired"));
  informer.start();
  await informer.synced;
  await eventually(() => expect(asked).toEqual(["list", "page 2", "list", "watch 7"]));
  expect(seen).toEqual([["b"]]);
});

test.each<[string, Answer]>([
  ["429", (response) => void response.writeHead(429, { "retry-after": "1", "content-type": "text/plain" }).end("Too many requests")],
  ["503", refused(503, "ServiceUnavailable")],
  ["a connection that breaks", (response) => void response.destroy()],
])("a watch that gets %s goes on from where it was, without a list", async (_, busy) => {
  answers.list.push(listed({ version: "7", names: ["a"] }));
  answers.watch.push(busy, busy);
  informer.start();
  await eventually(() => expect(asked).toEqual(["list", "watch 7", "watch 7", "watch 7"]));
  expect({ complete: informer.complete, names: names() }).toEqual({ complete: true, names: ["a"] });
});

test.each<[string, Answer]>([
  ["500", refused(500, "InternalError")],
  ["410", refused(410, "Expired")],
  [
    "an error in the middle that says the version is too old",
    (response) => void response.write(`${JSON.stringify({ type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired" } })}\n`),
  ],
])("a watch that gets %s is begun from a list, and what is known stays until that is there", async (_, wrong) => {
  answers.list.push(listed({ version: "7", names: ["a"] }), refused(500, "InternalError"), listed({ version: "9", names: ["b"] }));
  answers.watch.push(wrong);
  const seen: string[][] = [];
  informer.onChange(() => seen.push(names()));
  informer.start();
  await eventually(() => expect(asked).toEqual(["list", "watch 7", "list", "list", "watch 9"]));
  expect(seen).toEqual([["a"], ["b"]]);
  expect(informer.complete).toBe(true);
});

test("after five failures in a row what is known may be what is wrong: it is listed", async () => {
  answers.list.push(listed({ version: "7" }));
  answers.watch.push(...Array.from({ length: 6 }, () => refused(503, "ServiceUnavailable")));
  informer.start();
  await eventually(() => expect(asked.filter((one) => one === "list")).toHaveLength(2));
  expect(asked.slice(0, 7)).toEqual(["list", ...Array.from({ length: 6 }, () => "watch 7")]);
});

test("a list that is refused while a watch had it is known to be refused, and keeps what was there", async () => {
  answers.list.push(listed({ version: "7", names: ["a"] }), refused(403, "Forbidden"));
  answers.watch.push(refused(410, "Expired"));
  const told = new Promise<void>((resolve) => informer.onChange(() => informer.complete || resolve()));
  informer.start();
  await told;
  expect({ names: names(), status: informer.problem?.status }).toEqual({ names: ["a"], status: 403 });
  await eventually(() => expect(informer.complete).toBe(true));
});
