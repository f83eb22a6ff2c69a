// CI jobs at a real registry: OpenID providers that run here (HTTPS of their own, discovery, keys), tokens with the claims that GitHub Actions and
// GitLab write, and a client that knows nothing of them but a password.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";

import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import { send, type Reply } from "../support/http.ts";
import { program } from "../support/programs.ts";
import { adminToken, publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { audience } from "../support/token-issuer.ts";
import { githubClaims, gitlabClaims, startTokenProvider, type TestProvider } from "../support/token-provider.ts";
import { tool } from "../support/tools.ts";
import { pushImage } from "../conformance/content.ts";

let folder: string;
let github: TestProvider;
let gitlab: TestProvider;
let registry: TestRegistry;
let host: string;

const policy = (name: string, subject: object, include: readonly string[]) => ({
  kind: "AccessPolicy" as const,
  name,
  spec: { subjects: [subject], repositories: { include }, actions: ["pull", "push"] },
});
const everybody = { subjects: [{ kind: "Anonymous" }], repositories: { include: ["public/**"] }, actions: ["pull"] };
const claims = (said: Readonly<Record<string, string>>) => Object.entries(said).map(([name, value]) => ({ name, value }));

const resources = [
  policy("octo", { kind: "OIDC", issuer: "github", claims: claims({ repository: "octo/app", ref: "refs/heads/main" }) }, ["octo/**"]),
  policy("group", { kind: "OIDC", issuer: "gitlab", claims: claims({ project_path: "group/app", ref_protected: "true" }) }, ["group/**"]),
  { ...policy("everybody", { kind: "Anonymous" }, ["public/**"]), spec: everybody },
  policy("maintainers", { kind: "Group", issuer: "gitlab", name: "group/maintainers" }, ["maintained/**"]),
];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ci-tokens-"));
  [github, gitlab] = await Promise.all([startTokenProvider(), startTokenProvider()]);
  registry = await startTestRegistry({
    settings: {
      ...defaultSettings,
      externalURL: `https://${audience}`,
      egress: { allowedCIDRs: ["127.0.0.0/8"] },
      access: { ...defaultSettings.access, anonymousPull: "None" },
      auth: {
        issuers: [
          { name: "github", kind: "OIDC", issuer: github.issuer, caFile: github.caFile },
          { name: "gitlab", kind: "OIDC", issuer: gitlab.issuer, caFile: gitlab.caFile, groupsClaim: "groups_direct" },
        ],
      },
    },
    trustUpstreamHosts: false,
  });
  host = new URL(registry.url).host;
  for (const name of ["team-b/app", "public/app"]) await pushImage(registry.url, name, "latest");
  await publishFirst(registry.url, resources);
});
afterAll(async () => {
  await registry.stop();
  await Promise.all([github.stop(), gitlab.stop()]);
  await rm(folder, { recursive: true });
});

const mayPush = async (token: string, repository: string) => {
  const headers = { authorization: `Bearer ${token}` };
  return (await send(registry.url, "POST", `/v2/${repository}/blobs/uploads/`, { headers })).status;
};

test("a job's token as the password of docker login pushes and pulls where a policy says so, and nowhere else", async () => {
  const login = `github:${await github.token(githubClaims)}`;
  await writeFile(join(folder, "config.json"), JSON.stringify({ auths: { [host]: { auth: Buffer.from(login).toString("base64") } } }));
  const crane = async (...args: readonly string[]) =>
    program(await tool("crane"), [...args, "--insecure"], { env: { DOCKER_CONFIG: folder } });
  const source = await startTestRegistry();
  await pushImage(source.url, "public/app", "latest");
  const from = `${new URL(source.url).host}/public/app:latest`;
  expect(await crane("copy", from, `${host}/octo/app:v1`)).toMatchObject({ code: 0 });
  expect(await crane("digest", `${host}/octo/app:v1`)).toMatchObject({ code: 0 });
  const elsewhere = await crane("copy", from, `${host}/team-b/app:v1`);
  expect(elsewhere).toMatchObject({ code: 1 });
  expect(elsewhere.stderr).toContain("DENIED");
  expect((await crane("digest", `${host}/team-b/app:latest`)).code).toBe(1);
  await source.stop();
  expect(registry.log).toContainEqual(
    expect.objectContaining({ event: "push", identity: `oidc:github/${githubClaims.sub}`, repository: "octo/app", tags: ["v1"] }),
  );
});

test.each<readonly [string, Readonly<Record<string, unknown>>, number]>([
  ["a push to the branch", {}, 202],
  ["another branch", { ref: "refs/heads/x" }, 403],
  ["a tag of the branch's name", { ref: "refs/tags/main" }, 403],
  ["a fork", { repository: "eve/app" }, 403],
  ["a repository whose name goes on", { repository: "octo/app-2" }, 403],
  ["a list that has the repository", { repository: ["octo/app"] }, 403],
  ["no repository", { repository: undefined }, 403],
  ["another audience", { aud: "sts.amazonaws.com" }, 401],
  ["the default audience", { aud: "https://github.com/octo" }, 401],
])("GitHub Actions: %s", async (_, said, status) => {
  expect(await mayPush(await github.token({ ...githubClaims, ...said }), "octo/app")).toBe(status);
});

describe("whom nothing here names", () => {
  const stranger = () => github.token({ ...githubClaims, sub: "repo:eve/app:ref:refs/heads/main", repository: "eve/app" });
  const ask = async (method: string, path: string, token: string) =>
    send(registry.url, method, path, { headers: { authorization: `Bearer ${token}` } });
  const said = (reply: Reply) => (reply.json() as { errors: { message: string }[] }).errors[0]?.message;

  test("is told so, and what would name it, whatever it asks for", async () => {
    const token = await stranger();
    const asked = [
      ["GET", "/v2/"],
      ["GET", "/v2/team-b/app/manifests/latest"],
      ["GET", "/v2/team-b/none/manifests/latest"],
      ["GET", `/v2/team-b/app/referrers/sha256:${"0".repeat(64)}`],
      ["POST", "/v2/octo/app/blobs/uploads/"],
      ["DELETE", "/v2/team-b/app/manifests/latest"],
      ["GET", "/api/v1/repositories"],
      ["GET", "/api/v1/versions/team-b/app"],
      ["PUT", "/api/v1/record"],
    ] as const;
    for (const [method, path] of asked) {
      const reply = await ask(method, path, token);
      expect([path, reply.status, said(reply)]).toEqual([
        path,
        403,
        "Nothing here names repo:eve/app:ref:refs/heads/main of the issuer github, so that it may do what everybody may and nothing else. An AccessPolicy with this " +
          'subject would: {kind: OIDC, issuer: github, claims: [{name: sub, value: "repo:eve/app:ref:refs/heads/main"}]}.',
      ]);
    }
  });

  test("pulls what everybody may, by a token too, and asks for as few scopes as who shows nothing", async () => {
    const token = await stranger();
    expect((await ask("GET", "/v2/public/app/manifests/latest", token)).status).toBe(200);
    expect((await ask("GET", "/v2/_catalog", token)).json()).toEqual({ repositories: ["public/app"] });
    const given = await ask("GET", "/token?scope=repository:public/app:pull,push%20repository:team-b/app:pull", token);
    expect(given.status).toBe(200);
    const { token: access } = given.json() as { token: string };
    expect((await ask("GET", "/v2/public/app/manifests/latest", access)).status).toBe(200);
    expect((await ask("GET", "/v2/team-b/app/manifests/latest", access)).status).toBe(403);
    expect((await ask("GET", "/v2/", access)).status).toBe(403);
    const many = await ask("GET", `/token?${"scope=repository:public/app:pull&".repeat(17)}`, token);
    expect([many.status, said(many)]).toEqual([400, expect.stringContaining("More than 16 scopes")]);
  });

  test("is somebody as soon as a policy names it, in the words that it was told", async () => {
    const token = await gitlab.token({ ...gitlabClaims, sub: "project_path:late/app", project_path: "late/app", groups_direct: [] });
    const refused = said(await ask("GET", "/v2/", token)) ?? "";
    const subject: unknown = parse(/\{kind: .*\}/.exec(refused)?.[0] ?? "");
    expect(subject).toMatchObject({ kind: "OIDC", issuer: "gitlab" });
    const client = new ControlClient({ url: registry.url, token: adminToken });
    const common = { namespace: "default", generation: 1, revision: "r2", suspend: false };
    const all = [...resources, policy("late", subject as object, ["late/**"])].map((one) => ({ ...common, ...one }));
    await client.publish({ revision: "r2", base: "r1", resources: all, ledgers: {}, settled: [] });
    await client.close();
    expect((await ask("GET", "/v2/", token)).status).toBe(200);
    expect(await mayPush(token, "late/app")).toBe(202);
    expect(await mayPush(token, "octo/app")).toBe(403);
  });
});

test("the same claims by another issuer are nobody's", async () => {
  expect(await mayPush(await gitlab.token(githubClaims), "octo/app")).toBe(403);
  expect(await mayPush(await gitlab.token({ ...githubClaims, iss: github.issuer }), "octo/app")).toBe(401);
});

test("GitLab: claims, and groups where the settings say which claim has them", async () => {
  const token = await gitlab.token(gitlabClaims);
  expect(await mayPush(token, "group/app")).toBe(202);
  expect(await mayPush(token, "maintained/app")).toBe(202);
  expect(await mayPush(token, "octo/app")).toBe(403);
  const feature = await gitlab.token({ ...gitlabClaims, ref_protected: "false", groups_direct: ["group/guests"] });
  expect(await mayPush(feature, "group/app")).toBe(403);
  expect(await mayPush(feature, "maintained/app")).toBe(403);
});

test("tokens are in no log", async () => {
  const token = await github.token(githubClaims);
  await mayPush(token, "team-b/app");
  const text = JSON.stringify(registry.log);
  for (const secret of [token, token.split(".")[2] ?? "", adminToken]) expect(text).not.toContain(secret);
});
