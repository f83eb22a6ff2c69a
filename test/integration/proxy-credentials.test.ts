// Who we are to an upstream, and to whom we are that: logins, tokens, certificates, redirects, and how an Upstream is doing.

import { afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";

import { createCertificates, type Certificates, type KeyPair } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { pullBlob, someone, startProxy, upstreamSpec, type TestProxy, type TestProxyOptions } from "../support/proxy.ts";
import { ScriptedUpstream, type ScriptedUpstreamOptions } from "../support/scripted-upstream.ts";

const login = { username: "robot", password: "canary-s3cret" };
const basic = `Basic ${Buffer.from("robot:canary-s3cret").toString("base64")}`;
const withLogin = { auth: { provider: "generic", secretRef: { name: "pull" } } } as const;

let certificates: Certificates;
let proxy: TestProxy;
let upstream: ScriptedUpstream;
const running: ScriptedUpstream[] = [];

beforeAll(async () => {
  certificates = await createCertificates();
});
beforeEach(async () => {
  proxy = await startProxy();
  proxy.configuration.setSecret("pull", login);
});
afterEach(async () => {
  vi.useRealTimers();
  await proxy.stop();
  await Promise.all(running.splice(0).map((one) => one.stop()));
});

async function start(options: ScriptedUpstreamOptions = {}): Promise<ScriptedUpstream> {
  const started = await ScriptedUpstream.start(options);
  running.push(started);
  return started;
}

function configure(overrides: Parameters<typeof upstreamSpec>[2] = {}, url = upstream.url): void {
  proxy.configuration.publish({ p: upstreamSpec(url, "p", overrides) });
}

const pull = (tag = "latest") => proxy.pull.manifest("p/team/app", { tag }, someone);
const sentTo = (one: ScriptedUpstream) => one.seen.map(({ headers }) => headers["authorization"]);

test("Basic: asked once, then sent at once", async () => {
  upstream = await start({ challenge: "basic", login });
  const { layer } = upstream.addImage("team/app", "latest", Buffer.from("x"));
  configure(withLogin);
  await pull();
  await pullBlob(proxy.pull, "p/team/app", layer);
  expect(sentTo(upstream)).toEqual([undefined, basic, basic]);
});

test.each([
  ["anonymous", {}, undefined],
  ["with a docker configuration", withLogin, basic],
])("Bearer, %s: one token a repository, whoever asks at the same time", async (_, spec, who) => {
  upstream = await start({ challenge: "bearer", ...(who === undefined ? {} : { login }) });
  const images = Array.from({ length: 10 }, (_, index) => upstream.addImage("team/app", `v${index}`, Buffer.from(`layer ${index}`)));
  proxy.configuration.setSecret("pull", {
    ".dockerconfigjson": JSON.stringify({ auths: { [upstream.host]: { auth: Buffer.from("robot:canary-s3cret").toString("base64") } } }),
  });
  configure(spec);
  await Promise.all(images.map(({ layer }) => pullBlob(proxy.pull, "p/team/app", layer)));
  const tokens = upstream.asked("/token");
  expect(tokens.map(({ path, headers }) => [path, headers["authorization"]])).toEqual([
    ["/token?service=scripted&scope=repository%3Ateam%2Fapp%3Apull", who],
  ]);
  // The login goes to the token server alone.
  expect(upstream.asked("/v2/").filter(({ headers }) => headers["authorization"] === basic)).toEqual([]);
});

test("a token is replaced before it runs out, and when upstream refuses it early", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  upstream = await start({ challenge: "bearer", tokenLifetime: 60 });
  for (const tag of ["a", "young", "b", "c"]) upstream.addImage("team/app", tag, Buffer.from(tag));
  configure();
  await pull("a");
  vi.setSystemTime(Date.now() + 40_000);
  await pull("young");
  vi.setSystemTime(Date.now() + 10_000);
  await pull("b");
  // No refusal in between: it was fetched before it was needed.
  expect(upstream.asked("/v2/").map(({ headers }) => headers["authorization"])).toEqual([
    undefined,
    "Bearer token-team/app-1",
    "Bearer token-team/app-1",
    "Bearer token-team/app-2",
  ]);
  upstream.script(
    "/manifests/c",
    { kind: "status", status: 401, headers: { "www-authenticate": `Bearer realm="${upstream.url}/token",error="invalid_token"` } },
    1,
  );
  await pull("c");
  expect(sentTo(upstream).at(-1)).toBe("Bearer token-team/app-3");
});

test("an identity token is a refresh token: POST, never in an address", async () => {
  upstream = await start({ challenge: "bearer" });
  upstream.addImage("team/app", "latest", Buffer.from("x"));
  proxy.configuration.setSecret("pull", {
    ".dockerconfigjson": JSON.stringify({ auths: { [upstream.host]: { identitytoken: "canary-refresh" } } }),
  });
  upstream.script("^/token$", { kind: "body", body: JSON.stringify({ access_token: "token-team/app-x" }) });
  configure(withLogin);
  await pull();
  const [token] = upstream.asked("/token");
  expect(token).toMatchObject({ method: "POST", path: "/token" });
  expect(Object.fromEntries(new URLSearchParams(token?.body))).toEqual({
    grant_type: "refresh_token",
    client_id: "wharfinger",
    scope: "repository:team/app:pull",
    service: "scripted",
    refresh_token: "canary-refresh",
  });
});

test("a layer from a content network: followed without the credentials", async () => {
  const network = await start();
  upstream = await start({ challenge: "bearer", login });
  const bytes = Buffer.alloc(200_000, "layer");
  const { layer } = upstream.addImage("team/app", "latest", bytes);
  network.addBlob("bucket", bytes);
  upstream.script(
    { method: "GET", path: /\/blobs\// },
    { kind: "redirect", location: `${network.url}/v2/bucket/blobs/${layer}?X-Amz-Signature=canary-signature` },
  );
  configure({ ...withLogin, allowedHosts: [network.host] });
  expect((await pullBlob(proxy.pull, "p/team/app", layer)).equals(bytes)).toBe(true);
  expect(network.seen).toHaveLength(1);
  expect(sentTo(network)).toEqual([undefined]);
  expect(proxy.log.join("\n")).not.toContain("canary");
});

test("a realm at an allowed host gets the login", async () => {
  const auth = await start({ challenge: "bearer", login });
  upstream = await start({ challenge: "bearer", login, realm: `${auth.url}/token` });
  const { manifest } = upstream.addImage("team/app", "latest", Buffer.from("x"));
  configure({ ...withLogin, allowedHosts: [auth.host] });
  expect((await pull()).digest).toBe(manifest);
  expect(sentTo(auth)).toEqual([basic]);
});

test("a Secret that is missing is said, nothing is asked, and it works as soon as it is there", async () => {
  upstream = await start({ challenge: "basic", login });
  upstream.addImage("team/app", "latest", Buffer.from("x"));
  proxy.configuration.setSecret("pull", undefined);
  configure(withLogin);
  const failure = { code: "UPSTREAM_FAILED", message: expect.stringMatching(/Secret default\/pull does not exist$/) as string };
  await expect(pull()).rejects.toMatchObject(failure);
  expect(upstream.seen).toEqual([]);
  expect(proxy.upstreams.views()[0]).toMatchObject({ credentialsLoaded: false, message: "Secret default/pull does not exist" });
  proxy.configuration.setSecret("pull", login);
  expect((await pull()).digest).toMatch(/^sha256:/);
  expect(proxy.upstreams.views()[0]).toMatchObject({ credentialsLoaded: true, reachable: "True" });
  // Taken away: what is cached and fresh is served, nothing else is asked for with the old login.
  proxy.configuration.setSecret("pull", undefined);
  const asked = upstream.seen.length;
  expect((await pull()).digest).toMatch(/^sha256:/);
  await expect(pull("other")).rejects.toMatchObject(failure);
  expect(upstream.seen.length).toBe(asked);
});

test("a cloud provider is not built yet, and says so", async () => {
  upstream = await start();
  configure({ auth: { provider: "aws" } });
  await expect(pull()).rejects.toMatchObject({
    code: "UPSTREAM_FAILED",
    message: expect.stringMatching(/provider aws is not built yet/) as string,
  });
  expect(upstream.seen).toEqual([]);
});

test("TLS: an unknown authority is refused, certSecretRef trusts it, and a client certificate is shown to the Upstream alone", async () => {
  const tls = { ...certificates.server, ca: certificates.authority, requestCert: true };
  const network = await start({ tls });
  upstream = await start({ tls });
  const bytes = Buffer.from("over TLS");
  const { layer } = upstream.addImage("team/app", "latest", bytes);
  network.addBlob("bucket", bytes);
  configure();
  await expect(pull()).rejects.toMatchObject({
    code: "UPSTREAM_FAILED",
    message: expect.stringMatching(/cannot be reached \(.*(VERIFY|SELF_SIGNED)/) as string,
  });
  proxy.configuration.setSecret("tls", {
    "ca.crt": certificates.authority,
    "tls.crt": certificates.client.cert,
    "tls.key": certificates.client.key,
  });
  configure({ certSecretRef: { name: "tls" }, allowedHosts: [network.host] });
  expect((await pull()).digest).toMatch(/^sha256:/);
  upstream.script({ method: "GET", path: /\/blobs\// }, { kind: "redirect", location: `${network.url}/v2/bucket/blobs/${layer}` });
  expect((await pullBlob(proxy.pull, "p/team/app", layer)).equals(bytes)).toBe(true);
  expect([upstream.seen.at(-1)?.peer, network.seen.at(-1)?.peer]).toEqual(["client", undefined]);
  proxy.configuration.setSecret("tls", { "tls.crt": certificates.client.cert });
  await expect(pull("other")).rejects.toMatchObject({
    message: expect.stringMatching(/Secret default\/tls needs tls\.key beside its tls\.crt$/) as string,
  });
});

test("a certificate that was replaced is the one that the next request shows, and the connections of the old one end", async () => {
  upstream = await start({ tls: { ...certificates.server, ca: certificates.authority, requestCert: true } });
  for (const tag of ["a", "b", "c"]) upstream.addImage("team/app", tag, Buffer.from(tag));
  const named = ({ cert, key }: KeyPair) => ({ "ca.crt": certificates.authority, "tls.crt": cert, "tls.key": key });
  proxy.configuration.setSecret("tls", named(certificates.client));
  configure({ certSecretRef: { name: "tls" } });
  await pull("a");
  await pull("b");
  expect(upstream.seen.map(({ peer }) => peer)).toEqual(["client", "client"]);
  expect(await upstream.connections()).toBe(1);
  proxy.configuration.setSecret("tls", named(certificates.server));
  await pull("c");
  expect(upstream.seen.at(-1)?.peer).toBe("server");
  // Idle ones would be kept for longer than this.
  await eventually(async () => expect(await upstream.connections()).toBe(1));
});

test("who has other Secrets goes on with the token he has", async () => {
  upstream = await start({ challenge: "bearer", login });
  upstream.addImage("team/app", "a", Buffer.from("a"));
  upstream.addImage("team/app", "b", Buffer.from("b"));
  configure(withLogin);
  await pull("a");
  proxy.configuration.setSecret("of somebody else", login);
  await pull("b");
  expect(upstream.asked("/token")).toHaveLength(1);
  proxy.configuration.setSecret("pull", { ...login });
  await proxy.pull.manifest("p/team/app", { tag: "a" }, { ...someone, revalidate: true });
  expect(upstream.asked("/token")).toHaveLength(2);
});

test("credentials that were withdrawn are used no more: what is cached is served, nothing is asked", async () => {
  upstream = await start({ challenge: "basic", login });
  const { manifest } = upstream.addImage("team/app", "latest", Buffer.from("x"));
  configure(withLogin);
  await pull();
  const asked = upstream.seen.length;
  proxy.configuration.setSecret("pull", undefined);
  await expect(pull("another")).rejects.toMatchObject({
    message: expect.stringMatching(/Secret default\/pull does not exist$/) as string,
  });
  expect((await pull()).digest).toBe(manifest);
  expect(upstream.seen.length).toBe(asked);
});

const refusedByPolicy = {
  message: expect.stringMatching(/may not be asked \(egress policy\); its administrator sees why in the status$/) as string,
};

test("a redirect from https to http is refused", async () => {
  const plain = await start();
  upstream = await start({ tls: certificates.server });
  upstream.addImage("team/app", "latest", Buffer.from("x"));
  upstream.script("/manifests/", { kind: "redirect", location: `${plain.url}/v2/team/app/manifests/latest` });
  proxy.configuration.setSecret("tls", { "ca.crt": certificates.authority });
  configure({ certSecretRef: { name: "tls" }, allowedHosts: [plain.host] });
  await expect(pull()).rejects.toMatchObject(refusedByPolicy);
  expect(proxy.upstreams.views()[0]?.message).toMatch(/is not https \(set spec\.insecure to allow http\)/);
  expect(plain.seen).toEqual([]);
});

test("http only where the resource says so", async () => {
  upstream = await start();
  configure({ insecure: false });
  await expect(pull()).rejects.toMatchObject(refusedByPolicy);
  expect(proxy.upstreams.views()[0]?.message).toMatch(/is not https/);
  expect(upstream.seen).toEqual([]);
});

test.each<[string, TestProxyOptions, boolean]>([
  ["in a cluster a private address is refused", { trustOwnHosts: false }, false],
  ["unless the installation allows its network", { trustOwnHosts: false, allowedCIDRs: ["127.0.0.0/8"] }, true],
  ["another network does not help", { trustOwnHosts: false, allowedCIDRs: ["10.0.0.0/8"] }, false],
])("%s", async (_, options, works) => {
  upstream = await start();
  upstream.addImage("team/app", "latest", Buffer.from("x"));
  const strict = await startProxy(options);
  strict.configuration.publish({
    p: upstreamSpec(upstream.url, "p"),
    named: upstreamSpec(upstream.url.replace("127.0.0.1", "localhost"), "named"),
  });
  for (const prefix of ["p", "named"]) {
    const outcome = await strict.pull.manifest(`${prefix}/team/app`, { tag: "latest" }, someone).then(
      () => "served",
      (error: Error) => error.message,
    );
    expect(outcome).toEqual(works ? "served" : refusedByPolicy.message);
    const status = strict.upstreams.views().find((view) => view.prefix === prefix)?.message;
    expect(status).toMatch(works ? /^answers$/ : /an internal address/);
  }
  expect(upstream.seen.length > 0).toBe(works);
  await strict.stop();
});

test("views: unknown, reachable, not reachable, never with a secret", async () => {
  upstream = await start({ challenge: "bearer", login });
  upstream.addImage("team/app", "latest", Buffer.from("x"));
  configure({ ...withLogin, hosts: ["cgr.dev"] });
  expect(proxy.upstreams.views()).toEqual([
    {
      key: "default/p",
      prefix: "p",
      url: upstream.url,
      hosts: ["cgr.dev"],
      generation: 1,
      reachable: "Unknown",
      message: "not asked yet",
      credentialsLoaded: true,
    },
  ]);
  await pull();
  expect(proxy.upstreams.views()).toMatchObject([
    { reachable: "True", message: "answers", heardAt: expect.stringMatching(/Z$/) as string },
  ]);
  upstream.script("/v2/", { kind: "status", status: 503 });
  await expect(pull("another")).rejects.toMatchObject({ code: "UPSTREAM_FAILED" });
  expect(proxy.upstreams.views()).toMatchObject([{ reachable: "False", message: `${upstream.host} answers 503` }]);
  expect(JSON.stringify(proxy.upstreams.views())).not.toContain("canary");
});

test("an upstream that fails again and again is left alone for a moment, and asked again by one", async () => {
  upstream = await start();
  const { manifest } = upstream.addImage("team/app", "latest", Buffer.from("x"));
  configure();
  upstream.script("/", { kind: "status", status: 500 });
  for (let failures = 0; failures < 5; failures++) await expect(pull()).rejects.toMatchObject({ code: "UPSTREAM_FAILED" });
  const asked = upstream.seen.length;
  await expect(pull()).rejects.toMatchObject({
    code: "UPSTREAM_FAILED",
    retryAfter: 1,
    message: expect.stringMatching(/failed repeatedly/) as string,
  });
  expect(upstream.seen.length).toBe(asked);
  upstream.behave();
  await expect.poll(async () => (await pull().catch(() => undefined))?.digest, { interval: 100 }).toBe(manifest);
});
