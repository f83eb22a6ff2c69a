// A database that lets nobody in: who comes later is told so at once, and what does not need it goes on.

import { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";

import { digestOf, pushImage, randomBlob } from "../conformance/content.ts";
import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "../support/registry.ts";

let database: TestDatabase;
let registry: TestRegistry;
let url: string;

beforeAll(async () => {
  database = await createDatabase();
  registry = await startTestRegistry({
    database: { url: database.url, connections: 4, timeouts: { wait: 60_000, lock: 60_000, statement: 60_000 } },
  });
  url = registry.url;
});
afterAll(async () => {
  await registry.stop();
  await database.drop();
});

const push = () => {
  const blob = randomBlob(100);
  return send(url, "POST", `/v2/team/app/blobs/uploads/?digest=${digestOf(blob)}`, { body: blob });
};

test("who would wait for long is sent away before he waits, and everybody else is served", async () => {
  const { digest } = await pushImage(url, "team/app", "v1");
  expect((await send(url, "GET", "/v2/team/app/manifests/v1")).status).toBe(200);
  const blocker = new Client({ connectionString: database.url });
  await blocker.connect();
  try {
    await blocker.query("BEGIN; LOCK TABLE objects IN ACCESS EXCLUSIVE MODE");
    // They hold every connection, and the last one waits for a connection.
    const stuck = Array.from({ length: 5 }, push);
    await eventually(async () => {
      const refused = await Promise.race([push(), new Promise<undefined>((resolve) => setTimeout(resolve, 500, undefined))]);
      expect(refused?.status).toBe(503);
      expect(refused?.code()).toBe("UNAVAILABLE");
      expect(refused?.headers["retry-after"]).toBe("2");
      expect(refused?.body.toString()).toContain("more to do than it can");
    });
    const begun = send(url, "DELETE", `/v2/team/app/blobs/${digest}`);
    expect((await begun).status, "a delete is new work").toBe(503);
    expect((await send(url, "GET", "/v2/team/app/tags/list")).status, "and so is a list").toBe(503);
    expect((await send(url, "GET", "/v2/team/app/manifests/v1")).status, "from memory").toBe(200);
    expect((await send(url, "GET", "/livez")).status).toBe(200);
    const metrics = await send(url, "GET", "/metrics", { headers: { authorization: `Bearer ${adminToken}` } });
    expect(metrics.body.toString()).toMatch(/^wharfinger_shed_requests_total\{reason="database"\} [1-9]/m);

    await blocker.query("ROLLBACK");
    for (const reply of await Promise.all(stuck)) expect(reply.status).toBe(201);
    expect((await push()).status).toBe(201);
  } finally {
    await blocker.end();
  }
});
