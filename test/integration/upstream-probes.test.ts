// What a probe finds out about an upstream, and what it costs: real sockets, real certificates, and names that do not resolve.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";

import type { UpstreamView } from "../../src/api/control/contents.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import { createCertificates, type Certificates } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { someone, startProxy, upstreamSpec, type TestProxy } from "../support/proxy.ts";
import { ScriptedUpstream, type ScriptedUpstreamOptions } from "../support/scripted-upstream.ts";

const login = { username: "robot", password: "canary-s3cret" };
const withLogin = { auth: { provider: "generic", secretRef: { name: "pull" } } } as const;

let certificates: Certificates;
let proxy: TestProxy;
/** As in a cluster: an Upstream's own host is no excuse. */
let strict: TestProxy;
const running: ScriptedUpstream[] = [];

beforeAll(async () => {
  certificates = await createCertificates();
  [proxy, strict] = await Promise.all([
    startProxy(),
    startProxy({ trustOwnHosts: false, allowedCIDRs: defaultSettings.egress.allowedCIDRs }),
  ]);
});
afterAll(() => Promise.all([proxy?.stop(), strict?.stop()]));
beforeEach(() => proxy.configuration.setSecret("pull", login));
afterEach(async () => {
  vi.useRealTimers();
  proxy.configuration.publish({});
  await Promise.all(running.splice(0).map((one) => one.stop()));
});

async function start(options: ScriptedUpstreamOptions = {}): Promise<ScriptedUpstream> {
  const started = await ScriptedUpstream.start(options);
  running.push(started);
  return started;
}

type Overrides = Parameters<typeof upstreamSpec>[2];
function probe(url: string, overrides: Overrides = {}, of = proxy): Promise<UpstreamView> {
  of.configuration.publish({ p: upstreamSpec(url, "p", overrides) });
  return of.upstreams.probe("default/p");
}

test.each<[string, ScriptedUpstreamOptions, Overrides, requests: number]>([
  ["that asks for nothing", {}, {}, 1],
  ["that gives tokens to anybody", { challenge: "bearer" }, {}, 3],
  ["with the right login for tokens", { challenge: "bearer", login }, withLogin, 3],
  ["with the right login", { challenge: "basic", login }, withLogin, 2],
  // What is public there may still be pulled.
  ["that gives nothing to strangers", { challenge: "bearer", login }, {}, 2],
  ["that wants a login", { challenge: "basic", login }, {}, 1],
])("one %s answers", async (_, options, spec, requests) => {
  const upstream = await start(options);
  expect(await probe(upstream.url, spec)).toMatchObject({ reachable: "True", heardAt: expect.stringMatching(/Z$/) as string });
  expect(upstream.seen.map(({ method, path }) => [method, path.replace(/\?.*/, "")])).toEqual(
    [
      ["GET", "/v2/"],
      ["GET", requests === 2 && options.challenge === "basic" ? "/v2/" : "/token"],
      ["GET", "/v2/"],
    ].slice(0, requests),
  );
});

test.each<[string, ScriptedUpstreamOptions]>([
  ["for tokens", { challenge: "bearer", login: { ...login, password: "another" } }],
  ["itself", { challenge: "basic", login: { ...login, password: "another" } }],
])("a login that upstream does not accept %s is said, until another one is in the Secret", async (_, options) => {
  const upstream = await start(options);
  // Not one that another test has pulled: within tagTTL that is served without a question.
  const repository = `team/${options.challenge}`;
  upstream.addImage(repository, "latest", Buffer.from("x"));
  const refused = {
    reachable: "False",
    reason: "AuthenticationFailed",
    message: expect.stringMatching(/login of spec\.auth\.secretRef \(401\); put a login into the Secret that upstream accepts$/) as string,
  };
  expect(await probe(upstream.url, withLogin)).toMatchObject(refused);
  // That a repository is refused, as all are now, does not make the login good.
  await expect(proxy.pull.manifest(`p/${repository}`, { tag: "latest" }, someone)).rejects.toMatchObject({ code: "DENIED" });
  expect(proxy.upstreams.views()).toMatchObject([refused]);
  expect(JSON.stringify(proxy.upstreams.views())).not.toContain("canary");
  // What is pulled with it does.
  upstream.login = login;
  await proxy.pull.manifest(`p/${repository}`, { tag: "latest" }, someone);
  expect(proxy.upstreams.views()).toMatchObject([{ reachable: "True" }]);
  // What was good before does not count: the question is about the login.
  upstream.login = { ...login, password: "a third" };
  expect(await proxy.upstreams.probe("default/p")).toMatchObject(refused);
  proxy.configuration.setSecret("pull", { ...login, password: "a third" });
  expect(await proxy.upstreams.probe("default/p")).toMatchObject({ reachable: "True" });
});

test("the login is shown for no repository, whatever scope the challenge names", async () => {
  const upstream = await start({ challenge: "bearer", login });
  const realm = `Bearer realm="${upstream.url}/token",service="scripted",scope="repository:user/image:pull"`;
  upstream.script("^/v2/$", { kind: "status", status: 401, headers: { "www-authenticate": realm } }, 1);
  expect(await probe(upstream.url, withLogin)).toMatchObject({ reachable: "True" });
  expect(upstream.asked("/token").map(({ path }) => path)).toEqual(["/token?service=scripted"]);
});

test("nobody there, no such name, no certificate that is trusted, no TLS, silence: each says what to do", async () => {
  const gone = await start();
  await gone.stop();
  const message = (text: string) => ({ reachable: "False", reason: "Unreachable", message: expect.stringContaining(text) as string });
  expect(await probe(gone.url)).toMatchObject(message(`${gone.host} cannot be reached (ECONNREFUSED); nobody listens there`));
  expect(await probe("https://registry.invalid")).toMatchObject(
    message("could not be resolved (ENOTFOUND); is the name in spec.url right?"),
  );
  const secret = await start({ tls: certificates.server });
  expect(await probe(secret.url)).toMatchObject(message("name that in spec.certSecretRef (ca.crt)"));
  proxy.configuration.setSecret("ca", { "ca.crt": certificates.authority });
  expect(await probe(secret.url, { certSecretRef: { name: "ca" } })).toMatchObject({ reachable: "True" });
  const plain = await start();
  expect(await probe(plain.url.replace("http:", "https:"))).toMatchObject(message("it does not speak TLS there"));
  plain.script("^/v2/$", { kind: "silent" });
  expect(await probe(plain.url, { timeouts: { connect: "100ms", firstByte: "100ms" } })).toMatchObject(
    message("did not answer within 0.2 s; "),
  );
  plain.behave();
  plain.script("^/v2/$", { kind: "status", status: 503 });
  expect(await probe(plain.url)).toMatchObject(message("answers 503"));
});

test("what the egress policy forbids is not asked, and said with what would allow it", async () => {
  const upstream = await start();
  expect(await probe(upstream.url, {}, strict)).toMatchObject({
    reachable: "False",
    reason: "EgressRefused",
    message: expect.stringContaining("Only networks in the setting egress.allowedCIDRs may be reached") as string,
  });
  expect(upstream.seen).toEqual([]);
  const elsewhere = await start({ challenge: "bearer", login, realm: "http://tokens.example.org/token" });
  expect(await probe(elsewhere.url, withLogin)).toMatchObject({
    reason: "EgressRefused",
    message: expect.stringContaining("Add it to spec.allowedHosts") as string,
  });
});

test("too many requests is an answer; until the pause is over nothing is asked", async () => {
  const upstream = await start();
  const headers = { "retry-after": "600", "ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600" };
  upstream.script("^/v2/$", { kind: "status", status: 429, headers });
  const limited = { reachable: "True", rateLimit: { limit: 100, remaining: 0, resetsAt: expect.stringMatching(/Z$/) as string } };
  expect(await probe(upstream.url)).toMatchObject(limited);
  expect(await proxy.upstreams.probe("default/p")).toMatchObject(limited);
  expect(upstream.seen).toHaveLength(1);
});

test("what is offline, or has no Secret that can be used, is not asked; what is not published is not there", async () => {
  const upstream = await start();
  expect(await probe(upstream.url, { offline: true })).toMatchObject({ reachable: "Unknown" });
  proxy.configuration.setSecret("pull", undefined);
  expect(await probe(upstream.url, withLogin)).toMatchObject({ reachable: "Unknown", credentialsLoaded: false });
  expect(upstream.seen).toEqual([]);
  await expect(proxy.upstreams.probe("default/another")).rejects.toMatchObject({ code: "NOT_FOUND" });
});

test("all who ask at the same time wait for one request, and a few upstreams are asked at once", async () => {
  const asked: (() => void)[] = [];
  const upstream = createServer((_, response) => void asked.push(() => response.end()));
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  const names = Array.from({ length: 12 }, (_, index) => `u${index}`);
  const spec = (name: string) => upstreamSpec(url, name, { timeouts: { connect: "20s", firstByte: "20s" } });
  proxy.configuration.publish(Object.fromEntries(names.map((name) => [name, spec(name)])));
  const all = Promise.all(names.flatMap((name) => Array.from({ length: 3 }, () => proxy.upstreams.probe(`default/${name}`))));
  await eventually(() => expect(asked).toHaveLength(8));
  for (const answer of asked) answer();
  await eventually(() => expect(asked).toHaveLength(12));
  for (const answer of asked) answer();
  expect((await all).map(({ reachable }) => reachable)).toEqual(Array.from({ length: 36 }, () => "True"));
  expect(asked).toHaveLength(12);
  upstream.closeAllConnections();
  await new Promise((resolve) => upstream.close(resolve));
});

test("the circuit that pulls have opened holds for probes, and a probe closes it", async () => {
  const upstream = await start();
  upstream.addImage("team/app", "latest", Buffer.from("x"));
  upstream.script("/v2/", { kind: "status", status: 503 });
  proxy.configuration.publish({ p: upstreamSpec(upstream.url, "p", { cache: { mode: "Never" } }) });
  vi.useFakeTimers({ toFake: ["Date"] });
  for (let pulls = 0; pulls < 5; pulls++)
    await expect(proxy.pull.manifest("p/team/app", { tag: `t${pulls}` }, someone)).rejects.toMatchObject({ code: "UPSTREAM_FAILED" });
  const before = upstream.seen.length;
  expect(await proxy.upstreams.probe("default/p")).toMatchObject({ reachable: "False" });
  expect(upstream.seen).toHaveLength(before);
  upstream.behave();
  vi.setSystemTime(Date.now() + 10_000);
  expect(await proxy.upstreams.probe("default/p")).toMatchObject({ reachable: "True" });
  await proxy.pull.manifest("p/team/app", { tag: "latest" }, someone);
});
