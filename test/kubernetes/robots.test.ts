// `wharfinger robot` at a real API server: each robot is a key of its own, whoever wrote it and by which way.

import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { createNamespace } from "../support/kubernetes.ts";
import type { KubernetesApi } from "../support/kubernetes-access.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";
import { wharfinger } from "../support/standalone.ts";

let api: KubernetesApi;
let namespace: string;
let team: string;
let folder: string;
beforeAll(async () => {
  api = await sharedApiServer();
  folder = await mkdtemp(join(tmpdir(), "wharfinger-robots-"));
  [namespace, team] = await Promise.all([createNamespace(api), createNamespace(api)]);
});
afterAll(() => rm(folder, { recursive: true }));

interface Secret {
  readonly type: string;
  readonly data?: Readonly<Record<string, string>>;
}

const robot = (...args: readonly string[]) =>
  wharfinger(["robot", ...args, "-n", namespace], { env: { KUBECONFIG: api.kubeconfig, HOME: folder } });

async function done(result: ReturnType<typeof robot>) {
  const { code, stdout, stderr } = await result;
  if (code !== 0) throw new Error(`ended with ${code}: ${stderr}`);
  return { stdout, stderr };
}

async function secretIn(where: string, name: string): Promise<Secret> {
  const { code, stdout, stderr } = await api.kubectl(["-n", where, "get", "secret", name, "-o", "json"]);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Secret;
}

async function entries(): Promise<Record<string, { sha256: string; expires?: string }>> {
  const { data = {} } = await secretIn(namespace, "wharfinger-robots");
  const decoded = Object.entries(data).map(([name, value]) => [name, JSON.parse(Buffer.from(value, "base64").toString())]);
  return Object.fromEntries(decoded) as Awaited<ReturnType<typeof entries>>;
}

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** What `create` printed goes to kubectl, by the command that it names. */
async function applyAsSaid(created: string, said: string): Promise<void> {
  const [, flags = ""] = /kubectl apply (--server-side \S+) -f -/.exec(said) ?? [];
  const { code, stderr } = await api.kubectl(["apply", ...flags.split(" "), "-f", "-"], { input: created });
  expect([code, stderr]).toEqual([0, ""]);
}

test("in a namespace whose operator looks at another one, that is said", async () => {
  const [programs, resources] = await Promise.all([createNamespace(api), createNamespace(api)]);
  const create = (name: string) =>
    wharfinger(["robot", "create", name, "-n", programs, "--apply"], { env: { KUBECONFIG: api.kubeconfig, HOME: folder } });
  expect((await done(create("before"))).stderr).not.toContain("looks at namespace");
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "operator",
      labels: { "app.kubernetes.io/name": "wharfinger", "app.kubernetes.io/component": "operator" },
      annotations: { "wharfinger.dev/record-namespace": resources },
    },
    spec: { containers: [{ name: "operator", image: "operator" }] },
  };
  expect(await api.kubectl(["-n", programs, "create", "-f", "-"], { input: JSON.stringify(pod) })).toMatchObject({ code: 0, stderr: "" });
  expect((await done(create("after"))).stderr).toContain(`The operator there looks at namespace ${resources} instead: `);
  const get = (...args: readonly string[]) =>
    wharfinger(["get", ...args, "-n", programs], { env: { KUBECONFIG: api.kubeconfig, HOME: folder } });
  const hint = `The operator of namespace ${programs} looks at resources in ${resources}: \`-n ${resources}\`.\n`;
  expect(await get()).toMatchObject({ code: 0, stdout: "No resources.\n", stderr: hint });
  expect(await get("upstream/hub")).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^The operator of [^]*There is no Upstream /) as string,
  });
});

test("robots come one after the other, printed or applied, and each stays until it is revoked", async () => {
  const ci = await done(robot("create", "ci", "--expires", "2099-01-01T00:00:00Z"));
  const [, password = ""] = /shown this once: (wfr_[\w-]{43})\n/.exec(ci.stderr) ?? [];
  expect(ci.stdout).not.toContain(password);
  await applyAsSaid(ci.stdout, ci.stderr);
  const file = join(folder, "nodes-password");
  const nodes = await done(robot("create", "nodes", "--expires", "never", "--password-file", file, "--apply"));
  const second = await done(robot("create", "second"));
  await applyAsSaid(second.stdout, second.stderr);
  const nodesPassword = await readFile(file, "utf8");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(nodes.stdout + nodes.stderr).not.toContain(nodesPassword);
  expect(await entries()).toEqual({
    ci: { sha256: sha256(password), expires: "2099-01-01T00:00:00Z" },
    nodes: { sha256: sha256(nodesPassword) },
    second: { sha256: expect.any(String) as string, expires: expect.any(String) as string },
  });
  const { stdout } = await done(robot("list"));
  expect(stdout).toMatch(/^ROBOT +EXPIRES\nci +2099-01-01[^\n]*\nnodes +never\nsecond +\d{4}-/);
  // Printed and applied by kubectl, taken away by us; and the other way round nothing else goes.
  await done(robot("revoke", "ci"));
  await done(robot("revoke", "nodes"));
  expect(Object.keys(await entries())).toEqual(["second"]);
});

test("a name that is there keeps its password", async () => {
  await done(robot("create", "twice", "--apply"));
  const before = (await entries())["twice"];
  const { code, stdout, stderr } = await robot("create", "twice", "--apply");
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toContain("There is a robot twice in Secret");
  expect(stderr).not.toContain("wfr_");
  expect((await entries())["twice"]).toEqual(before);
});

test("pull secrets are for the host, in the namespaces that are named, and the password is shown nowhere else", async () => {
  const { stdout, stderr } = await done(robot("create", "team", "--pull-secret", team, "--host", "registry.example.com", "--apply"));
  const { type, data = {} } = await secretIn(team, "wharfinger-team");
  expect(type).toBe("kubernetes.io/dockerconfigjson");
  const { auths } = JSON.parse(Buffer.from(data[".dockerconfigjson"] ?? "", "base64").toString()) as {
    auths: Record<string, { username: string; password: string; auth: string }>;
  };
  const { username, password = "", auth = "" } = auths["registry.example.com"] ?? {};
  expect([username, Buffer.from(auth, "base64").toString()]).toEqual(["team", `team:${password}`]);
  expect((await entries())["team"]?.sha256).toBe(sha256(password));
  expect(stdout + stderr).not.toContain("wfr_");
});

test("without the rights nothing is made, and it says which", async () => {
  const nobody = await api.user("nobody");
  const { code, stderr } = await robot("create", "x", "--apply", "--kubeconfig", nobody);
  expect([code, stderr]).toEqual([
    1,
    expect.stringContaining(`It takes the verbs get and patch for Secret ${namespace}/wharfinger-robots`),
  ]);
});
