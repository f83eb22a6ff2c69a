// What people ask for by the program through a kubeconfig: that something is looked at, and what waits for their word; and the program as kubectl runs it.

import { cp, mkdir, symlink, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { CommandLineWorld, repositoryRoot, retentionPolicy } from "../support/command-line-world.ts";
import { eventually } from "../support/eventually.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { offlineUpstream } from "../support/operator-world.ts";
import { program } from "../support/programs.ts";
import { tool } from "../support/tools.ts";

let cli: CommandLineWorld;
beforeAll(async () => {
  cli = await CommandLineWorld.open();
});
afterAll(() => cli?.close());

test("reconcile asks the operator, and follows what comes of it", async () => {
  const before = await cli.kubectl("-n", cli.namespace, "get", "retentionpolicy/clean", "-o", "jsonpath={.status.lastRun.id}");
  const looked = await cli.inHome("reconcile", "upstream/hub", "--wait");
  expect(looked).toMatchObject({ code: 0, stdout: "", stderr: expect.stringMatching(/Upstream test-\w+\/hub is ready: Succeeded: .*\n$/) });
  const ran = await cli.inHome("reconcile", "retpol/clean", "--wait");
  expect(ran).toMatchObject({ code: 0, stdout: "", stderr: expect.stringMatching(/\nRetentionPolicy test-\w+\/clean: .+\n$/) });
  const run = await cli.kubectl(
    "-n",
    cli.namespace,
    "get",
    "retentionpolicy/clean",
    "-o",
    "jsonpath={.status.lastRun.id} {.status.lastRun.state}",
  );
  expect(run).toMatch(/^\S+ succeeded$/);
  expect(run.split(" ")[0]).not.toBe(before);
  expect(await cli.inHome("reconcile", "retpol/none")).toMatchObject({ code: 1, stderr: expect.stringContaining('"none" not found') });
});

test("what cannot be done is not waited for", async () => {
  await cli.world.apply(offlineUpstream({ name: "twin", prefix: "hub" }), retentionPolicy("paused", ", suspend: true"));
  const stalled = await cli.inHome("reconcile", "upstream/twin", "--wait");
  expect(stalled).toMatchObject({ code: 1, stderr: expect.stringMatching(/Upstream test-\w+\/twin is not ready: PrefixInUse: .*\n$/) });
  const suspended = await cli.inHome("reconcile", "retpol/paused", "--wait");
  expect(suspended).toMatchObject({ code: 1, stderr: expect.stringContaining("is suspended") });
  const home = await createNamespace(cli.api);
  const kubeconfig = await cli.becomeAdministrator("lonely", home);
  expect(await cli.api.kubectl(["-n", home, "apply", "-f", "-"], { input: offlineUpstream() })).toMatchObject({ code: 0 });
  const alone = await cli.wharfinger(["reconcile", "upstream/chainguard", "-n", home, "--wait", "--timeout", "1s"], {
    KUBECONFIG: kubeconfig,
  });
  expect(alone).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("Not done within 1s: waiting for the operator (no operator has looked at it yet)"),
  });
});

test("what is suspended while it is followed is waited for no longer", async () => {
  const policy = (more: string) =>
    `apiVersion: wharfinger.dev/v1alpha1\nkind: TagPolicy\nmetadata: {name: early}\nspec: {upstreamRef: {name: nowhere}, images: [{repository: a/b}], verify: {mode: Unverified}${more}}\n`;
  await cli.world.apply(policy(""));
  const followed = cli.inHome("reconcile", "tagpolicy/early", "--wait");
  await eventually(async () => {
    const asked = await cli.kubectl("-n", cli.namespace, "get", "tagpolicy/early", "-o", "jsonpath={.metadata.annotations}");
    expect(asked).toContain("wharfinger.dev/requestedAt");
  });
  await cli.world.apply(policy(", suspend: true"));
  expect(await followed).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("early is suspended: spec.suspend is true: changes are not"),
  });
});

/** The file of the package under the name by which kubectl knows its plugins, before these sources instead of a build of them. */
async function pluginFolder(): Promise<string> {
  const copy = join(cli.folder, "package");
  const path = join(cli.folder, "path");
  await Promise.all([mkdir(join(copy, "dist/cli"), { recursive: true }), mkdir(path)]);
  await cp(join(repositoryRoot, "bin"), join(copy, "bin"), { recursive: true });
  await symlink(join(repositoryRoot, "node_modules"), join(copy, "node_modules"));
  await writeFile(join(copy, "package.json"), JSON.stringify({ type: "module" }));
  await writeFile(join(copy, "dist/cli/main.js"), `await import(${JSON.stringify(join(repositoryRoot, "src/cli/main.ts"))});\n`);
  await symlink(join(copy, "bin/wharfinger.mjs"), join(path, "kubectl-wharfinger"));
  return path;
}

test("kubectl runs it as its plugin, with its own options", async () => {
  const path = await pluginFolder();
  const env = { HOME: cli.folder, KUBECONFIG: "", PATH: [path, dirname(process.execPath), process.env["PATH"]].join(delimiter) };
  const plugin = async (...args: string[]) => program(await tool("kubectl"), ["wharfinger", ...args], { cwd: cli.folder, env });
  const help = await plugin("--help");
  expect(help.stdout).toMatch(/^Usage: kubectl wharfinger \[options\]/);
  expect(help.stdout).toContain("kubectl wharfinger get ");
  const options = ["--kubeconfig", cli.administrator, "--context", "test", "-n", cli.namespace];
  expect(await plugin("plan", "clean", ...options)).toMatchObject({ code: 0, stderr: "" });
  // Where a process of this machine runs too, kubectl means the cluster.
  await mkdir(join(cli.folder, "data"));
  await writeFile(join(cli.folder, "data/address"), "http://127.0.0.1:1\n");
  const missing = await plugin("get", "upst", "gone", "-n", cli.namespace, "--kubeconfig", cli.administrator);
  expect(missing.stderr).toBe(`There is no Upstream ${cli.namespace}/gone. \`kubectl wharfinger get Upstream\` lists those there are.\n`);
});

test("record: where it stands, what waits, and a person's word to it", async () => {
  const shown = async () => (await cli.inHome("record", "status")).stdout;
  await eventually(async () => expect(await shown()).toContain(`Git: ${cli.world.git("rev-parse", "HEAD").slice(0, 10)}\n`));
  expect(await cli.inHome("record", "clone")).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^There is no operator in namespace \S+ of context test: no Pod has the labels .*component=operator\.\n/),
  });
  expect(await cli.inHome("record", "confirm-removal", "abcd")).toMatchObject({
    code: 1,
    stderr: "Nothing waits at commit abcd for `record confirm-removal`. Nothing else waits either.\n",
  });
  // The registry and its operator may be in a namespace of their own: their Pods say where resources are.
  const apart = await createNamespace(cli.api);
  const ofOperator = { "app.kubernetes.io/name": "wharfinger", "app.kubernetes.io/component": "operator" };
  await cli.addPod(apart, "registry-0");
  await cli.addPod(apart, "operator-0", { labels: ofOperator, annotations: { "wharfinger.dev/record-namespace": cli.namespace } });
  await cli.becomeAdministrator("jane", apart);
  expect(await cli.wharfinger(["record", "confirm-removal", "abcd", "-n", apart])).toMatchObject({
    code: 1,
    stderr: "Nothing waits at commit abcd for `record confirm-removal`. Nothing else waits either.\n",
  });
  await cli.world.apply(...["a", "b", "c"].map((name) => offlineUpstream({ name, prefix: name })));
  await cli.world.hasCondition("Ready", "upstream/a", "upstream/b", "upstream/c");
  // One that runs may hear of the first before the others are gone, and may remove it.
  await cli.world.whileAway(() => cli.world.kubectl(["delete", "upstream", "--all"]));
  await eventually(async () => expect(await shown()).toContain(`Waits for you: namespace ${cli.namespace}: 4 resources are gone `));
  const [, waiting = ""] = /^Waits for you: (.*)$/m.exec(await shown()) ?? [];
  const [commit = ""] = /[0-9a-f]{40}(?=\/)/.exec(waiting) ?? [];
  const other = await cli.inHome("record", "accept-revision", commit);
  expect(other.stderr).toBe(`Nothing waits at commit ${commit} for \`record accept-revision\`. What waits:\n  ${waiting}\n`);
  const elsewhere = await cli.inHome("record", "confirm-removal", `${commit}/elsewhere`);
  expect(elsewhere.stderr).toBe(`Nothing waits at commit ${commit}/elsewhere for \`record confirm-removal\`. What waits:\n  ${waiting}\n`);
  expect(await cli.inHome("record", "confirm-removal", `${commit.slice(0, 8)}/${cli.namespace}`)).toMatchObject({
    code: 0,
    stderr: expect.stringContaining("is noted on ConfigMap"),
  });
  await eventually(() => expect(cli.world.git("ls-files", "upstreams")).toBe(""));
  await eventually(async () => expect(await shown()).not.toContain("Waits for you"));
});
