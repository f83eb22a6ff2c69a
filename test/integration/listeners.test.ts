// One registry, three listeners: images, the control API, and what a kubelet and a scraper ask.

import { once } from "node:events";
import { connect, type Socket } from "node:net";

import { afterAll, beforeAll, expect, test } from "vitest";

import { send } from "../support/http.ts";
import { startRegistryProcess } from "../support/registry-process.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { createDatabase } from "../support/postgres.ts";

const anyPort = { host: "127.0.0.1", port: 0 };
const bearer = { authorization: `Bearer ${adminToken}` };

let registry: TestRegistry;
let data: string;
let control: string;
let admin: string;

beforeAll(async () => {
  registry = await startTestRegistry({ controlListen: anyPort, adminListen: anyPort });
  [data, control, admin] = [registry.url, registry.controlUrl, registry.adminUrl ?? ""];
});
afterAll(() => registry.stop());

const statuses = (path: string, headers: Record<string, string> = {}) =>
  Promise.all([data, control, admin].map(async (url) => (await send(url, "GET", path, { headers })).status));

test("each route answers on its own listener and nowhere else", async () => {
  expect(new Set([data, control, admin]).size).toBe(3);
  expect(await statuses("/v2/")).toEqual([200, 404, 404]);
  expect(await statuses("/v2/team/app/tags/list")).toEqual([404, 404, 404]);
  expect(await statuses("/api/v1/record", bearer)).toEqual([404, 200, 404]);
  for (const path of ["/livez", "/readyz", "/metrics"]) expect(await statuses(path, bearer)).toEqual([404, 404, 200]);
});

test("a route of another listener is refused in the registry's form, and the refusal tells of none", async () => {
  const refused = { errors: [{ code: "UNSUPPORTED", message: "There is nothing here." }] };
  const elsewhere: [string, string][] = [
    [data, "/api/v1/record"],
    [data, "/metrics"],
    [data, "/nothing"],
    [control, "/v2/"],
    [control, "/livez"],
    [control, "/api/v1/nothing"],
  ];
  for (const [url, path] of elsewhere) {
    for (const headers of [{}, bearer]) expect((await send(url, "GET", path, { headers })).json()).toEqual(refused);
  }
  expect((await send(admin, "GET", "/v2/")).json()).toEqual({
    errors: [{ code: "UNSUPPORTED", message: "There are /livez, /readyz, /metrics." }],
  });
});

test("the admin listener needs no token: reasons and metrics", async () => {
  expect((await send(admin, "GET", "/livez")).json()).toEqual({ live: true });
  const ready = (await send(admin, "GET", "/readyz?probe")).json() as { ready: boolean; checks: { name: string }[] };
  expect(ready.ready).toBe(true);
  expect(ready.checks.map(({ name }) => name)).toEqual(["database", "blobs", "record", "collector", "process"]);
  const metrics = await send(admin, "GET", "/metrics");
  expect(metrics.headers["content-type"]).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(metrics.body.toString()).toContain('wharfinger_build_info{version="0.0.0-test"');
});

test("a body that never ends keeps no place of a probe", async () => {
  const held = Array.from({ length: 64 }, () => connect(Number(new URL(admin).port), "127.0.0.1").on("error", () => undefined));
  for (const socket of held) socket.write("POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n1");
  await Promise.all(held.map((socket) => once(socket.resume(), "close")));
  expect((await send(admin, "GET", "/livez")).status).toBe(200);
});

test("while pulls hold every connection that there may be, probes, metrics and the control API answer", async () => {
  const full = await startTestRegistry({ controlListen: anyPort, adminListen: anyPort, connections: { data: 2, control: 2 } });
  const open = async (url: string): Promise<Socket> => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1").on("error", () => undefined);
    await once(socket, "connect");
    return socket;
  };
  try {
    const held = [await open(full.url), await open(full.url)];
    // The one that finds no place is closed unheard, so the others have theirs.
    await once(await open(full.url), "close");
    expect((await send(full.adminUrl ?? "", "GET", "/readyz")).status).toBe(200);
    expect((await send(full.adminUrl ?? "", "GET", "/metrics")).status).toBe(200);
    expect((await send(full.controlUrl, "GET", "/api/v1/record", { headers: bearer })).status).toBe(200);
    for (const socket of held) socket.destroy();
  } finally {
    await full.stop();
  }
});

test("an address that is taken is said with the option that names it, and nothing stays open", async () => {
  const taken = { host: "127.0.0.1", port: Number(new URL(data).port) };
  await expect(startTestRegistry({ controlListen: taken })).rejects.toThrow(
    `127.0.0.1:${taken.port} is in use by another program. Stop it, or choose another address with --control-listen; port 0 takes any free one.`,
  );
  await expect(startTestRegistry({ adminListen: taken })).rejects.toThrow(
    `The probes cannot listen on 127.0.0.1:${taken.port} (EADDRINUSE): choose another address with --admin-listen.`,
  );
});

test("`wharfinger registry` listens on every address of both families, and says on which ports", async () => {
  const database = await createDatabase();
  const settings = { database: { url: database.url }, storage: { folder: `${registry.folder}/process` } };
  const args = ["--listen", "[::]:0", "--control-listen", "0.0.0.0:0", "--admin-listen", "[::]:0"];
  const started = await startRegistryProcess({ settings, args });
  try {
    const at = (url: string, host: string) => `http://${host}:${new URL(url).port}`;
    expect(started.ready).toMatch(
      /^Serving on http:\/\/localhost:\d+; the control API on http:\/\/localhost:\d+; probes and metrics on http:\/\/\[::1\]:\d+\.$/,
    );
    for (const host of ["127.0.0.1", "[::1]"]) {
      expect((await fetch(`${at(started.url, host)}/v2/`)).status).toBe(200);
      expect((await fetch(`${at(started.adminUrl, host)}/readyz`)).status).toBe(200);
    }
    expect((await fetch(`${at(started.controlUrl, "127.0.0.1")}/api/v1/record`)).status).toBe(401);
  } finally {
    await started.stop();
    await database.drop();
  }
});
