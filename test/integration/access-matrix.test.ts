// Every verb of /v2 on every kind of repository by every kind of caller, over HTTP, against an oracle of a few rules (access.md). The oracle knows
// nothing of the program: who has which right is written down beside each caller, in words, and not read from a policy.

import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, request, type IncomingMessage } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { hashSync } from "bcryptjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import { digestOf, imageManifest, pushBlob, pushImage, putManifest } from "../conformance/content.ts";
import { adminToken, publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { audience, clusterIssuer, createTokenIssuer, type TokenIssuer, type TokenParts } from "../support/token-issuer.ts";
import { githubClaims, gitlabClaims, startTokenProvider, type TestProvider } from "../support/token-provider.ts";

type Action = "pull" | "push" | "delete";

/** Parts of the registry that rights are about. Of `hub`, an upstream without credentials, everybody may pull. */
type Area = "team-a" | "team-b" | "public" | "hub" | "priv" | "rest of priv" | "elsewhere";

interface Caller {
  /** The header that is sent. */
  readonly authorization: () => Promise<string | undefined> | string | undefined;
  /**
   * `nobody`: shows no credentials. `stranger`: a provider knows it, and nothing here names it. `wrong`: shows some that do not count. `idle`: a job's Pod
   * without a run.
   */
  readonly is: "nobody" | "stranger" | "known" | "wrong" | "idle";
  /** Beside what everybody may: pull of `public` and `hub`. */
  readonly may?: Partial<Record<Area, readonly Action[]>>;
}

const everything: Caller["may"] = {
  "team-a": ["pull", "push", "delete"],
  "team-b": ["pull", "push", "delete"],
  public: ["pull", "push", "delete"],
  hub: ["pull", "push", "delete"],
  priv: ["pull", "push", "delete"],
  "rest of priv": ["pull", "push", "delete"],
  elsewhere: ["pull", "push", "delete"],
};
const pullPush = ["pull", "push"] as const;
const mirror = { priv: ["pull"], "rest of priv": ["pull"] } as const;
const builder = { namespace: "team-a", name: "builder" };
const jobs = { namespace: "wharfinger", name: "wharfinger-jobs" };
const robotPassword = (name: string) => `wfr_${createHash("sha256").update(name).digest("base64url")}`;

const callers = {
  nobody: { authorization: () => undefined, is: "nobody" },
  "nobody, as podman says it": { authorization: () => basic("", ""), is: "nobody" },
  "a user who may push": { authorization: () => basic("ci"), is: "known", may: { "team-a": pullPush, ...mirror } },
  "a user who may delete": { authorization: () => basic("janitor"), is: "known", may: { "team-a": ["pull", "delete"] } },
  "a user who may push and not pull": { authorization: () => basic("blind"), is: "known", may: { "team-a": ["push"] } },
  "a user without a policy": { authorization: () => basic("eve"), is: "known" },
  "an administrator of the control API": { authorization: () => basic("root"), is: "known" },
  "the admin token": { authorization: () => `Bearer ${adminToken}`, is: "known", may: everything },
  "a robot": { authorization: () => basic("node", robotPassword("node")), is: "known", may: { "team-a": ["pull"], ...mirror } },
  "a robot without a policy": { authorization: () => basic("idle", robotPassword("idle")), is: "known" },
  "a robot that has expired": { authorization: () => basic("late", robotPassword("late")), is: "wrong" },
  "a ServiceAccount": { authorization: () => bearer(builder), is: "known", may: { "team-a": ["pull", "push", "delete"] } },
  "a ServiceAccount's token as password": {
    authorization: async () => basic("serviceaccount", await home.token(builder)),
    is: "known",
    may: { "team-a": ["pull", "push", "delete"] },
  },
  "its name in another namespace": { authorization: () => bearer({ ...builder, namespace: "team-x" }), is: "known" },
  "its name in another cluster": { authorization: () => bearer(builder, edge), is: "known", may: mirror },
  "another account of its namespace": { authorization: () => bearer({ ...builder, name: "default" }), is: "known" },
  "any account of a namespace": {
    authorization: () => bearer({ namespace: "team-b", name: "x" }),
    is: "known",
    may: { "team-b": pullPush },
  },
  "a namespace that begins the same": { authorization: () => bearer({ namespace: "team-b2", name: "x" }), is: "known" },
  "an account in Kubernetes' group of a namespace": {
    authorization: () => bearer({ namespace: "staging", name: "x" }),
    is: "known",
    may: { "team-a": ["pull"] },
  },
  "an account of that namespace in another cluster": {
    authorization: () => bearer({ namespace: "staging", name: "x" }, edge),
    is: "known",
  },
  "a CI job": { authorization: () => job(githubClaims), is: "known", may: { "team-a": pullPush } },
  "a CI job's token as password": {
    authorization: async () => basic("github", await github.token(githubClaims)),
    is: "known",
    may: { "team-a": pullPush },
  },
  "a CI job of another branch": { authorization: () => job({ ...githubClaims, ref: "refs/heads/x" }), is: "stranger" },
  "a CI job of a fork": { authorization: () => job({ ...githubClaims, repository: "eve/app" }), is: "stranger" },
  "the same claims by another issuer": { authorization: () => job(githubClaims, gitlab), is: "stranger" },
  "a member of a group": { authorization: () => job(gitlabClaims, gitlab), is: "known", may: { "team-b": ["pull"] } },
  "no member of it": {
    authorization: () => job({ ...gitlabClaims, groups_direct: ["group", "group/maintainers/guests"] }, gitlab),
    is: "stranger",
  },
  "that group by an issuer without groups": { authorization: () => job({ ...gitlabClaims, sub: "x" }), is: "stranger" },
  "the operator": { authorization: () => bearer({ namespace: "wharfinger", name: "wharfinger-operator" }), is: "known" },
  "a reporter": { authorization: () => bearer({ namespace: "wharfinger", name: "wharfinger-reporter" }), is: "known" },
  "a job in its run": { authorization: () => bearer({ ...jobs, pod: "images-1" }), is: "known", may: { priv: ["pull"] } },
  "a job in another policy's run": { authorization: () => bearer({ ...jobs, pod: "others-1" }), is: "known" },
  "a prune job in its run": { authorization: () => bearer({ ...jobs, pod: "clean-1" }), is: "known" },
  "a job whose run has ended": { authorization: () => bearer({ ...jobs, pod: "ended-1" }), is: "idle" },
  "a job before its run": { authorization: () => bearer({ ...jobs, pod: "early-1" }), is: "idle" },
  "an expired token": { authorization: () => bearer({ ...builder, issued: -1_200, expires: -60 }), is: "wrong" },
  "a token for another audience": { authorization: () => bearer({ ...builder, audience: "sts.example.com" }), is: "wrong" },
  "a token for a year": { authorization: () => bearer({ ...builder, expires: 365 * 24 * 3_600 }), is: "wrong" },
  "a forged token": { authorization: () => bearer({ ...builder, header: { kid: home.keyId } }, edge), is: "wrong" },
  "a CI job's token for another audience": { authorization: () => job({ ...githubClaims, aud: "sts.example.com" }), is: "wrong" },
  "a wrong Bearer token": { authorization: () => "Bearer wrong", is: "wrong" },
} as const satisfies Record<string, Caller>;
type CallerName = keyof typeof callers;
const everybody = Object.entries<Caller>(callers) as (readonly [CallerName, Caller])[];

function may({ may: given }: Caller, area: Area, action: Action): boolean {
  return (action === "pull" && (area === "public" || area === "hub")) || given?.[area]?.includes(action) === true;
}

/** A repository as a client names it. */
interface Target {
  readonly area: Area;
  readonly name: string;
  readonly ns?: string;
  /** `own` and `proxied` are there; `none` is not; `left out` is not served under its Upstream's prefix. */
  readonly kind: "own" | "proxied" | "none" | "left out";
}

const targets: Readonly<Record<string, Target>> = {
  "an own repository": { area: "team-a", name: "team-a/app", kind: "own" },
  "one that few may see": { area: "team-b", name: "team-b/app", kind: "own" },
  "one that everybody may pull": { area: "public", name: "public/app", kind: "own" },
  "one of an upstream": { area: "hub", name: "hub/team/app", kind: "proxied" },
  "the same by ?ns=": { area: "hub", name: "team/app", ns: "hub.example.com", kind: "proxied" },
  "one of an upstream with credentials": { area: "priv", name: "priv/team/app", kind: "proxied" },
  "the same by ?ns= with credentials": { area: "priv", name: "team/app", ns: "priv.example.com", kind: "proxied" },
  "one that is not there": { area: "team-a", name: "team-a/none", kind: "none" },
  "one that is nowhere": { area: "elsewhere", name: "elsewhere/app", kind: "none" },
  "one that an upstream's filter leaves out": { area: "hub", name: "hub/secret/app", kind: "left out" },
  "one that a filter with credentials leaves out": { area: "rest of priv", name: "priv/secret/app", kind: "left out" },
};

interface Verb {
  readonly action: Action;
  readonly method: string;
  readonly path: (caller: number) => string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: () => string;
  /** What who may is answered, where the repository is there. */
  readonly done: string | ((caller: Caller, target: Target) => string);
  /** The same of an own repository that is not there; undefined: it would be made. */
  readonly missing?: string;
  /** Without a body in the answer. */
  readonly bare?: boolean;
  /** A second repository that is pulled from. */
  readonly from?: string;
}

const unknown = "404 NAME_UNKNOWN";
const noSession = "3f0d2b9c-5c2f-4ce1-9c8a-0d3d4f9d5b11";
const nothing = digestOf("nothing has this digest");
const manifestType = { "content-type": "application/vnd.oci.image.manifest.v1+json" };
const own = (name: string) => imageManifest({ config: digestOf("{}"), layers: [], annotations: { of: name } });
const image = imageManifest({ config: digestOf("{}"), layers: [] });
const other = own("another image");
const referrer = imageManifest({ config: digestOf("{}"), layers: [], subject: digestOf(image), artifactType: "application/x-test" });
const foreign = "a layer that is in one hidden repository alone";
const mountable = "a layer of a hidden repository that some may mount";

const verbs: Readonly<Record<string, Verb>> = {
  "GET a manifest by tag": { action: "pull", method: "GET", path: () => "manifests/latest", done: "200", missing: unknown },
  "HEAD a manifest by tag": { action: "pull", method: "HEAD", path: () => "manifests/latest", done: "200", missing: "404", bare: true },
  "GET a manifest by digest": { action: "pull", method: "GET", path: () => `manifests/${digestOf(image)}`, done: "200", missing: unknown },
  "HEAD a manifest by digest": {
    action: "pull",
    method: "HEAD",
    path: () => `manifests/${digestOf(image)}`,
    done: "200",
    missing: "404",
    bare: true,
  },
  "GET a protected tag": { action: "pull", method: "GET", path: () => "manifests/v1", done: "200", missing: unknown },
  "GET a blob": { action: "pull", method: "GET", path: () => `blobs/${digestOf("{}")}`, done: "200", missing: unknown },
  "HEAD a blob": { action: "pull", method: "HEAD", path: () => `blobs/${digestOf("{}")}`, done: "200", missing: "404", bare: true },
  "GET a part of a blob": {
    action: "pull",
    method: "GET",
    path: () => `blobs/${digestOf("{}")}`,
    headers: { range: "bytes=0-0" },
    done: "206",
    missing: unknown,
  },
  "GET a blob that is only in another repository": {
    action: "pull",
    method: "GET",
    path: () => `blobs/${digestOf(foreign)}`,
    done: (_, { area }) => (area === "team-b" ? "200" : "404 BLOB_UNKNOWN"),
    missing: unknown,
  },
  "GET the tags": { action: "pull", method: "GET", path: () => "tags/list", done: "200", missing: unknown },
  "GET the referrers": {
    action: "pull",
    method: "GET",
    path: () => `referrers/${digestOf(image)}`,
    done: "200 1 referrers",
    missing: "200 0 referrers",
  },
  "POST an upload": { action: "push", method: "POST", path: () => "blobs/uploads/", done: "202" },
  "POST a whole blob": {
    action: "push",
    method: "POST",
    path: () => `blobs/uploads/?digest=${digestOf("{}")}`,
    body: () => "{}",
    done: "201",
  },
  "POST a mount from a hidden repository": {
    action: "push",
    method: "POST",
    path: () => `blobs/uploads/?mount=${digestOf(mountable)}&from=team-b/app`,
    from: "team-b/app",
    done: (caller) => (may(caller, "team-b", "pull") ? "201" : "202"),
  },
  "POST a mount from a public repository": {
    action: "push",
    method: "POST",
    path: () => `blobs/uploads/?mount=${digestOf("{}")}&from=public/app`,
    from: "public/app",
    done: "201",
  },
  "GET an upload's place": {
    action: "push",
    method: "GET",
    path: () => `blobs/uploads/${noSession}`,
    done: "404 BLOB_UPLOAD_UNKNOWN",
    missing: "404 BLOB_UPLOAD_UNKNOWN",
  },
  "PATCH an upload": {
    action: "push",
    method: "PATCH",
    path: () => `blobs/uploads/${noSession}`,
    body: () => "x",
    done: "404 BLOB_UPLOAD_UNKNOWN",
    missing: "404 BLOB_UPLOAD_UNKNOWN",
  },
  "PUT an upload": {
    action: "push",
    method: "PUT",
    path: () => `blobs/uploads/${noSession}?digest=${digestOf("x")}`,
    body: () => "x",
    done: "404 BLOB_UPLOAD_UNKNOWN",
    missing: "404 BLOB_UPLOAD_UNKNOWN",
  },
  "DELETE an upload": {
    action: "push",
    method: "DELETE",
    path: () => `blobs/uploads/${noSession}`,
    done: "404 BLOB_UPLOAD_UNKNOWN",
    missing: "404 BLOB_UPLOAD_UNKNOWN",
  },
  "PUT a manifest by tag": {
    action: "push",
    method: "PUT",
    path: () => "manifests/latest",
    headers: manifestType,
    body: () => image,
    done: "201",
  },
  "PUT a manifest by digest": {
    action: "push",
    method: "PUT",
    path: () => `manifests/${digestOf(image)}`,
    headers: manifestType,
    body: () => image,
    done: "201",
  },
  "PUT a protected tag as it is": {
    action: "push",
    method: "PUT",
    path: () => "manifests/v1",
    headers: manifestType,
    body: () => image,
    done: "201",
  },
  "PUT a protected tag elsewhere": {
    action: "push",
    method: "PUT",
    path: () => "manifests/v1",
    headers: manifestType,
    body: () => other,
    done: "403 DENIED protected",
  },
  "PUT a protected tag elsewhere, beside a digest": {
    action: "push",
    method: "PUT",
    path: () => `manifests/${digestOf(other)}?tag=new&tag=v1`,
    headers: manifestType,
    body: () => other,
    done: "403 DENIED protected",
  },
  "DELETE a tag": { action: "delete", method: "DELETE", path: (caller) => `manifests/t${caller}`, done: "202", missing: unknown },
  "DELETE a tag that is not there": {
    action: "delete",
    method: "DELETE",
    path: () => "manifests/none",
    done: "404 MANIFEST_UNKNOWN",
    missing: unknown,
  },
  "DELETE a protected tag": {
    action: "delete",
    method: "DELETE",
    path: () => "manifests/v1",
    done: "403 DENIED protected",
    missing: unknown,
  },
  "DELETE a manifest that a protected tag names": {
    action: "delete",
    method: "DELETE",
    path: () => `manifests/${digestOf(image)}`,
    done: "403 DENIED protected",
    missing: unknown,
  },
  "DELETE a manifest": {
    action: "delete",
    method: "DELETE",
    path: (caller) => `manifests/${digestOf(own(`m${caller}`))}`,
    done: "202",
    missing: unknown,
  },
  "DELETE a blob that is not there": {
    action: "delete",
    method: "DELETE",
    path: () => `blobs/${nothing}`,
    done: "404 BLOB_UNKNOWN",
    missing: unknown,
  },
};

/** With which a request comes: credentials themselves, or an access token that was asked for with them. */
type Scope = "credentials" | "exactly this" | "another repository" | "the other actions";

/** The rules of access.md, in the order in which they count. */
function expected(verb: Verb, target: Target, caller: Caller, scope: Scope = "credentials"): string {
  const shown = (answer: string) => (verb.bare === true ? answer.slice(0, 3) : answer);
  const lacking = shown(scope === "credentials" ? "401 UNAUTHORIZED" : "401 UNAUTHORIZED insufficient_scope");
  // Credentials that do not count are refused even where none are needed.
  if (caller.is === "wrong") return shown("401 UNAUTHORIZED");
  // The token of a job's Pod is refused everywhere but in its run.
  if (caller.is === "idle") return shown("403 DENIED");
  const pulls = may(caller, target.area, "pull");
  if (target.kind === "left out" && pulls) return shown(unknown);
  // Upstreams' repositories are read from here; who sees them is told so.
  if (target.kind === "proxied" && verb.action !== "pull" && pulls) return "405 UNSUPPORTED";
  const opened = scope === "credentials" || scope === "exactly this";
  if (target.kind === "proxied" && verb.action === "pull" && pulls) return opened ? shown(doneAs(verb, target, caller)) : lacking;
  const allowed = may(caller, target.area, verb.action) && target.kind !== "left out" && target.kind !== "proxied";
  if (!allowed) {
    if (caller.is === "nobody") return lacking;
    // Who may only what everybody may is told so, whatever there is.
    if (caller.is === "stranger") return shown("403 DENIED");
    if (verb.action !== "pull") return "403 DENIED";
    // As if it were not there.
    return verb.missing ?? unknown;
  }
  // A right is there, and the token was not asked for it.
  if (!opened) return lacking;
  return target.kind === "none" ? (verb.missing ?? "") : doneAs(verb, target, caller);
}

function doneAs({ done }: Verb, target: Target, caller: Caller): string {
  return typeof done === "string" ? done : done(caller, target);
}

let folder: string;
let home: TokenIssuer;
let edge: TokenIssuer;
let github: TestProvider;
let gitlab: TestProvider;
let open: TestRegistry;
let closed: TestRegistry;
let registry: TestRegistry;
/** Everybody with credentials, and some again with tokens. */
const deleters = 2 * everybody.length;
const connections = new Agent({ keepAlive: true, maxSockets: 16 });
let decisions = 0;

const basic = (name: string, password = `${name}-password`) => `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
const bearer = async (parts: TokenParts, issuer = home) => `Bearer ${await issuer.token(parts)}`;
const job = async (claims: Readonly<Record<string, unknown>>, provider = github) => `Bearer ${await provider.token(claims)}`;

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
  folder = await mkdtemp(join(tmpdir(), "access-matrix-"));
  [home, edge, github, gitlab] = await Promise.all([createTokenIssuer(), createTokenIssuer(), startTokenProvider(), startTokenProvider()]);
  await Promise.all([writeFile(join(folder, "home"), home.jwks), writeFile(join(folder, "edge"), edge.jwks)]);
  [open, closed] = await Promise.all([startTestRegistry(), startTestRegistry()]);
  for (const { url } of [open, closed]) for (const name of ["team/app", "secret/app"]) await fill(url, name, { withSpares: false });
  const { access } = defaultSettings;
  registry = await startTestRegistry({
    settings: {
      ...defaultSettings,
      externalURL: `https://${audience}`,
      auth: {
        issuers: [
          { name: "in-cluster", issuer: clusterIssuer, jwks: join(folder, "home") },
          { name: "edge", issuer: clusterIssuer, jwks: join(folder, "edge") },
          { name: "github", kind: "OIDC", issuer: github.issuer, caFile: github.caFile },
          { name: "gitlab", kind: "OIDC", issuer: gitlab.issuer, caFile: gitlab.caFile, groupsClaim: "groups_direct" },
        ],
      },
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
  await Promise.all([github.stop(), gitlab.stop()]);
  await rm(folder, { recursive: true });
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
        const reply = await ask(await authorization(), verb.method, pathOf(target, verb, index), {
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
  const { status, text } = await ask(await authorization(), "GET", `/token?${new URLSearchParams({ scope }).toString()}`);
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
        [name, (await ask(await authorization(), "GET", "/token?scope=repository:public/app:pull")).status] as const,
    ),
  );
  expect(Object.fromEntries(answers)).toEqual(Object.fromEntries(refused.map(([name, { is }]) => [name, is === "wrong" ? 401 : 403])));
});

test("the catalog shows what the caller may pull", async () => {
  const stored = Object.values(targets).filter(({ kind, ns }) => (kind === "own" || kind === "proxied") && ns === undefined);
  const found = await Promise.all(
    everybody.map(async ([name, { authorization }]) => {
      const { status, text } = await ask(await authorization(), "GET", "/v2/_catalog");
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
  const headersOf = await Promise.all(pushers.map(async ([, { authorization }]) => authorization()));
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
        (await ask(await authorization(), "GET", "/v2/team/app/manifests/latest?ns=other.example.com")).status,
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
