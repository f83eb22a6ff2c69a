// A listener on loopback is open to this machine, and not to the web pages that its browser shows.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { defaultSettings } from "../../src/config/settings.ts";
import { send, sendRaw } from "../support/http.ts";
import { startTestRegistry, type TestRegistry } from "../support/registry.ts";

let registry: TestRegistry;
let port: string;

beforeAll(async () => {
  const settings = { ...defaultSettings, access: { ...defaultSettings.access, hosts: ["Registry.example.com", "other.example:8443"] } };
  registry = await startTestRegistry({ settings });
  port = new URL(registry.url).port;
});
afterAll(() => registry.stop());

const ask = async (method: string, path: string, headers: Record<string, string>) => {
  const reply = await send(registry.url, method, path, { headers });
  return reply.status < 400 ? reply.status : `${reply.status} ${method === "HEAD" ? "" : reply.code()}`.trim();
};

describe("names", () => {
  test.each([
    "localhost",
    "LOCALHOST:5000",
    "127.0.0.1",
    "127.0.0.1:1",
    "127.8.9.10:80",
    "[::1]",
    "[::1]:5000",
    "registry.example.com",
    "registry.example.com:8080",
    "other.example:8443",
  ])("%s is this registry", async (host) => {
    for (const path of ["/v2/", "/livez"]) expect(await ask("GET", path, { host })).toBe(200);
  });

  test.each([
    "evil.example",
    "evil.example:5000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil-127.0.0.1",
    "10.0.0.1",
    "[::2]",
    "other.example",
    "other.example:8444",
    "localhost@evil.example",
    "0.0.0.0",
  ])("%j is not", async (host) => {
    for (const path of ["/v2/", "/v2/a/blobs/uploads/", "/v2/%zz", "/api/v1/state", "/livez", "/readyz", "/metrics", "/"]) {
      const expected = path === "/v2/%zz" ? "400 NAME_INVALID" : "421 DENIED";
      expect([path, await ask("GET", path, { host })]).toEqual([path, expected]);
    }
    expect(await ask("POST", "/v2/a/blobs/uploads/", { host })).toBe("421 DENIED");
  });

  test("no name is none either", async () => {
    for (const host of ["host: \r\n", "host:\r\n"]) {
      expect(await sendRaw(registry.url, `GET /v2/ HTTP/1.1\r\n${host}connection: close\r\n\r\n`)).toMatch(/^HTTP\/1\.1 421 /);
    }
    expect(await sendRaw(registry.url, "GET /v2/ HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1\.1 421 /);
  });

  test("the refusal says what to do", async () => {
    const reply = await send(registry.url, "GET", "/v2/", { headers: { host: "evil.example" } });
    expect(reply.json()).toEqual({
      errors: [
        {
          code: "DENIED",
          message:
            'This registry listens for this machine alone and is not called "evil.example": use localhost or 127.0.0.1. ' +
            'If "evil.example" is a name of it, for example of a reverse proxy, add it to the setting access.hosts.',
        },
      ],
    });
  });

  test("two of them are one too many", async () => {
    const received = await sendRaw(registry.url, "GET /v2/ HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
    expect(received).toMatch(/^HTTP\/1\.1 400 [^]*"code":"INVALID","message":"The request has more than one Host header\."/);
  });

  test("a listener for others has the names that others give it", async () => {
    const open = await startTestRegistry({ openOnLoopback: false, allowAnonymous: true });
    const reply = (method: string, path: string, headers: Record<string, string>) => send(open.url, method, path, { headers });
    expect((await reply("GET", "/v2/", { host: "registry.example" })).status).toBe(200);
    const upload = "/v2/a/blobs/uploads/";
    const host = "registry.example";
    expect((await reply("POST", upload, { host, origin: "https://registry.example" })).status).toBe(202);
    expect((await reply("POST", upload, { host, origin: "https://evil.example" })).status).toBe(403);
    await open.stop();
  });
});

describe("pages", () => {
  const host = () => `localhost:${port}`;
  const upload = "/v2/a/blobs/uploads/";

  test.each<[string, Record<string, string>, number | string]>([
    ["a client", {}, 202],
    ["another site", { origin: "https://evil.example", "sec-fetch-site": "cross-site" }, "403 DENIED"],
    ["another site in an old browser", { origin: "https://evil.example" }, "403 DENIED"],
    ["a sandbox", { origin: "null" }, "403 DENIED"],
    ["another port of this machine", { origin: "http://localhost:1", "sec-fetch-site": "same-site" }, "403 DENIED"],
    ["no Origin, another site", { "sec-fetch-site": "cross-site" }, "403 DENIED"],
    ["garbage", { origin: "x" }, "403 DENIED"],
    ["the person", { "sec-fetch-site": "none" }, 202],
    ["behind a proxy that names itself", { host: "registry.example.com", origin: "https://registry.example.com" }, 202],
    ["behind a proxy that does not", { origin: "https://registry.example.com", "sec-fetch-site": "same-origin" }, 202],
  ])("a push from %s", async (_, headers, expected) => {
    expect(await ask("POST", upload, { host: host(), ...headers })).toBe(expected);
  });

  test("a push from a page of its own, of the same scheme", async () => {
    expect(await ask("POST", upload, { host: host(), origin: `http://${host()}`, "sec-fetch-site": "same-origin" })).toBe(202);
    expect(await ask("POST", upload, { host: host(), origin: `https://${host()}` })).toBe("403 DENIED");
  });

  test("another site can neither delete nor make the registry fetch", async () => {
    const headers = { host: host(), "sec-fetch-site": "cross-site" };
    for (const method of ["GET", "DELETE"]) expect(await ask(method, "/v2/a/manifests/latest", headers)).toBe("403 DENIED");
    expect(await ask("HEAD", "/v2/a/manifests/latest", headers)).toBe("403");
    expect(await ask("POST", "/api/v1/runs", headers)).toBe("403 DENIED");
  });

  test("no answer can be taken for a page", async () => {
    for (const path of ["/v2/", "/v2/%zz", "/v2/a/manifests/x", "/livez", "/metrics", "/api/v1/state", "/%zz", "/"]) {
      const { headers } = await send(registry.url, "GET", path);
      expect([path, headers["x-content-type-options"]]).toEqual([path, "nosniff"]);
    }
    expect(await sendRaw(registry.url, "no HTTP\r\n\r\n")).toContain("\r\nx-content-type-options: nosniff\r\n");
  });
});
