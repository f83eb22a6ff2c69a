// Access tokens as clients get and show them: docker's protocol by HTTP, from the challenge to the pull, and all that does not count.

import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { hashSync } from "bcryptjs";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings, type Settings } from "../../src/config/settings.ts";
import { digestOf, pushImage } from "../conformance/content.ts";
import { eventually } from "../support/eventually.ts";
import { send, sendRaw, type Reply } from "../support/http.ts";
import { createMigratedDatabase, type TestDatabase } from "../support/postgres.ts";
import { adminToken, startTestRegistry, TestSecrets, type TestRegistry } from "../support/registry.ts";
import { audience, clusterIssuer, createTokenIssuer, type TokenIssuer } from "../support/token-issuer.ts";

const robotPassword = `wfr_${"r".repeat(43)}`;
const robot = (more: object = {}) => JSON.stringify({ sha256: createHash("sha256").update(robotPassword).digest("hex"), ...more });
const users = { htpasswd: ["ci", "eve"].map((name) => `${name}:${hashSync(`${name}-password`, 5)}\n`).join("") };
const account = { namespace: "team-a", name: "builder" } as const;

const policy = (name: string, subjects: readonly object[], include: readonly string[], actions: readonly string[]) => ({
  kind: "AccessPolicy" as const,
  namespace: "default",
  name,
  generation: 1,
  revision: "r1",
  suspend: false,
  spec: { subjects, repositories: { include }, actions },
});
const people = [
  { kind: "User", name: "ci" },
  { kind: "User", name: "node" },
  { kind: "ServiceAccount", ...account },
];
const builders = policy("builders", people, ["team-a/**"], ["pull", "push", "delete"]);
const others = [
  policy("public", [{ kind: "Anonymous" }], ["public/**"], ["pull"]),
  policy("mirror", [{ kind: "User", name: "ci" }], ["mirror/**"], ["pull"]),
];

let database: TestDatabase;
let folder: string;
let issuer: TokenIssuer;
let settings: Settings;
let upstream: TestRegistry;
let registry: TestRegistry;
let second: TestRegistry;
let url: string;
let revisions = 0;
const secrets = new TestSecrets();

/** Another process of the installation: on the same database, around the same bytes, which are what a bucket is to pods. */
async function start(name: string, part: Partial<Settings> = {}): Promise<TestRegistry> {
  const blobs = join(folder, name);
  await mkdir(blobs);
  for (const shared of ["objects", "uploading", "marker"]) {
    await mkdir(join(folder, shared), { recursive: true });
    await symlink(join(folder, shared), join(blobs, shared));
  }
  return startTestRegistry({
    database: { url: database.url },
    blobs: { folder: blobs },
    settings: { ...settings, ...part },
    secrets,
    pod: name,
  });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-tokens-"));
  [database, issuer] = await Promise.all([createMigratedDatabase(), createTokenIssuer()]);
  await writeFile(join(folder, "jwks.json"), issuer.jwks);
  settings = {
    ...defaultSettings,
    externalURL: `https://${audience}`,
    auth: { issuers: [{ name: "in-cluster", issuer: clusterIssuer, jwks: join(folder, "jwks.json") }] },
    access: { ...defaultSettings.access, anonymousPull: "None", hosts: ["inside.example.com"], trustedProxies: ["127.0.0.1/32"] },
  };
  [registry, second, upstream] = await Promise.all([start("first"), start("second"), startTestRegistry()]);
  url = registry.url;
  await pushImage(upstream.url, "team/app", "latest");
  for (const name of ["team-a/app", "team-b/app", "public/app"]) await pushImage(url, name, "latest");
  secrets.set("default", "wharfinger-users", users);
  secrets.set("default", "wharfinger-robots", { node: robot() });
  await publish(builders);
});
afterAll(async () => {
  await Promise.all([registry, second, upstream].map((running) => running?.stop()));
  await database?.drop();
  await rm(folder, { recursive: true, force: true });
});

async function publish(...policies: readonly (typeof builders)[]): Promise<void> {
  const client = new ControlClient({ url, token: adminToken });
  const { revision: base } = await client.record();
  const upstreams = {
    kind: "Upstream" as const,
    spec: { url: upstream.url, insecure: true, prefix: "mirror", hosts: ["mirror.example.com"] },
  };
  const common = { namespace: "default", name: "mirror", generation: 1, revision: "r1", suspend: false };
  const resources = [...policies, ...others, { ...common, ...upstreams }];
  await client.publish({ revision: `r${++revisions}`, base, resources, ledgers: {}, settled: [] });
  await client.close();
}

const basic = (name: string, password = `${name}-password`) => ({
  authorization: `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`,
});
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const ask = (method: string, path: string, headers: Readonly<Record<string, string>> = {}, body?: string) =>
  send(url, method, path, { headers, ...(body === undefined ? {} : { body }) });
const challengeOf = ({ headers }: Reply) => headers["www-authenticate"] ?? "";
const parameter = (challenge: string, name: string) => new RegExp(`${name}="([^"]*)"`).exec(challenge)?.[1];

/** As docker asks: with what the challenge said. */
async function login(scopes: readonly string[], headers: Readonly<Record<string, string>> = {}, at = url): Promise<string> {
  const query = new URLSearchParams({ service: audience });
  for (const scope of scopes) query.append("scope", scope);
  const reply = await send(at, "GET", `/token?${query.toString()}`, { headers });
  expect(reply.status).toBe(200);
  return (reply.json() as { token: string }).token;
}
const form = (fields: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>> = {}) =>
  ask("POST", "/token", { "content-type": "application/x-www-form-urlencoded", ...headers }, new URLSearchParams(fields).toString());
const grantedTo = async (reply: Reply, path = "/v2/team-a/app/manifests/latest") => {
  const { token, access_token } = reply.json() as { token?: string; access_token?: string };
  return (await ask("GET", path, bearer(access_token ?? token ?? ""))).status;
};
const lines = (event: string) => registry.log.filter((line) => line["event"] === event);

describe("docker", () => {
  test("login: the challenge, the token, and what it opens", async () => {
    const challenge = challengeOf(await ask("GET", "/v2/"));
    expect(challenge).toBe(`Bearer realm="${url}/token",service="${audience}"`);
    const query = `account=ci&client_id=docker&offline_token=true&service=${audience}`;
    const wrong = await ask("GET", `/token?${query}`, basic("ci", "wrong"));
    expect([wrong.status, wrong.code(), challengeOf(wrong)]).toEqual([401, "UNAUTHORIZED", 'Basic realm="Wharfinger", charset="UTF-8"']);
    const reply = await ask("GET", `/token?${query}`, basic("ci"));
    expect([reply.status, reply.headers["cache-control"]]).toEqual([200, "no-store"]);
    const answer = reply.json() as Record<string, unknown>;
    // No refresh_token: docker keeps the password.
    expect(Object.keys(answer).sort()).toEqual(["access_token", "expires_in", "issued_at", "token"]);
    expect(answer).toMatchObject({ expires_in: 300, token: answer["access_token"] });
    expect(Math.abs(Date.now() - Date.parse(String(answer["issued_at"])))).toBeLessThan(3_600_000);
    expect((await ask("GET", "/v2/", bearer(String(answer["token"])))).status).toBe(200);
  });

  test("pull and push: the scope of the challenge is the one that is needed", async () => {
    const paths = [
      ["GET", "/v2/team-a/app/manifests/latest", "repository:team-a/app:pull"],
      ["HEAD", "/v2/team-a/app/manifests/latest", "repository:team-a/app:pull"],
      ["GET", "/v2/team-a/app/tags/list", "repository:team-a/app:pull"],
      ["GET", `/v2/team-a/app/blobs/${digestOf("{}")}`, "repository:team-a/app:pull"],
      ["POST", "/v2/team-a/new/blobs/uploads/", "repository:team-a/new:pull,push"],
      ["PUT", "/v2/team-a/new/manifests/v1", "repository:team-a/new:pull,push"],
      ["DELETE", "/v2/team-a/app/manifests/none", "repository:team-a/app:delete"],
      [
        "POST",
        `/v2/team-a/new/blobs/uploads/?mount=${digestOf("{}")}&from=team-a/app`,
        "repository:team-a/new:pull,push repository:team-a/app:pull",
      ],
      ["GET", "/v2/_catalog", "registry:catalog:*"],
    ] as const;
    const nothing = await login([], basic("ci"));
    for (const [method, path, scope] of paths) {
      const challenge = challengeOf(await ask(method, path, bearer(nothing)));
      expect([path, parameter(challenge, "scope"), parameter(challenge, "error")]).toEqual([path, scope, "insufficient_scope"]);
      const token = await login([scope], basic("ci"));
      expect([path, [200, 201, 202, 400, 404]]).toEqual([
        path,
        expect.arrayContaining([(await ask(method, path, bearer(token))).status]) as unknown,
      ]);
    }
  });

  test("pulls what is public without a login, and is told what it may not", async () => {
    const token = await login(["repository:public/app:pull,push", "repository:team-a/app:pull"]);
    expect((await ask("GET", "/v2/public/app/manifests/latest", bearer(token))).status).toBe(200);
    expect((await ask("GET", "/v2/", bearer(token))).status).toBe(200);
    for (const [method, path] of [
      ["GET", "/v2/team-a/app/manifests/latest"],
      ["GET", "/v2/no/such/manifests/latest"],
      ["POST", "/v2/public/app/blobs/uploads/"],
    ] as const) {
      const reply = await ask(method, path, bearer(token));
      expect([reply.status, reply.code(), parameter(challengeOf(reply), "error")]).toEqual([401, "UNAUTHORIZED", "insufficient_scope"]);
    }
  });

  test("mounts from where the token may pull too, and uploads where it may not", async () => {
    const digest = digestOf("{}");
    const mount = (token: string, to: string) => ask("POST", `/v2/${to}/blobs/uploads/?mount=${digest}&from=team-a/app`, bearer(token));
    const both = await login(["repository:team-a/m1:pull,push", "repository:team-a/app:pull"], basic("ci"));
    expect((await mount(both, "team-a/m1")).status).toBe(201);
    expect((await mount(await login(["repository:team-a/m2:pull,push"], basic("ci")), "team-a/m2")).status).toBe(202);
  });
});

describe("who gets a token", () => {
  const scope = "repository:team-a/app:pull";
  const serviceAccount = () => issuer.token(account);

  test("users, robots and ServiceAccounts, by GET and by the OAuth2 form", async () => {
    const asked = `/token?service=${audience}&scope=${scope}`;
    const logins = [
      ["ci", "ci-password"],
      ["node", robotPassword],
      ["serviceaccount", await serviceAccount()],
      ["anything", await serviceAccount()],
    ] as const;
    for (const [name, password] of logins) {
      expect([name, await grantedTo(await ask("GET", asked, basic(name, password)))]).toEqual([name, 200]);
      const reply = await form({
        grant_type: "password",
        username: name,
        password,
        service: audience,
        client_id: "containerd-client",
        scope,
      });
      expect([name, await grantedTo(reply)]).toEqual([name, 200]);
      expect(Object.keys(reply.json() as object).sort()).toEqual(["access_token", "expires_in", "issued_at", "scope"]);
      expect(reply.json()).toMatchObject({ scope, expires_in: 300 });
      // Without a token, as those do who know nothing else.
      expect((await ask("GET", "/v2/team-a/app/manifests/latest", basic(name, password))).status).toBe(200);
    }
    expect(await grantedTo(await ask("GET", asked, bearer(await serviceAccount())))).toBe(200);
    expect((await ask("GET", "/v2/team-a/app/manifests/latest", bearer(await serviceAccount()))).status).toBe(200);
    expect(await grantedTo(await form({ grant_type: "refresh_token", refresh_token: await serviceAccount(), scope }))).toBe(200);
  });

  test("a form that does not come is given up in seconds", async () => {
    const head =
      "POST /token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 1000\r\n\r\n";
    const reply = await sendRaw(registry.url, `${head}g`);
    expect(reply).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("each has what he asked for and may, under the words that he used", async () => {
    const scopes = "repository:team-a/app:pull,push,delete repository:team-b/app:pull repository:public/app:* registry:catalog:* nonsense";
    const reply = await form({ grant_type: "password", username: "ci", password: "ci-password", scope: scopes });
    expect((reply.json() as { scope: string }).scope).toBe(
      "repository:team-a/app:pull,push,delete repository:public/app:pull registry:catalog:*",
    );
    const { access_token: token } = reply.json() as { access_token: string };
    expect((await ask("GET", "/v2/_catalog", bearer(token))).json()).toEqual({
      repositories: ["public/app", "team-a/app", "team-a/m1", "team-a/new"],
    });
    // Not allowed to him: answered as if it were not there, with the token as without.
    expect((await ask("GET", "/v2/team-b/app/manifests/latest", bearer(token))).code()).toBe("NAME_UNKNOWN");
    expect(lines("login").at(-1)).toMatchObject({
      identity: "user:ci",
      scope: expect.stringContaining("team-a/app:pull") as string,
      source: "127.0.0.1",
    });
  });

  test.each<[string, () => Promise<Reply>, number, string, RegExp]>([
    ["a wrong password", () => ask("GET", "/token", basic("ci", "x")), 401, "invalid_grant", /^The credentials are wrong\.$/],
    ["a wrong password in a form", () => form({ grant_type: "password", username: "ci", password: "x" }), 401, "invalid_grant", /wrong/],
    [
      "a ServiceAccount's token that is for another",
      async () => ask("GET", "/token", basic("sa", await issuer.token({ ...account, audience: "x" }))),
      401,
      "invalid_grant",
      /audience/,
    ],
    [
      "an expired ServiceAccount's token",
      async () => form({ grant_type: "refresh_token", refresh_token: await issuer.token({ ...account, expires: -60 }) }),
      401,
      "invalid_grant",
      /expired/,
    ],
    ["a made-up refresh token", () => form({ grant_type: "refresh_token", refresh_token: "x" }), 401, "invalid_grant", /wrong/],
    ["no refresh token", () => form({ grant_type: "refresh_token" }), 400, "invalid_request", /missing/],
    ["another grant", () => form({ grant_type: "client_credentials" }), 400, "unsupported_grant_type", /grant_type is password/],
    ["no grant", () => form({}), 400, "unsupported_grant_type", /grant_type is password/],
    [
      "another service",
      () => ask("GET", "/token?service=other.example.com", basic("ci")),
      400,
      "invalid_request",
      new RegExp(`token service of ${audience}`),
    ],
    [
      "too many scopes",
      () => ask("GET", `/token?${"scope=repository:a:pull&".repeat(101)}`, basic("ci")),
      400,
      "invalid_scope",
      /100 scopes/,
    ],
    [
      "too many scopes for who shows nothing",
      () => ask("GET", `/token?${"scope=repository:a:pull&".repeat(17)}`),
      400,
      "invalid_scope",
      /16 scopes .* without a login: log in/,
    ],
    ["the admin token", () => ask("GET", "/token", bearer(adminToken)), 400, "invalid_request", /show it as Bearer itself/],
    [
      "a form that is JSON",
      () => ask("POST", "/token", { "content-type": "application/json" }, "{}"),
      415,
      "invalid_request",
      /x-www-form-urlencoded/,
    ],
    ["a form without end", () => form({ grant_type: "password", password: "x".repeat(40_000) }), 413, "invalid_request", /32768 bytes/],
    ["PUT", () => ask("PUT", "/token"), 405, "invalid_request", /not possible/],
  ])("%s is refused, in the words of both specifications", async (_, request, status, error, message) => {
    const reply = await request();
    const body = reply.json() as { error: string; error_description: string; errors: readonly { message: string }[] };
    expect([reply.status, body.error]).toEqual([status, error]);
    expect(body.error_description).toMatch(message);
    expect(body.errors[0]?.message).toBe(body.error_description);
    expect(reply.headers["www-authenticate"] === undefined).toBe(status !== 401);
  });

  test("no token gets another one, and none opens the control API or the metrics", async () => {
    const token = await login(["repository:team-a/app:pull"], basic("ci"));
    for (const path of ["/token", "/api/v1/repositories", "/metrics"]) {
      const reply = await ask("GET", path, bearer(token));
      expect([path, reply.status]).toEqual([path, 401]);
    }
    expect((await form({ grant_type: "refresh_token", refresh_token: token })).status).toBe(401);
    expect((await ask("GET", "/v2/", basic("ci", token))).status).toBe(401);
  });
});

describe("a token counts as long as", () => {
  const path = "/v2/team-a/app/manifests/latest";
  const scope = "repository:team-a/app:pull,push";
  const shown = async (token: string) => {
    const reply = await ask("GET", path, bearer(token));
    return [reply.status, parameter(challengeOf(reply), "error")];
  };
  beforeEach(async () => {
    secrets.set("default", "wharfinger-users", users);
    secrets.set("default", "wharfinger-robots", { node: robot() });
    await publish(builders);
  });

  test("its bearer has the right: what a policy took away is closed at once, and what one gave needs another token", async () => {
    const [token, eves] = [await login([scope], basic("ci")), await login([scope], basic("eve"))];
    expect(await shown(token)).toEqual([200, undefined]);
    expect(await shown(eves)).toEqual([404, undefined]);
    await publish(policy("builders", [{ kind: "User", name: "eve" }], ["team-a/**"], ["pull"]));
    expect(await shown(token)).toEqual([404, undefined]);
    expect((await ask("POST", "/v2/team-a/app/blobs/uploads/", bearer(token))).status).toBe(403);
    expect(await shown(eves)).toEqual([401, "insufficient_scope"]);
    expect(await shown(await login([scope], basic("eve")))).toEqual([200, undefined]);
  });

  test("its bearer can log in with what he logged in with", async () => {
    const [token, robots] = [await login([scope], basic("ci")), await login([scope], basic("node", robotPassword))];
    secrets.set("default", "wharfinger-users", { htpasswd: `ci:${hashSync("other", 5)}\n` });
    expect(await shown(token)).toEqual([401, "invalid_token"]);
    expect(lines("login-refused").at(-1)).toMatchObject({
      scheme: "bearer",
      reason: "ci logs in with something else by now, or not at all",
    });
    secrets.set("default", "wharfinger-users", users);
    expect(await shown(token)).toEqual([200, undefined]);
    secrets.set("default", "wharfinger-users", undefined);
    expect(await shown(token)).toEqual([401, "invalid_token"]);

    expect(await shown(robots)).toEqual([200, undefined]);
    secrets.set("default", "wharfinger-robots", { node: robot({ expires: new Date(Date.now() - 1_000).toISOString() }) });
    expect(await shown(robots)).toEqual([401, "invalid_token"]);
    secrets.set("default", "wharfinger-robots", { node: robot({ expires: new Date(Date.now() + 600_000).toISOString() }) });
    expect(await shown(robots)).toEqual([200, undefined]);
    secrets.set("default", "wharfinger-robots", undefined);
    expect(await shown(robots)).toEqual([401, "invalid_token"]);
  });

  test("nobody changed it", async () => {
    const token = await login([scope], basic("ci"));
    for (const wrong of [`${token}x`, token.slice(0, -4), token.toUpperCase(), "x"])
      expect(await shown(wrong)).toEqual([401, "invalid_token"]);
  });
});

describe("names", () => {
  const image = "/v2/team/app/manifests/latest";
  const refused = async (path: string, token: string) => parameter(challengeOf(await ask("GET", path, bearer(token))), "error");

  test("with ns the scope names the repository of this host, and no other name opens it", async () => {
    const mirrored = `${image}?ns=mirror.example.com`;
    expect(parameter(challengeOf(await ask("GET", mirrored)), "scope")).toBe("repository:mirror/team/app:pull");
    const right = await login(["repository:mirror/team/app:pull"], basic("ci"));
    expect((await ask("GET", mirrored, bearer(right))).status).toBe(200);
    expect((await ask("GET", "/v2/mirror/team/app/manifests/latest", bearer(right))).status).toBe(200);
    const wrong = await login(["repository:team/app:pull", "repository:mirror.example.com/team/app:pull"], basic("ci"));
    expect(await refused(mirrored, wrong)).toBe("insufficient_scope");
    expect(await refused("/v2/mirror/team/app/manifests/latest", wrong)).toBe("insufficient_scope");
    expect((await ask("GET", image, bearer(right))).code()).toBe("NAME_UNKNOWN");
  });

  test("a name with others around it is another name", async () => {
    const token = await login(
      ["repository:team-a/app/:pull repository:team-a/ap:pull repository:team-a/app2:pull repository:TEAM-A/app:pull"],
      basic("ci"),
    );
    expect(await refused("/v2/team-a/app/manifests/latest", token)).toBe("insufficient_scope");
  });
});

test.each([
  ["inside.example.com", { "x-forwarded-proto": "https" }, "https://inside.example.com/token"],
  ["inside.example.com:5000", { "x-forwarded-proto": "http" }, "http://inside.example.com:5000/token"],
  ["inside.example.com", {}, `https://${audience}/token`],
  ["inside.example.com", { "x-forwarded-proto": "javascript" }, `https://${audience}/token`],
  ["localhost:1234", {}, "http://localhost:1234/token"],
])("the realm of Host %s and %j is %s", async (host, headers, realm) => {
  const reply = await ask("GET", "/v2/", { ...headers, host });
  expect(challengeOf(reply)).toBe(`Bearer realm="${realm}",service="${audience}"`);
});

test("processes of an installation take each other's tokens, also those that start later", async () => {
  const path = "/v2/team-a/app/manifests/latest";
  const scope = ["repository:team-a/app:pull"];
  const tokens = [await login(scope, basic("ci")), await login(scope, basic("ci"), second.url)];
  const third = await start("third");
  for (const at of [url, second.url, third.url]) {
    for (const token of tokens) expect((await send(at, "GET", path, { headers: bearer(token) })).status).toBe(200);
  }
  await third.stop();
});

test("a key that somebody brings counts instead of the database's, with its tokens alone", async () => {
  const token = await login(["repository:team-a/app:pull"], basic("ci"));
  const own = await start("own", { auth: { ...settings.auth, signingKeySecret: { namespace: "default", name: "signing" } } });
  const at = (headers: Readonly<Record<string, string>>, path = "/v2/team-a/app/manifests/latest") =>
    send(own.url, "GET", path, { headers });
  // Until it is there: no tokens, and a challenge that does not lead there.
  expect([(await at(basic("ci"), "/token")).status, challengeOf(await at({}))]).toEqual([503, 'Basic realm="Wharfinger", charset="UTF-8"']);
  expect((await at(basic("ci"))).status).toBe(200);
  const pem = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  secrets.set("default", "signing", { "signing.pem": pem });
  await eventually(async () => expect((await at(basic("ci"), "/token")).status).toBe(200));
  const owns = await login(["repository:team-a/app:pull"], basic("ci"), own.url);
  expect([(await at(bearer(owns))).status, (await at(bearer(token))).status]).toEqual([200, 401]);
  expect((await ask("GET", "/v2/team-a/app/manifests/latest", bearer(owns))).status).toBe(401);
  await own.stop();
});

test("metrics count what is given and refused", async () => {
  const metrics = (await ask("GET", "/metrics", bearer(adminToken))).body.toString();
  for (const line of [
    'wharfinger_tokens_granted_total{identity="user"}',
    'wharfinger_tokens_granted_total{identity="anonymous"}',
    'wharfinger_tokens_granted_total{identity="serviceAccount"}',
    'wharfinger_tokens_refused_total{reason="credentials"}',
    'wharfinger_tokens_refused_total{reason="request"}',
    'wharfinger_tokens_refused_total{reason="invalid_token"}',
    'wharfinger_tokens_refused_total{reason="insufficient_scope"}',
  ])
    expect(metrics).toContain(line);
});

test("no token, password or key is in the log", () => {
  const log = JSON.stringify(registry.log);
  expect(log).not.toMatch(/eyJ[A-Za-z0-9_-]{10}|-password|wfr_|PRIVATE KEY|"d":/);
});
