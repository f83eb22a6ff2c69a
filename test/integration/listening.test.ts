// The listener under clients that take their time, and while it stops.

import { once } from "node:events";
import { request, type ClientRequest, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";

import { hashSync } from "bcryptjs";
import { Client } from "pg";
import { afterEach, describe, expect, test } from "vitest";

import { defaultSettings } from "../../src/config/settings.ts";
import { digestOf, freshName, pushBlob, randomBlob } from "../conformance/content.ts";
import { answerTo } from "../support/eventually.ts";
import { send, sendRaw } from "../support/http.ts";
import { publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";

const imageIndex = "application/vnd.oci.image.index.v1+json";
let registry: TestRegistry | undefined;
afterEach(async () => {
  await registry?.stop();
  registry = undefined;
});

function open(url: string, method: string, path: string, headers: Record<string, string | number> = {}): ClientRequest {
  const { hostname, port } = new URL(url);
  return request({ hostname, port, method, path, headers, agent: false });
}

async function raw(url: string, text: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  await once(socket, "connect");
  socket.write(text);
  return socket;
}

/** Waits until the registry's database shows it. */
async function shows(databaseUrl: string, condition: string): Promise<void> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await answerTo(condition, async () => ((await client.query(`SELECT WHERE ${condition}`)).rowCount === 1 ? true : undefined));
  } finally {
    await client.end();
  }
}
const anUpload = "EXISTS (SELECT FROM objects WHERE state = 'uploading')";
/** A poll asks again every second, and each connection shows what it was asked last. */
const aPoll = `EXISTS (
  SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%FROM proposals%WHERE state = ''waiting''%'
)`;

describe("slow clients", () => {
  test("headers that never end are 408, silence is cut", async () => {
    registry = await startTestRegistry({ headersTimeout: 300 });
    expect(await sendRaw(registry.url, "GET /v2/ HTTP/1.1\r\nhost: localhost\r\nx-slow: ")).toMatch(
      /^HTTP\/1\.1 408 Request Timeout\r\n[^]*"code":"INVALID"/,
    );
    expect(await sendRaw(registry.url, "")).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("a body that falls silent is 408, and the session goes on where it stopped", async () => {
    registry = await startTestRegistry({ settings: { ...defaultSettings, uploads: { ...defaultSettings.uploads, stallTimeout: 1_500 } } });
    const { url } = registry;
    const blob = randomBlob(5000);
    const name = freshName();
    const location = String((await send(url, "POST", `/v2/${name}/blobs/uploads/`)).headers.location);
    const socket = await raw(url, `PATCH ${location} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5000\r\n\r\n`);
    socket.write(blob.subarray(0, 2000));
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    expect(answer.toString().toLowerCase()).toContain("connection: close");
    expect((await send(url, "GET", location)).headers.range).toBe("0-1999");
    const done = await send(url, "PUT", `${location}?digest=${digestOf(blob)}`, { body: blob.subarray(2000) });
    expect(done.status).toBe(201);
    socket.destroy();
  });

  test("a body of the control API that falls silent is 408 too", async () => {
    registry = await startTestRegistry({ settings: { ...defaultSettings, uploads: { ...defaultSettings.uploads, stallTimeout: 300 } } });
    const { url } = registry;
    const head =
      "POST /api/v1/prefetch HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer test-admin-token\r\ncontent-type: application/json\r\n";
    for (const body of ["content-length: 100\r\n\r\n{", "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"]) {
      const answer = await sendRaw(url, head + body);
      expect(answer).toMatch(
        /^HTTP\/1\.1 408 Request Timeout\r\n[^]*"code":"INVALID","message":"The body was given up: nothing came for 0.3 s. /,
      );
      expect(answer.toLowerCase()).toContain("connection: close");
    }
  });

  test("a manifest that nobody takes is cut", async () => {
    registry = await startTestRegistry({ settings: { ...defaultSettings, uploads: { ...defaultSettings.uploads, stallTimeout: 300 } } });
    const { url } = registry;
    const name = freshName();
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: imageIndex,
      manifests: [],
      annotations: { padding: "x".repeat(4_000_000) },
    });
    const stored = await send(url, "PUT", `/v2/${name}/manifests/large`, { headers: { "content-type": imageIndex }, body: manifest });
    expect(stored.status).toBe(201);
    const request = `GET /v2/${name}/manifests/large HTTP/1.1\r\nhost: localhost\r\n\r\n`;
    // More than the buffers of a socket hold.
    const socket = await raw(url, request.repeat(8));
    socket.pause();
    await expect.poll(() => registry?.log.some(({ msg }) => msg === "A client took nothing any more")).toBe(true);
    expect((await send(url, "GET", `/v2/${name}/manifests/large`)).body.length).toBe(manifest.length);
    socket.destroy();
  });

  test("a download that nobody takes is cut, and others are served meanwhile", async () => {
    registry = await startTestRegistry({ settings: { ...defaultSettings, uploads: { ...defaultSettings.uploads, stallTimeout: 1_500 } } });
    const { url } = registry;
    const name = freshName();
    const digest = await pushBlob(url, name, randomBlob(32 * 1024 * 1024));
    const socket = await raw(url, `GET /v2/${name}/blobs/${digest} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    socket.pause();
    expect((await send(url, "GET", `/v2/${name}/blobs/${digest}`)).body.length).toBe(32 * 1024 * 1024);
    await expect.poll(() => registry?.log.some(({ msg }) => msg === "A client took nothing any more")).toBe(true);
    socket.destroy();
  });
});

test("one user's manifests under way leave room for another's", async () => {
  registry = await startTestRegistry();
  const { url, secrets } = registry;
  const user = (name: string) => ({ authorization: `Basic ${Buffer.from(`${name}:secret`).toString("base64")}` });
  const hash = hashSync("secret", 4);
  secrets.set("default", "wharfinger-users", { htpasswd: `slow:${hash}\nother:${hash}\n` });
  const spec = {
    subjects: [
      { kind: "User", name: "slow" },
      { kind: "User", name: "other" },
    ],
    actions: ["pull", "push"],
  };
  await publishFirst(url, [{ kind: "AccessPolicy", name: "team", spec: { ...spec, repositories: { include: ["team/**"] } } }]);
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType: imageIndex, manifests: [] });
  const push = async (name: string) => {
    const reply = await send(url, "PUT", "/v2/team/app/manifests/latest", {
      headers: { "content-type": imageIndex, ...user(name) },
      body: manifest,
    });
    return reply.status === 201 ? "pushed" : reply.json();
  };
  const { authorization } = user("slow");
  const head = `PUT /v2/team/app/manifests/large HTTP/1.1\r\nhost: localhost\r\nauthorization: ${authorization}\r\ncontent-type: ${imageIndex}\r\n`;
  const held = new Set<Socket>();
  // One that meets the small push on its way may be the one that is refused: another takes its place.
  const hold = async () => {
    if (held.size === 4) return push("slow");
    const socket = await raw(url, `${head}content-length: 4194304\r\n\r\n${" ".repeat(4194303)}`);
    held.add(socket);
    socket.once("data", () => held.delete(socket.destroy()));
    return undefined;
  };
  const message = "You are sending too many manifests at once. Send this one again when others are done.";
  await expect.poll(hold).toEqual({ errors: [{ code: "UNAVAILABLE", message }] });
  expect(await push("other")).toBe("pushed");
  for (const socket of held) socket.destroy();
  await expect.poll(() => push("slow")).toBe("pushed");
});

describe("a refusal", () => {
  test("of a body that nobody takes ends its connection; others keep theirs", async () => {
    registry = await startTestRegistry();
    const { url } = registry;
    const head = (method: string, path: string, ...fields: string[]) =>
      [`${method} ${path} HTTP/1.1`, "host: localhost", ...fields, "", ""].join("\r\n");
    const json = "content-type: application/json";
    const refusals: [number, string][] = [
      [401, head("POST", "/api/v1/restore", json, "content-length: 1000000000")],
      [403, head("POST", "/api/v1/restore", "origin: http://elsewhere.example", "content-length: 1000000000")],
      [404, head("POST", "/api/v1/nothing", "transfer-encoding: chunked")],
      [413, head("POST", "/api/v1/restore", json, "authorization: Bearer test-admin-token", "content-length: 1000000000")],
      [421, head("POST", "/livez", "content-length: 1000000000").replace("host: localhost", "host: elsewhere.example")],
    ];
    for (const [status, request] of refusals) {
      const socket = await raw(url, request);
      const [answer] = (await once(socket, "data")) as [Buffer];
      expect(answer.toString()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [^]*\\r\\nconnection: close\\r\\n`, "i"));
      const closed = new Promise((resolve) => socket.once("close", resolve));
      // Still sending, which an open connection would take to its end.
      const more = Buffer.alloc(1024 * 1024, "0");
      const chunk = request.includes("chunked") ? Buffer.concat([Buffer.from("100000\r\n"), more, Buffer.from("\r\n")]) : more;
      for (let sent = 0; sent < 10; sent++) socket.write(chunk);
      await closed;
    }
    const twice = await sendRaw(
      url,
      `${head("GET", "/api/v1/upstreams")}${head("GET", "/nothing")}${head("GET", "/livez", "connection: close")}`,
    );
    expect(twice.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 401", "HTTP/1.1 404", "HTTP/1.1 200"]);
  });
});

describe("a stop", () => {
  test("ends idle connections at once and lets a running upload finish", async () => {
    registry = await startTestRegistry({ grace: 20_000 });
    const { url } = registry;
    const blob = randomBlob(100_000);
    const idle = await raw(url, "GET /v2/ HTTP/1.1\r\nhost: localhost\r\n\r\n");
    await once(idle, "data");
    const upload = open(url, "POST", `/v2/${freshName()}/blobs/uploads/?digest=${digestOf(blob)}`, { "content-length": blob.length });
    upload.write(blob.subarray(0, 50_000));
    await shows(registry.databaseUrl, anUpload);

    const stopped = registry.stop();
    registry = undefined;
    await once(idle, "close");
    await expect(raw(url, "").then((socket) => once(socket, "close"))).rejects.toMatchObject({ code: "ECONNREFUSED" });
    upload.end(blob.subarray(50_000));
    const [response] = (await once(upload, "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(201);
    response.resume();
    await stopped;
  });

  test("cuts what takes longer than the grace period, and long polls at once", async () => {
    registry = await startTestRegistry({ grace: 1_500 });
    const { url } = registry;
    const upload = open(url, "POST", `/v2/${freshName()}/blobs/uploads/?digest=${digestOf("x")}`, { "content-length": 10 });
    const cut = once(upload, "error");
    upload.write("x");
    const poll = open(url, "GET", "/api/v1/proposals?wait=60", { authorization: "Bearer test-admin-token" });
    poll.end();
    await shows(registry.databaseUrl, anUpload);
    await shows(registry.databaseUrl, aPoll);
    const stopped = registry.stop();
    registry = undefined;
    const [answer] = (await once(poll, "response")) as [IncomingMessage];
    expect(answer.statusCode).toBe(200);
    answer.resume();
    await cut;
    await stopped;
  });
});
