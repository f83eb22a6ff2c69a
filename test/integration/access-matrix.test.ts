// Every verb of /v2 on every kind of repository by every kind of caller, over HTTP, against an oracle of a few rules (access.md). The oracle knows
// nothing of the program: who has which right is written down beside each caller, in words, and not read from a policy.

import { createHash } from "node:crypto";
import { Agent, request, type IncomingMessage } from "node:http";
import { once } from "node:events";

import { hashSync } from "bcryptjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import { digestOf, pushBlob, pushImage, putManifest } from "../conformance/content.ts";
import { builder, callers, everybody, jobs, may, robotPassword, type Caller, type CallerName } from "../support/access-matrix/callers.ts";
import { expected, type Scope } from "../support/access-matrix/oracle.ts";
import { foreign, image, mountable, other, own, referrer, targets, verbs, type Target, type Verb } from "../support/access-matrix/verbs.ts";
import { basic, startIssuers, type TestIssuers } from "../support/issuers.ts";
import { adminToken, publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { audience } from "../support/token-issuer.ts";
import { githubClaims } from "../support/token-provider.ts";

let issuers: TestIssuers;
let open: TestRegistry;
let closed: TestRegistry;
let registry: TestRegistry;
/** Everybody with credentials, and some again with tokens. */
const deleters = 2 * everybody.length;
const connections = new Agent({ keepAlive: true, maxSockets: 16 });
let decisions = 0;

async function ask(authorization: string | undefined, method: string, path: string, { headers = {}, body = "" } = {}) {
  const { hostname, port } = new URL(registry.url);
  const sent = { ...headers, "content-length": String(Buffer.byteLength(body)), ...(authorization === undefined ? {} : { authorization }) };
  const outgoing = request({ hostname, port, method, path, agent: connections, headers: sent });
  outgoing.end(body);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk as string;
  return { status: response.statusCode ?? 0, text, challenge: response.headers["www-authenticate"] ?? "" };
}

/** Status, code of the error, and what else tells decisions apart. */
function outcome({ status, text, challenge }: Awaited<ReturnType<typeof ask>>, verb: Verb): string {
  if (status === 401 && challenge === "") return "401 without a challenge";
  if (verb.bare === true) return String(status);
  if (status < 300)
    return /referrers/.test(verb.path(0))
      ? `${status} ${(JSON.parse(text) as { manifests: unknown[] }).manifests.length} referrers`
      : `${status}`;
  const [error] = (JSON.parse(text) as { errors: { code: string; message: string }[] }).errors;
  const lacks = challenge.includes('error="insufficient_scope"') ? " insufficient_scope" : "";
  return `${status} ${error?.code}${lacks}${/\bprotected\b/.test(error?.message ?? "") ? " protected" : ""}`;
}

beforeAll(async () => {
  issuers = await startIssuers();
  [open, closed] = await Promise.all([startTestRegistry(), startTestRegistry()]);
  for (const { url } of [open, closed]) for (const name of ["team/app", "secret/app"]) await fill(url, name, { withSpares: false });
  const { access } = defaultSettings;
  registry = await startTestRegistry({
    settings: {
      ...defaultSettings,
      externalURL: `https://${audience}`,
      auth: { issuers: issuers.settings },
      access: {
        ...access,
        admins: [{ kind: "User", name: "root" }],
        anonymousPull: "PublicUpstreams",
        operator: { issuer: "in-cluster", namespace: "wharfinger", name: "wharfinger-operator" },
        jobs: { issuer: "in-cluster", ...jobs },
      },
      clusters: [{ name: "prod", reporter: { issuer: "in-cluster", namespace: "wharfinger", name: "wharfinger-reporter" } }],
    },
  });
  for (const name of ["team-a/app", "team-b/app", "public/app"]) await fill(registry.url, name, { withSpares: true });
  for (const bytes of [foreign, mountable]) await pushBlob(registry.url, "team-b/app", bytes);
  const users = ["ci", "janitor", "blind", "eve", "root"].map((name) => `${name}:${hashSync(`${name}-password`, 4)}`);
  registry.secrets.set("default", "wharfinger-users", { htpasswd: `${users.join("\n")}\n` });
  const robot = (name: string, more = {}) =>
    JSON.stringify({ sha256: createHash("sha256").update(robotPassword(name)).digest("hex"), ...more });
  const robots = { node: robot("node"), idle: robot("idle"), late: robot("late", { expires: "2020-01-01T00:00:00Z" }) };
  registry.secrets.set("default", "wharfinger-robots", robots);
  registry.secrets.set("default", "closed", { username: "x", password: "y" });
  await publishFirst(registry.url, resources());
  await register();
  for (const name of ["hub/team/app", "priv/team/app"]) await ask(`Bearer ${adminToken}`, "GET", `/v2/${name}/manifests/latest`);
});
afterAll(async () => {
  connections.destroy();
  await Promise.all([registry, open, closed].map((one) => one.stop()));
  await issuers.stop();
});

/** An image with a protected tag, and one that refers to it. `withSpares`: a tag and a manifest for each caller to delete. */
async function fill(url: string, name: string, { withSpares }: { readonly withSpares: boolean }): Promise<void> {
  await pushImage(url, name, "latest");
  await putManifest(url, name, "v1", image);
  await putManifest(url, name, digestOf(referrer), referrer);
  if (!withSpares) return;
  const tags = Array.from({ length: deleters }, (_, index) => `tag=t${index}`);
  await putManifest(url, name, `${digestOf(other)}?${tags.join("&")}`, other);
  for (let index = 0; index < deleters; index++) await putManifest(url, name, digestOf(own(`m${index}`)), own(`m${index}`));
}

function resources() {
  const policy = (name: string, subjects: readonly object[], include: readonly string[], actions: readonly string[], more = {}) => ({
    kind: "AccessPolicy" as const,
    name,
    spec: { subjects, repositories: { include }, actions, ...more },
  });
  const user = (name: string) => ({ kind: "User", name });
  const oidc = (claims: readonly string[]) => ({
    kind: "OIDC",
    issuer: "github",
    claims: claims.map((name) => ({ name, value: githubClaims[name as keyof typeof githubClaims] })),
  });
  const upstream = (name: string, url: string, more = {}) => ({
    kind: "Upstream" as const,
    name,
    spec: {
      prefix: name,
      hosts: [`${name}.example.com`],
      url,
      insecure: true,
      repositories: { include: ["**"], exclude: ["secret/**"] },
      ...more,
    },
  });
  const account = { kind: "ServiceAccount", ...builder };
  return [
    upstream("hub", open.url),
    upstream("priv", closed.url, { auth: { secretRef: { name: "closed" } } }),
    ...["app", "other"].map((name) => ({
      kind: "TagPolicy" as const,
      name,
      spec: { upstreamRef: { name: "priv" }, images: [{ repository: `team/${name}` }], verify: { mode: "Unverified" } },
    })),
    {
      kind: "RetentionPolicy" as const,
      name: "clean",
      spec: { repositories: { include: ["team-a/**"] }, action: "Delete", keep: [{ name: "newest", mostRecentlyPushed: 1 }] },
    },
    policy("pushers", [user("ci"), oidc(["repository", "ref"])], ["team-a/**"], ["pull", "push"]),
    policy("mirror", [user("ci"), user("node"), { ...account, issuer: "edge" }], ["priv/**"], ["pull"]),
    policy("janitor", [user("janitor")], ["team-a/**"], ["pull", "delete"]),
    policy("blind", [user("blind")], ["team-a/**"], ["push"]),
    policy(
      "pullers",
      [user("node"), { kind: "Group", issuer: "in-cluster", name: "system:serviceaccounts:staging" }],
      ["team-a/**"],
      ["pull"],
    ),
    policy("builder", [account], ["team-a/**"], ["pull", "push", "delete"]),
    policy("team-b", [{ kind: "ServiceAccount", namespace: "team-b", name: "*" }], ["team-b/**"], ["pull", "push"]),
    policy("members", [{ kind: "Group", issuer: "gitlab", name: "group/maintainers" }], ["team-b/**"], ["pull"]),
    // Whoever has a part in the settings has no more by policies about everybody in his namespace than these say, and runs nothing at all.
    policy("jobs", [{ kind: "ServiceAccount", ...jobs }], ["**"], ["pull", "push", "delete"]),
    policy("everybody", [{ kind: "Anonymous" }], ["public/**"], ["pull"]),
    policy("protected", [user("nobody")], ["**"], ["pull"], { protectedTags: "v\\d+" }),
  ];
}

async function register(): Promise<void> {
  const client = new ControlClient({ url: registry.url, token: adminToken });
  const start = (kind: "tag-sync" | "prune", policy: string, pod: string) =>
    client.startRun({ kind, policy: `default/${policy}`, trigger: "schedule", pod });
  const ended = await start("tag-sync", "app", "ended-1");
  await client.updateRun(ended.id, { state: "failed", result: {} });
  await start("tag-sync", "app", "images-1");
  await start("tag-sync", "other", "others-1");
  await start("prune", "clean", "clean-1");
  await client.close();
}

/** Pushes into what is not there would make it. */
const asked = (target: Target) => Object.entries(verbs).filter(([, { missing }]) => target.kind !== "none" || missing !== undefined);

/** `index`: which of the tags and manifests that are there to be deleted. */
function pathOf(target: Target, verb: Verb, index: number): string {
  const path = `/v2/${target.name}/${verb.path(index)}`;
  return target.ns === undefined ? path : `${path}${path.includes("?") ? "&" : "?"}ns=${target.ns}`;
}

describe.each(Object.entries(targets))("%s", (_, target) => {
  test.each(asked(target))("%s", async (_, verb) => {
    const found = await Promise.all(
      everybody.map(async ([name, { authorization }], index) => {
        const body = verb.body?.();
        const reply = await ask(await authorization(issuers), verb.method, pathOf(target, verb, index), {
          headers: { ...verb.headers },
          ...(body === undefined ? {} : { body }),
        });
        return [name, outcome(reply, verb)] as const;
      }),
    );
    decisions += found.length;
    expect(Object.fromEntries(found)).toEqual(
      Object.fromEntries(everybody.map(([name, caller]) => [name, expected(verb, target, caller)])),
    );
  });
});

/** Those who differ in their rights; what a token opens depends on nothing else of them. */
const bearers = [
  "nobody",
  "a user who may push",
  "a user who may delete",
  "a user who may push and not pull",
  "a user without a policy",
  "a robot",
  "a ServiceAccount",
  "any account of a namespace",
  "a CI job's token as password",
  "a CI job of a fork",
  "a member of a group",
  "a job in its run",
] as const satisfies readonly CallerName[];
const scopes = ["exactly this", "another repository", "the other actions"] as const satisfies readonly Scope[];
const scoped = new Set([
  "an own repository",
  "one that few may see",
  "one of an upstream",
  "the same by ?ns=",
  "one of an upstream with credentials",
  "one that is not there",
]);
/** By caller and scope. */
const tokens = new Map<string, Promise<string>>();

function scopeOf(scope: (typeof scopes)[number], verb: Verb, target: Target): string {
  const name = target.ns === undefined ? target.name : `${target.area}/${target.name}`;
  const others = (["pull", "push", "delete"] as const).filter((action) => action !== verb.action);
  if (scope === "another repository") return "repository:team-a/another:pull,push,delete";
  if (scope === "the other actions") return `repository:${name}:${others.join(",")}`;
  return [`repository:${name}:${verb.action}`, ...(verb.from === undefined ? [] : [`repository:${verb.from}:pull`])].join(" ");
}

async function tokenFor(caller: CallerName, scope: string): Promise<string> {
  const authorization: Caller["authorization"] = callers[caller].authorization;
  const { status, text } = await ask(await authorization(issuers), "GET", `/token?${new URLSearchParams({ scope }).toString()}`);
  if (status !== 200) throw new Error(`${caller}: ${status} ${text}`);
  return `Bearer ${(JSON.parse(text) as { token: string }).token}`;
}

describe.each(Object.entries(targets).filter(([name]) => scoped.has(name)))("by an access token, %s", (_, target) => {
  test.each(asked(target))("%s", async (_, verb) => {
    const found = await Promise.all(
      bearers.flatMap((name, index) =>
        scopes.map(async (scope) => {
          const key = `${name} ${scopeOf(scope, verb, target)}`;
          const token = tokens.get(key) ?? tokenFor(name, scopeOf(scope, verb, target));
          tokens.set(key, token);
          const path = pathOf(target, verb, everybody.length + index);
          const reply = await ask(await token, verb.method, path, { headers: { ...verb.headers }, body: verb.body?.() ?? "" });
          return [`${name}: ${scope}`, outcome(reply, verb)] as const;
        }),
      ),
    );
    decisions += found.length;
    const right = bearers.flatMap((name) =>
      scopes.map((scope) => [`${name}: ${scope}`, expected(verb, target, callers[name], scope)] as const),
    );
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(right));
  });
});

test("whose credentials do not count gets no token, nor does a job without a run", async () => {
  const refused = everybody.filter(([, { is }]) => is === "wrong" || is === "idle");
  const answers = await Promise.all(
    refused.map(
      async ([name, { authorization }]) =>
        [name, (await ask(await authorization(issuers), "GET", "/token?scope=repository:public/app:pull")).status] as const,
    ),
  );
  expect(Object.fromEntries(answers)).toEqual(Object.fromEntries(refused.map(([name, { is }]) => [name, is === "wrong" ? 401 : 403])));
});

test("the catalog shows what the caller may pull", async () => {
  const stored = Object.values(targets).filter(({ kind, ns }) => (kind === "own" || kind === "proxied") && ns === undefined);
  const found = await Promise.all(
    everybody.map(async ([name, { authorization }]) => {
      const { status, text } = await ask(await authorization(issuers), "GET", "/v2/_catalog");
      const names = status === 200 ? (JSON.parse(text) as { repositories: string[] }).repositories : [];
      return [name, status === 200 ? stored.map((target) => target.name).filter((one) => names.includes(one)) : status] as const;
    }),
  );
  const right = (caller: Caller) => {
    if (caller.is === "wrong") return 401;
    if (caller.is === "idle") return 403;
    return stored.filter(({ area }) => may(caller, area, "pull")).map(({ name }) => name);
  };
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(everybody.map(([name, caller]) => [name, right(caller)])));
});

test("an upload goes through all its stages for who began it, and nobody else finds it", async () => {
  const pushers = everybody.filter(([, caller]) => may(caller, "team-a", "push"));
  const headersOf = await Promise.all(pushers.map(async ([, { authorization }]) => authorization(issuers)));
  const location = async (authorization: string | undefined) => {
    const { hostname, port } = new URL(registry.url);
    const headers = { "content-length": "0", ...(authorization === undefined ? {} : { authorization }) };
    const outgoing = request({ hostname, port, method: "POST", path: "/v2/team-a/app/blobs/uploads/", agent: connections, headers });
    outgoing.end();
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    response.resume();
    return response.headers.location ?? "";
  };
  for (const [index, authorization] of headersOf.entries()) {
    const session = await location(authorization);
    const stranger = headersOf[(index + 2) % headersOf.length];
    const sameIdentity = [pushers[index]?.[0], pushers[(index + 2) % pushers.length]?.[0]].includes("the admin token");
    for (const [method, path] of sameIdentity
      ? []
      : ([
          ["GET", session],
          ["PATCH", session],
          ["PUT", `${session}?digest=${digestOf("x")}`],
          ["DELETE", session],
        ] as const)) {
      expect([pushers[index]?.[0], method, (await ask(stranger, method, path)).status]).toEqual([pushers[index]?.[0], method, 404]);
    }
    const stages = [
      (await ask(authorization, "PATCH", session, { body: "{" })).status,
      (await ask(authorization, "GET", session)).status,
      (await ask(authorization, "PUT", `${session}?digest=${digestOf("{}")}`, { body: "}" })).status,
      (await ask(authorization, "DELETE", await location(authorization))).status,
    ];
    expect([pushers[index]?.[0], stages]).toEqual([pushers[index]?.[0], [202, 204, 201, 204]]);
  }
});

test("a host that no upstream serves is unknown to everybody, whatever he shows", async () => {
  const answers = await Promise.all(
    everybody.map(
      async ([, { authorization }]) =>
        (await ask(await authorization(issuers), "GET", "/v2/team/app/manifests/latest?ns=other.example.com")).status,
    ),
  );
  expect(new Set(answers)).toEqual(new Set([404]));
});

test("who is taken out of the Secret is nobody from then on, whatever was checked before", async () => {
  const pull = (authorization: string) => ask(authorization, "GET", "/v2/team-a/app/manifests/latest");
  const were = [basic("janitor"), basic("node", robotPassword("node"))];
  for (const authorization of were) expect((await pull(authorization)).status).toBe(200);
  registry.secrets.set("default", "wharfinger-users", { htpasswd: `ci:${hashSync("ci-password", 4)}\n` });
  registry.secrets.set("default", "wharfinger-robots", {});
  for (const authorization of were) expect((await pull(authorization)).status).toBe(401);
});

test("so many decisions were right", () => expect(decisions).toBe(18_948));
