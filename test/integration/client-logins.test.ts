// How real clients log in: each asks, is challenged, and shows what it has. Pushes and pulls with and without rights.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { hashSync } from "bcryptjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { defaultSettings } from "../../src/config/settings.ts";
import { pushImage } from "../conformance/content.ts";
import { program } from "../support/programs.ts";
import { publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { tool } from "../support/tools.ts";

let registry: TestRegistry;
let host: string;
let folder: string;

const rule = (name: string, subject: object, include: readonly string[], actions: readonly string[]) => ({
  kind: "AccessPolicy" as const,
  name,
  spec: { subjects: [subject], repositories: { include }, actions },
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "logins-"));
  registry = await startTestRegistry({ settings: { ...defaultSettings, access: { ...defaultSettings.access, anonymousPull: "None" } } });
  host = new URL(registry.url).host;
  await pushImage(registry.url, "public/app", "latest");
  await pushImage(registry.url, "team-b/app", "latest");
  registry.secrets.set("default", "wharfinger-users", { htpasswd: `ci:${hashSync("right", 5)}\n` });
  await publishFirst(registry.url, [
    rule("ci", { kind: "User", name: "ci" }, ["team-a/**"], ["pull", "push", "delete"]),
    rule("public", { kind: "Anonymous" }, ["public/**"], ["pull"]),
  ]);
  const auth = Buffer.from("ci:right").toString("base64");
  await writeFile(join(folder, "config.json"), JSON.stringify({ auths: { [host]: { auth } } }));
  await writeFile(join(folder, "auth.json"), JSON.stringify({ auths: {} }));
});
afterAll(async () => {
  await registry.stop();
  await rm(folder, { recursive: true });
});

const crane = async (args: readonly string[], options: { loggedIn: boolean }) =>
  program(await tool("crane"), [...args, "--insecure"], { env: { DOCKER_CONFIG: options.loggedIn ? folder : join(folder, "nothing") } });
const skopeo = async (args: readonly string[]) =>
  program(await tool("skopeo"), args, { env: { REGISTRY_AUTH_FILE: join(folder, "auth.json") } });
const insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"];

describe("crane", () => {
  test("pulls what is public without a login, and nothing else", async () => {
    expect(await crane(["digest", `${host}/public/app:latest`], { loggedIn: false })).toMatchObject({ code: 0 });
    const refused = await crane(["digest", `${host}/team-b/app:latest`], { loggedIn: false });
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toContain("401");
  });

  test("pushes, lists and deletes with a login, where it may", async () => {
    const copied = await crane(["copy", `${host}/public/app:latest`, `${host}/team-a/app:v1`], { loggedIn: true });
    expect(copied).toMatchObject({ code: 0 });
    expect((await crane(["catalog", host], { loggedIn: true })).stdout.split("\n").filter(Boolean)).toEqual(["public/app", "team-a/app"]);
    expect(await crane(["delete", `${host}/team-a/app:v1`], { loggedIn: true })).toMatchObject({ code: 0 });
    const refused = await crane(["copy", `${host}/public/app:latest`, `${host}/team-b/app:v1`], { loggedIn: true });
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toContain("DENIED");
  });
});

describe("skopeo", () => {
  test("pulls what is public without a login", async () => {
    expect(await skopeo(["inspect", "--tls-verify=false", "--raw", `docker://${host}/public/app:latest`])).toMatchObject({ code: 0 });
  });

  test("pushes with the right password and not with a wrong one", async () => {
    const to = (creds: string) => [
      "copy",
      ...insecure,
      "--dest-creds",
      creds,
      `docker://${host}/public/app:latest`,
      `docker://${host}/team-a/sk:v1`,
    ];
    expect(await skopeo(to("ci:right"))).toMatchObject({ code: 0 });
    const refused = await skopeo(to("ci:wrong"));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("unauthorized");
    expect(await skopeo(["delete", "--tls-verify=false", "--creds", "ci:right", `docker://${host}/team-a/sk:v1`])).toMatchObject({
      code: 0,
    });
  });
});

describe("podman", () => {
  const podman = async (args: readonly string[]) =>
    program(await tool("podman"), [...args, "--tls-verify=false", "--authfile", join(folder, "podman.json"), host]);

  test("logs in with the right password only", async () => {
    expect(await podman(["login", "--username", "ci", "--password", "right"])).toMatchObject({ code: 0 });
    const refused = await podman(["login", "--username", "ci", "--password", "wrong"]);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain("invalid username/password");
  });
});

test("all of them did it with tokens", () => {
  const logins = registry.log.filter(({ event }) => event === "login");
  const scopes = logins.map(({ scope }) => String(scope));
  expect(scopes).toEqual(
    expect.arrayContaining([
      expect.stringContaining("repository:team-a/sk:pull,push"),
      expect.stringContaining("repository:team-a/app:"),
      "registry:catalog:*",
      "",
    ]),
  );
  // Nobody fell back to Basic at /v2/.
  expect(scopes).not.toContain("undefined");
});

describe("wharfinger import, from this registry into itself", () => {
  const main = resolve(import.meta.dirname, "../../src/cli/main.ts");
  const importing = (to: string, env: Readonly<Record<string, string>>) => {
    const names = ["--repository", "public/app", "--rename", `public=${to}`];
    const where = ["--registry", registry.url, "--data", join(folder, "no-data")];
    return program(process.execPath, [main, "import", registry.url, ...names, ...where], {
      env: { WHARFINGER_TOKEN: "", DOCKER_CONFIG: join(folder, "nothing"), ...env },
    });
  };
  const ci = { WHARFINGER_USERNAME: "ci", WHARFINGER_PASSWORD: "right" };

  test("as a user, where that user may push", async () => {
    expect(await importing("team-a/by-name", ci)).toMatchObject({ code: 0 });
    expect(await importing("team-a/by-docker", { DOCKER_CONFIG: folder })).toMatchObject({ code: 0 });
    const tags = await crane(["ls", `${host}/team-a/by-docker/app`], { loggedIn: true });
    expect(tags.stdout.trim()).toBe("latest");
    const elsewhere = await importing("team-b", ci);
    expect(elsewhere).toMatchObject({ code: 1, stderr: expect.stringMatching(/^public\/app: refused: team-b\/app: /m) as string });
  });

  test.each([
    [{ ...ci, WHARFINGER_PASSWORD: "guess" }, "does not accept the login of ci from WHARFINGER_USERNAME and WHARFINGER_PASSWORD."],
    [
      {},
      "wants to know who pushes. Set WHARFINGER_USERNAME and WHARFINGER_PASSWORD of a user who may, log in with docker, or set WHARFINGER_TOKEN.",
    ],
    [{ WHARFINGER_USERNAME: "ci" }, "Set WHARFINGER_USERNAME and WHARFINGER_PASSWORD, or neither of them."],
    [
      { ...ci, WHARFINGER_TOKEN: "token" },
      "Set WHARFINGER_USERNAME and WHARFINGER_PASSWORD for a user, or WHARFINGER_TOKEN for the admin token, not both.",
    ],
  ])("%j is refused with what to do", async (env, message) => {
    const { code, stderr } = await importing("team-a/no", env);
    expect([code, stderr]).toEqual([1, expect.stringContaining(message)]);
    expect(stderr).not.toMatch(/guess|right/);
  });
});
