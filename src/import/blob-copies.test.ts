// What a blob costs on the way to the registry: over a slow line each request is a wait.

import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, beforeEach, expect, test } from "vitest";

import { PushClient } from "../client/push-client.ts";
import { digestOf } from "../domain/digest.ts";
import { BlobCopies } from "./blob-copies.ts";
import type { ImportSource } from "./import-source.ts";
import { Patience } from "./patience.ts";
import { ImportReport } from "./report.ts";
import { createTraffic } from "./traffic.ts";

const here = digestOf("here");
/** Whoever asks for it asks nothing any more. */
const gone = digestOf("gone");
let asked: string[];
/** Bodies of the source, and those that nobody has ended. */
let opened: number;
let open: number;
let server: Server;
let target: PushClient;

beforeEach(async () => {
  asked = [];
  [opened, open] = [0, 0];
  server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url ?? "", "http://registry");
    asked.push(`${request.method} ${pathname}`);
    request.resume().on("end", () => {
      if (search.includes(gone)) {
        server.close();
        response.setHeader("connection", "close");
      }
      if (request.method === "POST" && !search.includes(here)) response.writeHead(202, { location: "/v2/app/blobs/uploads/1" }).end();
      else response.writeHead(201).end();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  target = new PushClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
});
afterEach(async () => {
  await target.destroy();
  server.close().closeAllConnections();
});

async function* bytes() {
  yield Buffer.from("new");
}

/** The source has one small blob, whatever it is called. */
const source = {
  name: "test",
  blob: async () => {
    opened++;
    open++;
    return { start: 0, size: 3, body: bytes(), discard: () => open-- };
  },
} as unknown as ImportSource;

function copies({ concurrency = 4 } = {}) {
  const report = new ImportReport();
  const traffic = createTraffic({ source, target, concurrency, patience: new Patience({ attempts: 2, firstPause: 1 }) });
  return { report, blobs: new BlobCopies({ traffic, report, dryRun: false }) };
}

test("one request for what the registry has, two for a small blob that it has not", async () => {
  const { report, blobs } = copies();
  const of = { from: "old", to: "app", size: 3 };
  expect(await blobs.copy({ ...of, digest: here })).toBe(true);
  expect(asked.splice(0)).toEqual(["POST /v2/app/blobs/uploads/"]);
  expect(await blobs.copy({ ...of, digest: digestOf("new") })).toBe(true);
  expect(asked).toEqual(["POST /v2/app/blobs/uploads/", "PUT /v2/app/blobs/uploads/1"]);
  expect(report.counts.blobs).toEqual({ copied: 1, present: 1, bytes: 3 });
});

test("a session is followed by its bytes before the next one is opened", async () => {
  const { report, blobs } = copies({ concurrency: 1 });
  const all = ["a", "b", "c"].map((text) => blobs.copy({ from: "old", to: "app", size: 3, digest: digestOf(text) }));
  expect(await Promise.all(all)).toEqual([true, true, true]);
  expect(asked.map((request) => request.split(" ")[0])).toEqual(["POST", "PUT", "POST", "PUT", "POST", "PUT"]);
  expect(report.counts.blobs.copied).toBe(3);
});

test("a registry that is gone before it took a byte costs the source no connection", async () => {
  const { blobs } = copies();
  await expect(blobs.copy({ from: "old", to: "app", size: 3, digest: gone })).rejects.toMatchObject({ code: "Unreachable" });
  expect([asked, opened, open]).toEqual([["POST /v2/app/blobs/uploads/"], 1, 0]);
});
