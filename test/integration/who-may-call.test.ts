// Who may call what of the control API: one table, every route of it by every kind of caller, over HTTP, with tokens of real keys. What the
// table does not name is refused, and a route that it does not know fails.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";

import { hashSync } from "bcryptjs";
import { UnsecuredJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import { Database } from "../../src/registry/metadata/database.ts";
import { insertProposal } from "../../src/registry/metadata/proposals.ts";
import { controlRoutes } from "../../src/registry/http/control/control-routes.ts";
import { pushImage } from "../conformance/content.ts";
import { send, type Reply } from "../support/http.ts";
import { basic, startIssuers, type TestIssuers } from "../support/issuers.ts";
import { adminToken, publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { audience, claimsOf, clusterIssuer, createTokenIssuer, type TokenIssuer, type TokenParts } from "../support/token-issuer.ts";
import { githubClaims, type TestProvider } from "../support/token-provider.ts";

const accounts = {
  admin: { namespace: "wharfinger", name: "admin" },
  operator: { namespace: "wharfinger", name: "wharfinger-operator" },
  jobs: { namespace: "wharfinger", name: "wharfinger-jobs" },
  reporter: { namespace: "wharfinger", name: "wharfinger-reporter" },
} as const;

const year = 365 * 24 * 3_600;

/** Whom a request of the table comes from: the headers, made when the clusters and runs are there. */
const callers = {
  anonymous: async () => undefined,
  user: async () => basic("ci"),
  "admin user": async () => basic("root"),
  "admin account": () => bearer(accounts.admin),
  "admin job of a provider": async () =>
    `Bearer ${await github.token({ ...githubClaims, repository: "octo/ops", environment: "registry" })}`,
  "admin token": async () => `Bearer ${adminToken}`,
  operator: () => bearer(accounts.operator),
  "tag-sync run": () => bearer({ ...accounts.jobs, pod: "images-1" }),
  "tag-sync run of another policy": () => bearer({ ...accounts.jobs, pod: "others-1" }),
  "prune run": () => bearer({ ...accounts.jobs, pod: "clean-1" }),
  "prune run of another policy": () => bearer({ ...accounts.jobs, pod: "tidy-1" }),
  "run that has ended": () => bearer({ ...accounts.jobs, pod: "ended-1" }),
  "job without a run": () => bearer({ ...accounts.jobs, pod: "early-1" }),
  "job without a Pod": () => bearer(accounts.jobs),
  reporter: () => bearer(accounts.reporter),
  "reporter of another cluster": () => bearer(accounts.reporter, edge),
  "another ServiceAccount": () => bearer({ namespace: "wharfinger", name: "default" }),
  "the operator's name in another namespace": () => bearer({ ...accounts.operator, namespace: "team-a" }),
  "the operator's name in another cluster": () => bearer(accounts.operator, edge),
  "the jobs' name in another cluster": () => bearer({ ...accounts.jobs, pod: "images-1" }, edge),
  "a cluster that is not configured": () => bearer(accounts.operator, foreign),
  "another issuer's name": () => bearer({ ...accounts.operator, issuer: "https://example.com" }),
  expired: () => bearer({ ...accounts.operator, issued: -1_200, expires: -60 }),
  "not yet valid": () => bearer({ ...accounts.operator, notBefore: 120 }),
  "issued in the future": () => bearer({ ...accounts.operator, issued: 120, notBefore: 0 }),
  "a token for a year": () => bearer({ ...accounts.operator, expires: year }),
  "a token without an end": () => bearer({ ...accounts.operator, claims: { exp: undefined } }),
  "another audience": () => bearer({ ...accounts.operator, audience: "https://kubernetes.default.svc" }),
  "a second audience": () => bearer({ ...accounts.operator, audience: [audience, "vault.example.com"] }),
  "no audience": () => bearer({ ...accounts.operator, claims: { aud: undefined } }),
  "a subject that contradicts": () => bearer({ ...accounts.operator, claims: { sub: "system:serviceaccount:team-a:builder" } }),
  "a legacy token": () => bearer({ ...accounts.operator, claims: { "kubernetes.io": undefined } }),
  "a forged key id": () => bearer({ ...accounts.operator, header: { kid: home.keyId } }, foreign),
  "no key id": () => bearer({ ...accounts.operator, header: { kid: undefined } }),
  "a key in the header": () =>
    bearer(
      { ...accounts.operator, header: { jwk: foreign.publicKey, jku: "https://example.com/jwks", x5u: "https://example.com/x5u" } },
      foreign,
    ),
  "a key in the header, with a forged key id": () =>
    bearer({ ...accounts.operator, header: { kid: home.keyId, jwk: foreign.publicKey } }, foreign),
  "a robot": async () => basic("mirror", robotPassword),
  "a ServiceAccount's token as password": async () => basic("serviceaccount", await home.token({ namespace: "team-a", name: "builder" })),
  "the operator's token as password": async () => basic("serviceaccount", await home.token(accounts.operator)),
  "a CI job": async () => `Bearer ${await github.token(githubClaims)}`,
  "a CI job of the administrators' environment in another repository": async () =>
    `Bearer ${await github.token({ ...githubClaims, environment: "registry" })}`,
  "a CI job that says it is the operator": async () => `Bearer ${await github.token(posing)}`,
  "a CI job that says it is of the cluster": async () => `Bearer ${await github.token({ ...posing, iss: clusterIssuer })}`,
  "a CI job's token for another audience": async () => `Bearer ${await github.token({ ...githubClaims, aud: "sts.example.com" })}`,
  "a user's access token": async () => `Bearer ${await accessToken(basic("ci"))}`,
  "an administrator's access token": async () => `Bearer ${await accessToken(basic("root"))}`,
  "alg none": async () => `Bearer ${new UnsecuredJWT(claimsOf(accounts.operator)).encode()}`,
  "alg none with the key id": async () => `Bearer ${unsigned({ alg: "none", kid: home.keyId })}`,
  "HS256 with the public key": () =>
    bearer({ ...accounts.operator, header: { alg: "HS256", kid: home.keyId }, key: new TextEncoder().encode(home.publicPem) }),
  "a changed payload": async () => {
    const [header, , signature] = (await home.token(accounts.reporter)).split(".");
    return `Bearer ${header}.${encoded(claimsOf(accounts.operator))}.${signature}`;
  },
} as const satisfies Record<string, () => Promise<string | undefined>>;

type Caller = keyof typeof callers;
const everybody = Object.keys(callers) as Caller[];

const admins = ["admin user", "admin account", "admin job of a provider", "admin token"] as const;
const runs = ["tag-sync run", "tag-sync run of another policy", "prune run", "prune run of another policy"] as const;
/** Who showed who he is and has no part in the settings. */
const others = [
  "user",
  "another ServiceAccount",
  "the operator's name in another namespace",
  "the operator's name in another cluster",
  "the jobs' name in another cluster",
  "a robot",
  "a ServiceAccount's token as password",
  "a CI job",
  "a CI job of the administrators' environment in another repository",
] as const;
/** A provider knows them, and nothing here names them. */
const strangers = ["a CI job that says it is the operator"] as const;
const withoutRun = ["run that has ended", "job without a run", "job without a Pod"] as const;
/** They open repositories alone. */
const accessTokens = ["a user's access token", "an administrator's access token"] as const;
const operators = ["operator", "the operator's token as password"] as const;
const known: readonly Caller[] = [
  ...admins,
  ...operators,
  ...runs,
  "reporter",
  "reporter of another cluster",
  ...others,
  ...strangers,
  ...withoutRun,
];

interface Row {
  readonly route: string;
  /** Its path, where the route has parameters. */
  readonly path?: () => string;
  readonly about?: string;
  readonly body?: () => unknown;
  readonly allowed: readonly Caller[];
  /** Those who may not learn that it is there: they are answered as if it were not. */
  readonly hidden?: readonly Caller[];
}

const missing = `sha256:${"0".repeat(64)}`;
const image = { repository: "vendor/team/app", tag: "nowhere" };
const stale = { revision: "r2", base: "not-the-base", resources: [], ledgers: {}, settled: [] };
const apply =
  (run: () => string, plan = "no-such-plan", approve?: boolean) =>
  () => ({ plan, run: run(), ...(approve === undefined ? {} : { approve }) });
const mint = (run: () => string) => () => ({
  kind: "mint",
  run: run(),
  repository: "team/app",
  build: {
    version: "not a version",
    digest: missing,
    sourceTag: "latest",
    seen: "2026-11-22T00:00:00Z",
    evidence: { type: "SPDX", attestation: missing, predicateType: "x", platforms: [] },
  },
  tags: [],
  onRebuild: "Newest",
  evidenceManifests: [],
});
const readers: readonly Caller[] = known.filter((caller) => !([...strangers, ...withoutRun] as readonly Caller[]).includes(caller));

const table: readonly Row[] = [
  { route: "GET record", allowed: [...admins, ...operators] },
  { route: "PUT record", body: () => stale, allowed: [...admins, ...operators] },
  { route: "GET resources", allowed: admins },
  { route: "POST runs", body: () => ({ kind: "prune", policy: "default/none", trigger: "manual" }), allowed: [...admins, ...operators] },
  { route: "GET runs", allowed: [...admins, ...operators] },
  { route: "GET runs/{id}", about: "a tag-sync run", path: () => `runs/${ids.images}`, allowed: [...admins, ...operators, "tag-sync run"] },
  { route: "GET runs/{id}", about: "a prune run", path: () => `runs/${ids.clean}`, allowed: [...admins, ...operators, "prune run"] },
  { route: "GET runs/{id}", about: "an ended run", path: () => `runs/${ids.ended}`, allowed: [...admins, ...operators] },
  { route: "GET runs/{id}", about: "its own", path: () => "runs/own", allowed: [...admins, ...operators, ...runs] },
  {
    route: "PATCH runs/{id}",
    about: "a tag-sync run",
    path: () => `runs/${ids.images}`,
    body: () => ({ progress: { step: "test" } }),
    allowed: [...admins, ...operators, "tag-sync run"],
  },
  {
    route: "PATCH runs/{id}",
    about: "a prune run",
    path: () => `runs/${ids.clean}`,
    body: () => ({ progress: { step: "test" } }),
    allowed: [...admins, ...operators, "prune run"],
  },
  { route: "GET proposals", allowed: [...admins, ...operators] },
  { route: "POST proposals", about: "mint", body: mint(() => ids.images), allowed: [...admins, "tag-sync run"] },
  { route: "POST proposals", about: "mint for a prune run", body: mint(() => ids.clean), allowed: admins },
  {
    route: "POST proposals",
    about: "retire in nobody's name",
    body: () => ({ kind: "retire", repository: "vendor/team/app", tags: [] }),
    allowed: admins,
  },
  {
    route: "GET proposals/{id}",
    about: "to mint",
    path: () => `proposals/${ids.minting}`,
    allowed: [...admins, ...operators, "tag-sync run"],
    hidden: ["tag-sync run of another policy", "prune run", "prune run of another policy"],
  },
  {
    route: "GET proposals/{id}",
    about: "to retire",
    path: () => `proposals/${ids.retiring}`,
    allowed: [...admins, ...operators, "prune run"],
    hidden: ["tag-sync run", "tag-sync run of another policy", "prune run of another policy"],
  },
  {
    route: "GET versions/{repository}",
    path: () => "versions/vendor/team/app",
    allowed: [...admins, ...operators, "tag-sync run"],
    hidden: readers.filter((caller) => ![...admins, ...operators, "tag-sync run"].includes(caller)),
  },
  { route: "GET shadowed/{repository}", path: () => "shadowed/vendor/team/app", allowed: [...admins, "tag-sync run"] },
  { route: "GET shadowed/{repository}", about: "what no policy names", path: () => "shadowed/vendor/team/none", allowed: admins },
  { route: "POST retention/{namespace}/{name}/plan", path: () => "retention/default/clean/plan", allowed: [...admins, "prune run"] },
  {
    route: "POST retention/{namespace}/{name}/apply",
    path: () => "retention/default/clean/apply",
    body: apply(() => ids.clean),
    allowed: [...admins, "prune run"],
  },
  {
    route: "POST retention/{namespace}/{name}/apply",
    about: "in another run's name",
    path: () => "retention/default/clean/apply",
    body: apply(() => ids.tidy),
    allowed: admins,
  },
  {
    route: "POST retention/{namespace}/{name}/apply",
    about: "in nobody's name",
    path: () => "retention/default/clean/apply",
    body: () => ({ plan: "no-such-plan" }),
    allowed: admins,
  },
  {
    route: "POST retention/{namespace}/{name}/apply",
    about: "approved by itself",
    path: () => "retention/default/clean/apply",
    body: apply(() => ids.clean, "no-such-plan", true),
    allowed: admins,
  },
  {
    route: "PUT workloads/{cluster}",
    path: () => "workloads/prod",
    body: () => ({ takenAt: "2026-11-22T00:00:00Z", scope: "Cluster", complete: false, images: [] }),
    allowed: [...admins, "reporter"],
  },
  {
    route: "PUT workloads/{cluster}",
    about: "of another cluster",
    path: () => "workloads/edge",
    body: () => ({ takenAt: "2026-11-22T00:00:00Z", scope: "Cluster", complete: false, images: [] }),
    allowed: [...admins, "reporter of another cluster"],
  },
  { route: "POST prefetch", body: () => ({ repository: "vendor/team/app", reference: "nowhere" }), allowed: [...admins, "tag-sync run"] },
  {
    route: "POST prefetch",
    about: "what no policy names",
    body: () => ({ repository: "vendor/team/none", reference: "nowhere" }),
    allowed: admins,
  },
  { route: "POST delete", body: () => image, allowed: admins },
  { route: "POST restore", body: () => image, allowed: admins },
  { route: "POST audit", body: () => ({}), allowed: admins },
  { route: "POST adopt", allowed: admins },
  { route: "GET backup", allowed: admins },
  { route: "POST backup", allowed: admins },
  { route: "GET gc", allowed: admins },
  { route: "POST gc/resume", allowed: admins },
  { route: "GET repositories", allowed: readers },
  { route: "GET usage", allowed: admins },
  { route: "GET upstreams", allowed: [...admins, ...operators] },
  {
    route: "POST upstreams/{namespace}/{name}/probe",
    path: () => "upstreams/default/nobody/probe",
    allowed: [...admins, ...operators],
  },
  { route: "GET activity", allowed: admins },
];

let issuers: TestIssuers;
let github: TestProvider;
let home: TokenIssuer;
let edge: TokenIssuer;
let foreign: TokenIssuer;
let upstream: TestRegistry;
let registry: TestRegistry;
let ids: Record<"images" | "others" | "clean" | "tidy" | "ended" | "minting" | "retiring", string>;

const robotPassword = `wfr_${Buffer.alloc(32, 7).toString("base64url")}`;
/** What the operator's token says, by somebody else. */
const posing = {
  sub: `system:serviceaccount:${accounts.operator.namespace}:${accounts.operator.name}`,
  "kubernetes.io": { namespace: accounts.operator.namespace, serviceaccount: { name: accounts.operator.name } },
};

async function accessToken(authorization: string): Promise<string> {
  const reply = await send(registry.url, "GET", "/token?scope=registry:catalog:*", { headers: { authorization } });
  return (reply.json() as { token: string }).token;
}
const bearer = async (parts: TokenParts, issuer = home) => `Bearer ${await issuer.token(parts)}`;
const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const unsigned = (header: unknown) => `${encoded(header)}.${encoded(claimsOf(accounts.operator))}.`;

async function ask(caller: Caller, method: string, path: string, sent?: unknown): Promise<Reply> {
  const authorization = await callers[caller]();
  const headers = {
    ...(authorization === undefined ? {} : { authorization }),
    ...(sent === undefined ? {} : { "content-type": "application/json" }),
  };
  return send(registry.url, method, path, { headers, ...(sent === undefined ? {} : { body: JSON.stringify(sent) }) });
}

/** Refusals of rights, as against those of what the services find. */
const refusals = /^(?:Nothing here names |This (?:is for|needs) |No run is registered|Run \S+ of Pod \S+ has ended|A job's token counts)/;

function outcome(reply: Reply): "allowed" | "refused" | "unknown" | "hidden" {
  if (reply.status === 401) return "unknown";
  const { message = "" } = (reply.status >= 400 ? (reply.json() as { errors: { message?: string }[] }).errors[0] : undefined) ?? {};
  if (reply.status === 403 && refusals.test(message)) return "refused";
  return reply.status === 404 && /^There (?:is no proposal|are no versions)/.test(message) ? "hidden" : "allowed";
}

function expected({ allowed, hidden = [] }: Row, caller: Caller) {
  if (!known.includes(caller)) return "unknown";
  if (allowed.includes(caller)) return "allowed";
  return hidden.includes(caller) ? "hidden" : "refused";
}

beforeAll(async () => {
  [issuers, foreign] = await Promise.all([startIssuers({ edgeAlgorithm: "ES256" }), createTokenIssuer()]);
  ({ home, edge, github } = issuers);
  upstream = await startTestRegistry();
  for (const name of ["team/app", "team/other", "team/none"]) await pushImage(upstream.url, name, "latest");
  registry = await startTestRegistry({
    settings: {
      ...defaultSettings,
      externalURL: `https://${audience}`,
      auth: { issuers: issuers.settings },
      access: {
        ...defaultSettings.access,
        admins: [
          { kind: "User", name: "root" },
          // The name of a robot, and of nobody else.
          { kind: "User", name: "mirror" },
          { kind: "ServiceAccount", ...accounts.admin },
          {
            kind: "OIDC",
            issuer: "github",
            claims: [
              { name: "repository", value: "octo/ops" },
              { name: "environment", value: "registry" },
            ],
          },
        ],
        anonymousPull: "None",
        operator: { issuer: "in-cluster", ...accounts.operator },
        jobs: { issuer: "in-cluster", ...accounts.jobs },
      },
      clusters: [
        { name: "prod", reporter: { issuer: "in-cluster", ...accounts.reporter } },
        { name: "edge", reporter: { issuer: "edge", ...accounts.reporter } },
      ],
    },
  });
  const users = ["ci", "root"].map((name) => `${name}:${hashSync(`${name}-password`, 4)}`);
  registry.secrets.set("default", "wharfinger-users", { htpasswd: `${users.join("\n")}\n` });
  const sha256 = createHash("sha256").update(robotPassword).digest("hex");
  registry.secrets.set("default", "wharfinger-robots", { mirror: JSON.stringify({ sha256 }) });
  await publishFirst(registry.url, resources());
  ids = await register();
});
afterAll(async () => {
  await registry.stop();
  await upstream.stop();
  await issuers.stop();
});

function resources() {
  const tags = (repository: string) => ({
    upstreamRef: { name: "vendor" },
    images: [{ repository }],
    verify: { mode: "Unverified" },
  });
  const keep = (include: string) => ({
    repositories: { include: [include] },
    action: "Delete",
    keep: [{ name: "newest", mostRecentlyPushed: 1 }],
  });
  return [
    { kind: "Upstream" as const, name: "vendor", spec: { prefix: "vendor", url: upstream.url, insecure: true } },
    { kind: "TagPolicy" as const, name: "images", spec: tags("team/app") },
    { kind: "TagPolicy" as const, name: "others", spec: tags("team/other") },
    { kind: "RetentionPolicy" as const, name: "clean", spec: keep("vendor/team/app") },
    { kind: "RetentionPolicy" as const, name: "tidy", spec: keep("own/**") },
    {
      kind: "AccessPolicy" as const,
      name: "nobody",
      spec: {
        subjects: [
          { kind: "User", name: "nobody" },
          { kind: "OIDC", issuer: "github", claims: [{ name: "sub", value: githubClaims.sub }] },
        ],
        repositories: { include: ["elsewhere/**"] },
        actions: ["pull"],
      },
    },
  ];
}

/** As the operator does it; and what proposals and versions there are. */
async function register(): Promise<typeof ids> {
  const client = new ControlClient({ url: registry.url, token: await home.token(accounts.operator) });
  const start = async (kind: "tag-sync" | "prune", policy: string, pod: string) =>
    (await client.startRun({ kind, policy: `default/${policy}`, trigger: "schedule", pod })).id;
  const ended = await start("tag-sync", "images", "ended-1");
  await client.updateRun(ended, { state: "failed", result: {} });
  const running = {
    images: await start("tag-sync", "images", "images-1"),
    others: await start("tag-sync", "others", "others-1"),
    clean: await start("prune", "clean", "clean-1"),
    tidy: await start("prune", "tidy", "tidy-1"),
  };
  await client.close();
  const database = new Database({ url: registry.databaseUrl, connections: 1 });
  const about = { policy: "default/other", repository: "vendor/team/app", run: undefined };
  const body = mint(() => running.images)();
  const minting = await insertProposal(database, { ...about, body: body as never });
  const retiring = await insertProposal(database, { ...about, body: { kind: "retire", repository: about.repository, tags: [] } });
  await database.close();
  return { ...running, ended, minting: minting.id, retiring: retiring.id };
}

test("every route has its rows, and no row is of a route that is gone", () => {
  const routes = controlRoutes.map(({ method, path }) => `${method} ${path}`);
  expect([...new Set(table.map(({ route }) => route))].sort()).toEqual(routes.sort());
});

describe.each(table.map((row) => [row.about === undefined ? row.route : `${row.route}: ${row.about}`, row] as const))("%s", (_, row) => {
  test("is for those whom the table names, and nobody else", async () => {
    const [method = "", path = ""] = row.route.split(" ");
    const found = await Promise.all(
      everybody.map(async (caller) => {
        const reply = await ask(caller, method, `/api/v1/${row.path?.() ?? path}`, row.body?.());
        return [caller, outcome(reply)] as const;
      }),
    );
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(everybody.map((caller) => [caller, expected(row, caller)])));
  });
});

test("the operator and administrators are shown all repositories, a tag-sync run its own, others what they may pull", async () => {
  const pull = (name: string) => ask("admin token", "GET", `/v2/vendor/team/${name}/manifests/latest`);
  await Promise.all(["app", "other"].map(pull));
  const shown = async (caller: Caller) =>
    ((await ask(caller, "GET", "/api/v1/repositories")).json() as { name: string }[]).map(({ name }) => name).sort();
  const all = ["vendor/team/app", "vendor/team/other"];
  expect(await shown("admin user")).toEqual(all);
  expect(await shown("operator")).toEqual(all);
  expect(await shown("tag-sync run")).toEqual(["vendor/team/app"]);
  for (const caller of ["prune run", "reporter", "user", "another ServiceAccount"] as const) expect(await shown(caller)).toEqual([]);
});

describe("of /v2", () => {
  const answersTo = async (method: string, path: string) =>
    Object.fromEntries(await Promise.all(everybody.map(async (caller) => [caller, (await ask(caller, method, path)).status] as const)));
  const answers = (status: (caller: Caller) => number) =>
    Object.fromEntries(
      everybody.map((caller) => {
        if (![...known, ...accessTokens].includes(caller)) return [caller, 401];
        return [caller, ([...withoutRun, ...strangers] as readonly Caller[]).includes(caller) ? 403 : status(caller)];
      }),
    );

  test("a tag-sync run pulls the images of its policy, and no others", async () => {
    const pullers = (...callers: Caller[]) => answers((caller) => (callers.includes(caller) ? 200 : 404));
    expect(await answersTo("GET", "/v2/vendor/team/app/manifests/latest")).toEqual(pullers("admin token", "tag-sync run"));
    expect(await answersTo("GET", "/v2/vendor/team/other/manifests/latest")).toEqual(
      pullers("admin token", "tag-sync run of another policy"),
    );
    expect(await answersTo("GET", "/v2/vendor/team/none/manifests/latest")).toEqual(pullers("admin token"));
  });

  test("nobody of them pushes or deletes", async () => {
    expect(await answersTo("POST", "/v2/own/app/blobs/uploads/")).toEqual(answers((caller) => (caller === "admin token" ? 202 : 403)));
    expect(await answersTo("DELETE", "/v2/own/app/manifests/latest")).toEqual(answers((caller) => (caller === "admin token" ? 404 : 403)));
  });

  test("a run sees its images in lists, and no others", async () => {
    const { repositories } = (await ask("tag-sync run", "GET", "/v2/_catalog")).json() as { repositories: string[] };
    expect(repositories).toEqual(["vendor/team/app"]);
    expect((await ask("prune run", "GET", "/v2/_catalog")).json()).toEqual({ repositories: [] });
  });
});

test("the token of a Pod is good for its run, from when it is registered until it has ended", async () => {
  const operator = new ControlClient({ url: registry.url, token: await home.token(accounts.operator) });
  const token = await home.token({ ...accounts.jobs, pod: "others-2" });
  const job = new ControlClient({ url: registry.url, token });
  const pull = () => send(registry.url, "GET", "/v2/vendor/team/other/manifests/latest", { headers: { authorization: `Bearer ${token}` } });
  await operator.updateRun(ids.others, { state: "failed", result: {} });
  await expect(job.run("own")).rejects.toMatchObject({ code: "Refused", message: expect.stringContaining("others-2") });
  expect((await pull()).status).toBe(403);

  const asked = { kind: "tag-sync", policy: "default/others", trigger: "schedule", pod: "others-2" } as const;
  const { id } = await operator.startRun(asked);
  expect(await job.run("own")).toMatchObject({ id, kind: "tag-sync", policy: "default/others", state: "running" });
  expect((await pull()).status).toBe(200);
  await job.updateRun(id, { state: "succeeded", result: { message: "done" } });

  await expect(job.run("own")).rejects.toMatchObject({ code: "Refused", message: expect.stringContaining("has ended") });
  expect((await pull()).status).toBe(403);
  await expect(operator.startRun(asked)).rejects.toMatchObject({ code: "Conflict", message: expect.stringContaining(id) });
  expect(await operator.run(id)).toMatchObject({ state: "succeeded" });
  await Promise.all([operator.close(), job.close()]);
});

test("a body that comes after the end of the run is too late", async () => {
  const operator = new ControlClient({ url: registry.url, token: adminToken });
  await operator.updateRun(ids.tidy, { state: "failed", result: {} });
  const { id } = await operator.startRun({ kind: "prune", policy: "default/tidy", trigger: "schedule", pod: "tidy-2" });
  const body = JSON.stringify({ plan: "no-such-plan", run: id });
  const outgoing = request(`${registry.url}/api/v1/retention/default/tidy/apply`, {
    method: "POST",
    headers: {
      authorization: (await bearer({ ...accounts.jobs, pod: "tidy-2" })) ?? "",
      "content-type": "application/json",
      "content-length": body.length,
      expect: "100-continue",
    },
  });
  outgoing.flushHeaders();
  // The server asks for the body of who may send one.
  await once(outgoing, "continue");
  await operator.updateRun(id, { state: "failed", result: {} });
  outgoing.end(body);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  response.resume();
  expect(response.statusCode).toBe(403);
  await operator.close();
});

test("who shows a genuine token hears why it does not count, and who forges one does not; the log says both", async () => {
  const said = async (caller: Caller) =>
    ((await ask(caller, "GET", "/api/v1/record")).json() as { errors: { message: string }[] }).errors[0]?.message;
  const plain = "The credentials are wrong.";
  expect(await said("expired")).toBe("The token does not count: it has expired.");
  expect(await said("another audience")).toContain(`ask for one that is for ${audience} alone`);
  expect(await said("a token for a year")).toContain("24 hours");
  expect(await said("not yet valid")).toContain("compare the clocks");
  expect(await said("a forged key id")).toBe(plain);
  expect(await said("a cluster that is not configured")).toBe(plain);
  expect(await said("HS256 with the public key")).toBe(plain);
  const reasons = registry.log.filter(({ event }) => event === "login-refused").map(({ reason }) => String(reason));
  expect(reasons.some((reason) => reason.includes("no issuer of auth.issuers has its key"))).toBe(true);
  expect(reasons.some((reason) => reason.includes("its algorithm is HS256"))).toBe(true);
});
