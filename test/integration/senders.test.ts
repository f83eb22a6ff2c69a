// Who takes a share of the registry: an identity, or without a login an address, which behind a trusted proxy is the client's.

import { once } from "node:events";
import { request, type ClientRequest } from "node:http";

import { hashSync } from "bcryptjs";
import { afterAll, beforeAll, expect, test } from "vitest";

import { defaultSettings } from "../../src/config/settings.ts";
import { digestOf, pushBlob, randomBlob } from "../conformance/content.ts";
import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "../support/registry.ts";

let registry: TestRegistry;
let url: string;

beforeAll(async () => {
  const { access, limits } = defaultSettings;
  const settings = {
    ...defaultSettings,
    access: { ...access, trustedProxies: ["127.0.0.0/8"] },
    limits: { ...limits, transfersPerIdentity: 2 },
  };
  registry = await startTestRegistry({ settings });
  url = registry.url;
  registry.secrets.set("default", "wharfinger-users", { htpasswd: `ci:${hashSync("right", 5)}\n` });
});
afterAll(() => registry.stop());

const at = (address: string) => ({ "x-forwarded-for": address });
const ci = { authorization: `Basic ${Buffer.from("ci:right").toString("base64")}` };

/** An upload whose body began and does not end. */
async function hangingUpload(headers: Record<string, string>): Promise<ClientRequest> {
  const { location = "" } = (await send(url, "POST", "/v2/team/app/blobs/uploads/", { headers })).headers;
  const { hostname, port } = new URL(url);
  const outgoing = request({
    hostname,
    port,
    method: "PATCH",
    path: location,
    agent: false,
    headers: { ...headers, expect: "100-continue" },
  });
  outgoing.on("error", () => {});
  outgoing.flushHeaders();
  await once(outgoing, "continue");
  outgoing.write("the first bytes");
  return outgoing;
}

test("transfers are limited per address and per identity; what is no transfer goes on", async () => {
  const blob = randomBlob(100);
  await pushBlob(url, "team/app", blob);
  const path = `/v2/team/app/blobs/${digestOf(blob)}`;
  const status = async (method: string, headers: Record<string, string>) => (await send(url, method, path, { headers })).status;

  const hanging = [await hangingUpload(at("1.1.1.1")), await hangingUpload(at("1.1.1.1"))];
  const refused = await send(url, "GET", path, { headers: at("1.1.1.1") });
  expect({ status: refused.status, code: refused.code(), retryAfter: refused.headers["retry-after"] }).toEqual({
    status: 429,
    code: "TOOMANYREQUESTS",
    retryAfter: "5",
  });
  expect((await send(url, "POST", "/v2/team/app/blobs/uploads/", { headers: at("1.1.1.1") })).status).toBe(429);
  expect(await status("HEAD", at("1.1.1.1"))).toBe(200);
  expect(await status("GET", at("2.2.2.2"))).toBe(200);
  expect(await status("GET", { ...ci, ...at("1.1.1.1") }), "a login has a share of its own").toBe(200);
  const metrics = await send(url, "GET", "/metrics", { headers: { authorization: `Bearer ${adminToken}` } });
  expect(metrics.body.toString()).toContain("wharfinger_transfers 2");

  for (const outgoing of hanging) outgoing.destroy();
  await eventually(async () => expect(await status("GET", at("1.1.1.1"))).toBe(200));

  const ofCi = [await hangingUpload({ ...ci, ...at("3.3.3.3") }), await hangingUpload({ ...ci, ...at("4.4.4.4") })];
  expect(await status("GET", { ...ci, ...at("5.5.5.5") }), "and one only, from wherever it comes").toBe(429);
  for (const outgoing of ofCi) outgoing.destroy();
});

test("the client's address is what the log says and the login brake counts", async () => {
  const wrong = { authorization: `Basic ${Buffer.from("ci:wrong").toString("base64")}` };
  expect((await send(url, "GET", "/v2/", { headers: { ...wrong, ...at("9.9.9.9, 6.6.6.6") } })).status).toBe(401);
  expect((await send(url, "GET", "/api/v1/usage", { headers: { authorization: "Bearer no", ...at("7.7.7.7") } })).status).toBe(401);
  expect((await send(url, "GET", "/metrics", { headers: { authorization: "Bearer no", ...at("8.8.8.8") } })).status).toBe(401);
  const sources = registry.log.filter(({ event }) => event === "login-refused").map(({ source }) => source);
  expect(sources).toEqual(["6.6.6.6", "7.7.7.7", "8.8.8.8"]);
});

test("behind a proxy metrics are for administrators only", async () => {
  expect((await send(url, "GET", "/metrics", { headers: at("1.2.3.4") })).status).toBe(401);
});
