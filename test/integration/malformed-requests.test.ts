// What is wrong on purpose: bytes that are no HTTP, two kinds of HTTP at once, and thousands of requests that almost make sense.
// The registry answers each with a refusal in its own form, never with a 5xx, and goes on serving.

import { connect } from "node:net";

import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { freshName, pushImage } from "../conformance/content.ts";
import { send, sendRaw } from "../support/http.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "../support/registry.ts";

let registry: TestRegistry;
let url: string;
const name = freshName();

beforeAll(async () => {
  registry = await startTestRegistry();
  url = registry.url;
  await pushImage(url, name, "latest");
});
afterAll(() => registry.stop());

describe("raw bytes", () => {
  const bad = /^HTTP\/1\.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application\/json\r\n[^]*"code":"INVALID"/;

  test.each([
    ["no HTTP at all", "\u0016\u0003\u0001\u0002\u0000\u0001hello\r\n\r\n"],
    [
      "Content-Length and Transfer-Encoding",
      "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /v2/ HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ],
    ["two Content-Lengths", "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"],
    ["a negative Content-Length", "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n"],
    ["a header with a line feed alone", "GET /v2/ HTTP/1.1\r\nhost: x\nx-a: b\r\n\r\n"],
    ["a space before the colon", "GET /v2/ HTTP/1.1\r\nhost : x\r\n\r\n"],
    ["a NUL in the path", "GET /v2/\u0000 HTTP/1.1\r\nhost: localhost\r\n\r\n"],
    ["a NUL in a header", "GET /v2/ HTTP/1.1\r\nhost: localhost\r\nx: \u0000\r\n\r\n"],
    ["another protocol version", "GET /v2/ HTTP/9.9\r\nhost: localhost\r\n\r\n"],
  ])("%s", async (_, bytes) => {
    const received = await sendRaw(url, bytes);
    expect(received).toMatch(bad);
    expect(received.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
  });

  test("no host is refused (by Node itself)", async () => {
    expect(await sendRaw(url, "GET /v2/ HTTP/1.1\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 Bad Request\r\nConnection: close\r\n/);
  });

  test("headers without end are 431", async () => {
    const received = await sendRaw(url, `GET /v2/ HTTP/1.1\r\nhost: localhost\r\nx: ${"a".repeat(20_000)}\r\n\r\n`);
    expect(received).toMatch(/^HTTP\/1\.1 431 [^]*"code":"INVALID"/);
  });

  test("chunks that are none end the upload, and a session is left as it was", async () => {
    const started = await send(url, "POST", `/v2/${name}/blobs/uploads/`);
    const location = String(started.headers.location);
    await sendRaw(url, `PATCH ${location} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n`);
    expect((await send(url, "GET", location)).status).toBe(204);
  });

  test("an absolute request target means its path", async () => {
    const received = await sendRaw(
      url,
      `GET http://elsewhere.example/v2/${name}/tags/list HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`,
    );
    expect(received).toContain(JSON.stringify({ name, tags: ["latest"] }));
  });

  test("a stranger who waits for 100-continue is refused before the body", async () => {
    const closed = await startTestRegistry({ openOnLoopback: false });
    const received = await sendRaw(
      closed.url,
      "POST /v2/team/app/blobs/uploads/ HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 1000000000\r\n\r\n",
    );
    expect(received).toMatch(/^HTTP\/1\.1 401 Unauthorized/);
    expect(received).not.toContain("100 Continue");
    expect(received.toLowerCase()).toContain("connection: close");
    await closed.stop();
  });

  test("a refusal of a body under way can be read, and ends the flood", async () => {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    socket.on("error", () => {});
    let received = "";
    socket.on("data", (chunk) => (received += chunk.toString("latin1")));
    socket.write("PUT /v2/Bad/manifests/x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    const piece = `10000\r\n${"x".repeat(0x10000)}\r\n`;
    const flood = setInterval(() => socket.write(piece), 1);
    await expect.poll(() => socket.destroyed).toBe(true);
    clearInterval(flood);
    expect(received).toMatch(/^HTTP\/1\.1 400 [^]*"code":"NAME_INVALID"/);
    expect(received.toLowerCase()).toContain("\r\nconnection: close\r\n");
  });
});

describe("paths", () => {
  test.each([
    ["GET", "/v2/Upper/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/a%2fb/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/a/../b/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/a%00/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/%zz/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/%ff/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/a/manifests/sha256:xyz", 400, "DIGEST_INVALID"],
    ["GET", "/v2/a/blobs/uploads/../../../etc/passwd", 404, "UNSUPPORTED"],
    ["GET", "/v2/nothing", 404, "UNSUPPORTED"],
    ["GET", "/", 404, "UNSUPPORTED"],
    ["GET", "/etc/passwd", 404, "UNSUPPORTED"],
    ["GET", "/%zz", 400, "INVALID"],
    ["POST", "/v2/", 405, "UNSUPPORTED"],
    ["PATCH", "/v2/a/manifests/x", 405, "UNSUPPORTED"],
    ["OPTIONS", "/v2/a/manifests/x", 405, "UNSUPPORTED"],
    ["PROPFIND", "/v2/a/manifests/x", 405, "UNSUPPORTED"],
    ["PUT", "/v2/_catalog", 405, "UNSUPPORTED"],
  ])("%s %s: %i %s", async (method, path, status, code) => {
    const reply = await send(url, method, path);
    expect([reply.status, reply.code()]).toEqual([status, code]);
    expect(reply.headers.allow === undefined).toBe(status !== 405);
  });
});

describe("2,000 requests that almost make sense", () => {
  const word = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.constantFrom(
        ...name.split("/"),
        "v2",
        "manifests",
        "blobs",
        "uploads",
        "tags",
        "list",
        "referrers",
        "_catalog",
        "latest",
      ),
    },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        "..",
        ".",
        "%2e%2e",
        "%2f",
        "%00",
        "%",
        "%25",
        "A",
        "é",
        "",
        "~",
        "sha256:",
        `sha256:${"a".repeat(64)}`,
        `sha512:${"f".repeat(128)}`,
      ),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "0b8e0d1e-5a2b-4f6d-9c3e-0123456789ab",
        "a".repeat(300),
        "__proto__",
        "constructor",
        "-1",
        "*",
        ";",
        "'\"",
      ),
    },
    { weight: 1, arbitrary: fc.webPath() },
  );
  const path = fc.array(word, { maxLength: 7 }).map((words) => `/v2/${encodeURI(words.join("/")).replaceAll("%25", "%")}`);
  const value = fc.oneof(
    fc.constantFrom("", "0", "-1", "1e9", "%00", "%ff", "'", "sha256:x", `sha256:${"a".repeat(64)}`, "docker.io", "../x"),
    fc.string().map(encodeURIComponent),
  );
  const query = fc.array(
    fc.tuple(fc.constantFrom("n", "last", "digest", "mount", "from", "tag", "ns", "artifactType", "digest-algorithm", "__proto__"), value),
    { maxLength: 3 },
  );
  const header = fc.constantFrom<readonly [string, string]>(
    ["range", "bytes=-"],
    ["range", "bytes=99999999999999999999-1"],
    ["content-range", "5-1"],
    ["content-range", "-"],
    ["content-type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8"],
    ["content-type", "garbage"],
    ["content-encoding", "br"],
    ["authorization", "Basic !!!"],
    ["authorization", "Bearer x"],
    ["authorization", `Bearer ${adminToken}`],
    ["if-none-match", '",,,W/"'],
    ["accept", "\u00ff"],
    ["cache-control", "no-cache"],
    ["expect", "200-maybe"],
    ["upgrade", "h2c"],
    ["x-forwarded-host", "evil.example"],
  );
  const body = fc.constantFrom(
    undefined,
    "",
    "{",
    "null",
    '{"schemaVersion":2}',
    '{"__proto__":{"x":1}}',
    "x".repeat(100_000),
    `${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}`,
  );
  const request = fc.record({
    method: fc.constantFrom("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"),
    path,
    query,
    headers: fc.array(header, { maxLength: 3 }),
    body,
  });

  test("no 5xx, every refusal in the protocol's form, and the registry still serves", async () => {
    await fc.assert(
      fc.asyncProperty(request, async ({ method, path, query, headers, body }) => {
        const target = `${path}${query.length === 0 ? "" : "?"}${query.map(([key, value]) => `${key}=${value}`).join("&")}`;
        const reply = await send(url, method, target, { headers: Object.fromEntries(headers), ...(body === undefined ? {} : { body }) });
        expect(reply.status, `${method} ${target}`).toBeLessThan(500);
        expect(reply.status < 400 || method === "HEAD" || reply.body.length === 0 || typeof reply.code() === "string").toBe(true);
        expect(reply.headers["location"] ?? "/").toMatch(/^\//);
        expect(JSON.stringify(reply.headers)).not.toContain("evil.example");
      }),
      { numRuns: 2000, interruptAfterTimeLimit: 50_000, markInterruptAsFailure: true },
    );
    expect((await send(url, "GET", `/v2/${name}/manifests/latest`)).status).toBe(200);
    expect(registry.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });
});
