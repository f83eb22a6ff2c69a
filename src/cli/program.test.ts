// The command line as users meet it: a real process, its two outputs and its exit code. Against a running registry: test/integration/cli.test.ts.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { wharfinger } from "../../test/support/standalone.ts";

let folder: string;
const servers: Server[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-cli-"));
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await rm(folder, { recursive: true, force: true });
});

const run = (args: readonly string[], env: Record<string, string> = {}) =>
  wharfinger(args, { cwd: folder, env: { HOME: folder, KUBECONFIG: "", WHARFINGER_TOKEN: "", ...env } });

/** A registry that answers everything with one status, and remembers the tokens it was shown. */
async function answering(status: number, body: unknown, host = "127.0.0.1"): Promise<{ url: string; tokens: (string | undefined)[] }> {
  const tokens: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    tokens.push(request.headers.authorization);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  servers.push(server);
  await new Promise<void>((listening) => server.listen(0, host, listening));
  return { url: `http://${host}:${(server.address() as AddressInfo).port}`, tokens };
}

test("--help lists every subcommand, and each one its options with their twins", async () => {
  const all = await run(["--help"]);
  expect([all.code, all.stderr]).toEqual([0, ""]);
  for (const name of ["get", "explain", "delete", "restore", "audit", "gc", "import", "validate"])
    expect(all.stdout).toMatch(new RegExp(`^  ${name}\\b`, "m"));
  const one = await run(["get", "--help"]);
  for (const twin of ["WHARFINGER_REGISTRY", "WHARFINGER_DATA", "WHARFINGER_OUTPUT"]) expect(one.stdout).toContain(twin);
});

test.each([
  [[], /Usage: wharfinger/],
  [["gett"], /unknown command 'gett'[\s\S]*Did you mean get\?/],
  [["get", "--colour"], /unknown option '--colour'/],
  [["get", "Upstreem"], /Kinds are Upstream, TagPolicy, RetentionPolicy, AccessPolicy\./],
  [["get", "upstream/a/b/c"], /Write namespace\/name, for example default\/chainguard\./],
  [["get", "upstream/a", "b"], /The name is there twice: write `npx wharfinger get Upstream b`\./],
  [["get", "upstream", "a/b/c"], /Write namespace\/name, for example default\/chainguard\./],
  [["explain"], /missing required argument 'image'/],
  [["explain", "nginx"], /Write repository:tag or repository@sha256:…/],
  [["restore", "UPPER:v1"], /Write repository:tag or repository@sha256:…/],
  [["get", "-o", "xml"], /Allowed choices are table, json, yaml\./],
  [["get", "--registry", "localhost:5000"], /Write scheme:\/\/host:port, for example http:\/\/127\.0\.0\.1:5000\./],
  [["get", "--context", "dev", "--registry", "http://127.0.0.1:1"], /--registry names a registry, --context one in a cluster/],
  [["reconcile", "nginx"], /Write kind\/name, for example tagpolicy\/nginx; its namespace with -n\./],
  [["reconcile", "tagpolicy/nginx", "--timeout", "soon"], /Write a duration, for example 90s or 10m\./],
  [["gc", "start"], /unknown command 'start'/],
  [["import"], /missing required argument 'source'/],
  [["import", "x", "--concurrency", "100"], /Write a whole number from 1 to 64\./],
  [["import", "x", "--rename", "a"], /Write old=new/],
  [["validate"], /missing required argument 'path'/],
])("wrong usage: %j", async (args, message) => {
  const { code, stdout, stderr } = await run(args);
  expect(stderr).toMatch(message);
  expect([code, stdout]).toEqual([2, ""]);
});

test("a mistake in the environment names the variable", async () => {
  const { code, stderr } = await run(["get"], { WHARFINGER_OUTPUT: "xml" });
  expect([code, stderr]).toEqual([2, expect.stringContaining("WHARFINGER_OUTPUT")]);
});

test("import: a switch takes nothing that stands behind it, and its twin says true or false", async () => {
  const args = ["import", "--dry-run", join(folder, "nowhere"), "--registry", "http://127.0.0.1:1"];
  const twin = (text: string) => run(args, { WHARFINGER_IMPORT_UNTAGGED: text });
  expect(await twin("false")).toMatchObject({ code: 1, stderr: `There is no folder ${join(folder, "nowhere")}.\n` });
  expect(await twin("maybe")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("WHARFINGER_IMPORT_UNTAGGED is invalid. Write true or false.") as string,
  });
});

test("nothing runs on the data folder", async () => {
  const { code, stderr } = await run(["get"]);
  expect([code, stderr]).toEqual([
    1,
    "No registry is running on the data folder data (there is no data/address). Start it with `npm start`, or name the folder of a running one with --data, a registry with --registry, or a cluster with --context.\n",
  ]);
});

test("a command that asks no cluster names none", async () => {
  const { stderr } = await run(["job", "prune", "--policy", "clean"]);
  expect(stderr).toContain("name the folder of a running one with --data, or a registry with --registry.\n");
});

test("a cluster is asked where one is named, or is in reach and nothing runs here", async () => {
  const file = join(folder, "kubeconfig");
  const cluster = "clusters: [{name: dev, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: me, user: {token: x}}]\n";
  await writeFile(file, `${cluster}contexts: [{name: dev, context: {cluster: dev, user: me}}]\ncurrent-context: dev\n`);
  const inCluster = "Is that the cluster you mean (context dev)?";
  const record = async (...args: string[]) => (await run(["record", "status", ...args], { KUBECONFIG: file })).stderr;
  expect(await record()).toContain(inCluster);
  const { url } = await answering(403, { errors: [{ code: "DENIED", message: "here" }] });
  await mkdir(join(folder, "data"));
  await writeFile(join(folder, "data/address"), url);
  expect(await record("--verbose")).toBe(`Asking the registry at ${url} without a token.\nhere\n`);
  expect(await record("-n", "registry")).toContain(inCluster);
});

test("the registry is gone", async () => {
  const { url } = await answering(200, []);
  servers.splice(0)[0]?.close();
  const { code, stderr } = await run(["get", "--registry", url]);
  expect(code).toBe(1);
  expect(stderr).toContain(`No answer from the registry at ${url}`);
  expect(stderr).toContain("Start it with `npm start`");
});

test("the token is not this registry's", async () => {
  const refusal = { errors: [{ code: "UNAUTHORIZED", message: "no" }] };
  const { url, tokens } = await answering(401, refusal);
  expect((await run(["get", "--registry", url])).stderr).toBe(
    `The registry at ${url} wants a token. Name the data folder of that registry with --data, or set WHARFINGER_TOKEN.\n`,
  );
  await mkdir(join(folder, "data"));
  await writeFile(join(folder, "data/admin-token"), "of-another\n");
  const { code, stderr } = await run(["get", "--registry", url]);
  expect([code, stderr]).toEqual([
    1,
    `The registry at ${url} does not accept the token from data/admin-token. Is that the token of this registry? Name its data folder with --data, or set WHARFINGER_TOKEN.\n`,
  ]);
  await run(["get", "--registry", url], { WHARFINGER_TOKEN: "given" });
  expect(tokens).toEqual([undefined, "Bearer of-another", "Bearer given"]);
});

test("the admin token of the default folder does not go to another machine's registry", async () => {
  await mkdir(join(folder, "data"));
  await writeFile(join(folder, "data/admin-token"), "secret\n");
  // Not loopback by its name, whoever answers.
  const args = ["get", "--registry", "http://registry.invalid:5000"];
  expect((await run(args)).stderr).toContain("No answer from the registry at http://registry.invalid:5000");
  const { connected } = await import("./connection.ts");
  const token = (dataGiven: boolean) =>
    connected({ registry: "http://registry.invalid:5000", data: join(folder, "data"), dataGiven }, async (connection) => connection.token);
  expect([await token(false), await token(true)]).toEqual([undefined, "secret"]);
});

test("results in three forms; colours only for a terminal", async () => {
  const view = {
    kind: "Upstream",
    namespace: "default",
    name: "hub",
    generation: 2,
    spec: {},
    status: {
      observedGeneration: 2,
      revision: "1f3c2ab0123",
      conditions: [
        {
          type: "Ready",
          status: "True",
          reason: "Succeeded",
          message: "served",
          lastTransitionTime: "2026-01-01T00:00:00Z",
          observedGeneration: 2,
        },
      ],
    },
  };
  const { url } = await answering(200, [view]);
  const get = async (...args: string[]) => (await run(["get", ...args, "--registry", url])).stdout;
  expect(await get()).toBe(
    "KIND       NAMESPACE   NAME   READY   REASON      REVISION   MESSAGE\nUpstream   default     hub    True    Succeeded   1f3c2ab    served\n",
  );
  expect(JSON.parse(await get("-o", "json"))).toEqual([view]);
  expect(await get("-o", "yaml")).toMatch(/^- kind: Upstream\n {2}namespace: default\n/);
  expect(await get("upst", "hub")).toContain("generation 2 at 1f3c2ab");
  const missing = await run(["get", "upstreams", "default/other", "--registry", url]);
  expect([missing.code, missing.stderr]).toEqual([
    1,
    "There is no Upstream default/other. `npx wharfinger get Upstream` lists those there are.\n",
  ]);
});

test("a command that a registry names is named as the reader calls it", async () => {
  const message = "There is no plan p of a/b: make one with `npx wharfinger plan a/b`.";
  const { url } = await answering(404, { errors: [{ code: "NOT_FOUND", message }] });
  const plan = async (env?: Record<string, string>) => (await run(["plan", "a/b", "--registry", url], env)).stderr;
  expect(await plan()).toBe(`${message}\n`);
  expect(await plan({ WHARFINGER_KUBECTL_PLUGIN: "true" })).toBe(`${message.replace("npx", "kubectl")}\n`);
});

test("validate: findings on stderr, verdicts on stdout, and the exit code", async () => {
  const head = "apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\n";
  await writeFile(join(folder, "good.yaml"), `${head}metadata: {name: hub}\nspec: {url: https://docker.io, prefix: hub}\n`);
  const good = await run(["validate", "good.yaml"]);
  expect([good.code, good.stderr]).toEqual([0, "1 valid, 0 invalid.\n"]);
  await writeFile(join(folder, "bad.yaml"), `${head}metadata: {name: bad}\nspec:\n  url: https://docker.io\n  prefx: bad\n`);
  const bad = await run(["validate", ".", "-o", "json"]);
  expect(bad.code).toBe(1);
  expect(bad.stderr).toMatch(/^bad\.yaml:6: spec\.prefx: /m);
  expect(JSON.parse(bad.stdout)).toMatchObject({ valid: false });
});

test("a reader that has seen enough", async () => {
  const { url } = await answering(200, []);
  const { program } = await import("../../test/support/programs.ts");
  const main = new URL("./main.ts", import.meta.url).pathname;
  const { code, stderr } = await program("bash", [
    "-c",
    `set -o pipefail; "$0" "$1" get --registry "$2" -o json | true`,
    process.execPath,
    main,
    url,
  ]);
  expect([code, stderr]).toEqual([0, ""]);
});
