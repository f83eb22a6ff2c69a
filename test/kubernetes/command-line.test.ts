// The program through a kubeconfig: a real API server, a real registry behind a node of it, and people with the rights of deploy/cli and fewer.

import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { createServer as createTlsServer } from "node:tls";

import { afterAll, beforeAll, expect, test, vi } from "vitest";

import { run } from "../../src/cli/program.ts";
import { openClusterAccess } from "../../src/operator/kube/cluster-access.ts";
import { connectToPod } from "../../src/operator/kube/port-forward.ts";
import { createCertificates } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { createNamespace, serviceAccountIssuer } from "../support/kubernetes.ts";
import type { KubernetesApi } from "../support/kubernetes-access.ts";
import { offlineUpstream, OperatorWorld } from "../support/operator-world.ts";
import { startPortForwardNode, type PortForwardNode } from "../support/port-forward-node.ts";
import { program, type ProgramResult } from "../support/programs.ts";
import { processToken } from "../support/serving-process.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";
import { tool } from "../support/tools.ts";

const audience = "registry.example.com";
const labels = { "app.kubernetes.io/name": "wharfinger", "app.kubernetes.io/component": "registry" };
const root = resolve(import.meta.dirname, "../..");
let api: KubernetesApi;
let world: OperatorWorld;
let namespace: string;
let folder: string;
let node: PortForwardNode;
/** Of somebody with the Role of deploy/cli/administrator.yaml. */
let administrator: string;

beforeAll(async () => {
  api = await sharedApiServer();
  folder = await mkdtemp(join(tmpdir(), "wharfinger-command-line-"));
  const jwks = join(folder, "jwks.json");
  await writeFile(jwks, await kubectl("get", "--raw", "/openid/v1/jwks"));
  world = await OperatorWorld.open({
    registry: (home) => ({
      externalURL: `https://${audience}`,
      auth: { issuers: [{ name: "in-cluster", issuer: serviceAccountIssuer, jwks }] },
      access: { admins: [{ kind: "ServiceAccount", namespace: home, name: "wharfinger-admin" }] },
    }),
  });
  world.defer(() => rm(folder, { recursive: true, force: true }));
  namespace = world.namespace;
  node = await startPortForwardNode(api);
  world.defer(() => node.stop());
  await addPod(namespace, "registry-0");
  administrator = await becomeAdministrator("jane");
  await world.startOperator();
  await world.apply(offlineUpstream({ name: "hub", prefix: "hub" }), retentionPolicy("clean"));
  await world.hasCondition("Ready", "upstream/hub", "retentionpolicy/clean");
});
afterAll(() => world.close());

function retentionPolicy(name: string, more = ""): string {
  return `
apiVersion: wharfinger.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: ${name}}
spec: {repositories: {include: ["team/**"]}, keep: [{name: newest, mostRecentlyPushed: 1}], inUse: {mode: Ignore}${more}}
`;
}

async function addPod(home: string, name: string, more: Partial<Parameters<PortForwardNode["startPod"]>[0]> = {}): Promise<void> {
  const { url, controlUrl } = world.registry;
  const ports = { 5000: Number(new URL(url).port), 5001: Number(new URL(controlUrl).port) };
  await node.startPod({ namespace: home, name, labels, annotations: { "wharfinger.dev/audience": audience }, ports, ...more });
}

async function kubectl(...args: string[]): Promise<string> {
  const result = await api.kubectl(args);
  expect(result).toMatchObject({ code: 0 });
  return result.stdout.trim();
}

async function becomeAdministrator(name: string, home = namespace): Promise<string> {
  await kubectl("-n", home, "apply", "-f", join(root, "deploy/cli/administrator.yaml"));
  await kubectl("-n", home, "create", "rolebinding", `admin-${name}`, "--role=wharfinger-administrator", `--user=${name}`);
  return api.user(name);
}

/** In this process: a new one for each of these would take most of the time. One that kubectl starts is below. */
async function wharfinger(args: readonly string[], env: Record<string, string> = {}): Promise<ProgramResult> {
  const written = { stdout: "", stderr: "" };
  for (const [name, value] of Object.entries({ HOME: folder, KUBECONFIG: administrator, WHARFINGER_TOKEN: "", ...env }))
    vi.stubEnv(name, value);
  for (const stream of ["stdout", "stderr"] as const)
    vi.spyOn(process[stream], "write").mockImplementation((text) => {
      written[stream] += String(text);
      return true;
    });
  try {
    return { code: await run(args), ...written };
  } finally {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
    process.exitCode = undefined;
  }
}

const inHome = (...args: string[]) => wharfinger([...args, "-n", namespace]);

/** Another namespace with its own Pods, and somebody who administers it. */
async function another(): Promise<{ readonly home: string; readonly ask: (...args: string[]) => Promise<ProgramResult> }> {
  const home = await createNamespace(api);
  const kubeconfig = await becomeAdministrator(`admin-of-${home}`, home);
  return { home, ask: (...args) => wharfinger([...args, "-n", home], { KUBECONFIG: kubeconfig }) };
}

test("the registry is asked through the API server, as the account that the Role may be", async () => {
  const { code, stdout, stderr } = await inHome("plan", "clean", "-o", "json", "--verbose");
  expect(stderr).toBe(
    `Asking the registry in namespace ${namespace} of context test (Pod registry-0) as ServiceAccount ${namespace}/wharfinger-admin, with a token for ${audience}.\n`,
  );
  expect([code, JSON.parse(stdout)]).toMatchObject([0, { policy: `${namespace}/clean`, action: "Plan" }]);
  expect(node.forwarded.every((pod) => pod === `${namespace}/registry-0`)).toBe(true);
});

test("get shows what the API server has, for whoever may read that alone", async () => {
  await kubectl("-n", namespace, "create", "role", "reader", "--verb=get,list", "--resource=upstreams.wharfinger.dev");
  await kubectl("-n", namespace, "create", "rolebinding", "reader", "--role=reader", "--user=rita");
  const asRita = { KUBECONFIG: await api.user("rita") };
  const listed = await wharfinger(["get", "upst", "-n", namespace], asRita);
  expect(listed).toMatchObject({
    code: 0,
    stderr: "",
    stdout: expect.stringMatching(new RegExp(`^Upstream +${namespace} +hub +True +Succeeded `, "m")),
  });
  const one = await inHome("get", "upstream", "hub");
  expect(one.stdout).toMatch(/^CONDITION +STATUS[\s\S]*^Ready +True +Succeeded/m);
  const views = JSON.parse((await inHome("get", "-o", "json")).stdout) as { kind: string; status: { revision: string } }[];
  expect(views.map(({ kind }) => kind)).toEqual(["Upstream", "RetentionPolicy"]);
  expect(views[0]?.status.revision).toMatch(/^[0-9a-f]{40}$/);

  const everywhere = await wharfinger(["get", "upst", "-A"], asRita);
  expect(everywhere).toMatchObject({ code: 1, stdout: "" });
  expect(everywhere.stderr).toContain("`kubectl auth can-i list upstreams.wharfinger.dev --all-namespaces` says when you may.");
  expect(await inHome("get", "upst", "gone")).toMatchObject({
    code: 1,
    stderr: `There is no Upstream ${namespace}/gone. \`npx wharfinger get Upstream\` lists those there are.\n`,
  });
});

test("what somebody may not do is named with the command that says when he may", async () => {
  const kubeconfig = await api.user("nick");
  const ask = () => wharfinger(["record", "status", "-n", namespace], { KUBECONFIG: kubeconfig });
  const give = async (name: string, verbs: string, resource: string) => {
    await kubectl("-n", namespace, "create", "role", name, `--verb=${verbs}`, `--resource=${resource}`);
    await kubectl("-n", namespace, "create", "rolebinding", name, `--role=${name}`, "--user=nick");
  };
  const can = async (stderr: string) => {
    const [, words = ""] = /`kubectl (auth can-i [^`]+)` says when you may\. deploy\/cli\/administrator\.yaml has/.exec(stderr) ?? [];
    return (await api.kubectl(words.split(" "), { kubeconfig })).stdout.trim();
  };
  for (const [name, verbs, resource, missing] of [
    ["nick-pods", "list", "pods", "list pods -n"],
    ["nick-token", "create", "serviceaccounts/token", "create serviceaccounts/wharfinger-admin --subresource=token -n"],
    ["nick-forward", "get,create", "pods/portforward", "create pods/registry-0 --subresource=portforward -n"],
  ] as const) {
    const { code, stderr } = await ask();
    expect(stderr).toContain(`\`kubectl auth can-i ${missing} ${namespace}\``);
    expect([code, await can(stderr)]).toEqual([1, "no"]);
    await give(name, verbs, resource);
    await eventually(async () => expect(await can(stderr)).toBe("yes"));
  }
  const { code, stdout, stderr } = await ask();
  expect([code, stdout]).toEqual([0, expect.stringContaining("Published: ")]);
  expect(stderr).toMatch(
    /^Nothing is known of Git: configmaps "wharfinger" is forbidden: .* `kubectl auth can-i get configmaps\/wharfinger -n /,
  );
});

test("a cluster without a registry, with one that is not Ready, and with two", async () => {
  const { home, ask } = await another();
  const complaint = async (...more: string[]) => {
    const { code, stderr } = await ask("record", "status", ...more);
    expect(code).toBe(1);
    return stderr;
  };
  expect(await complaint()).toMatch(
    /^There is no registry in namespace test-\w+ of context test: no Pod has the labels app.kubernetes.io\/name=wharfinger,/,
  );
  await addPod(home, "ill", { ready: false });
  expect(await complaint()).toContain("is Ready: ill (the database does not answer).");
  await addPod(home, "one", { labels: { ...labels, "app.kubernetes.io/instance": "one" }, annotations: {} });
  expect(await complaint()).toContain("they lack the annotation wharfinger.dev/audience");
  expect(await complaint("--pod-port", "http")).toContain(
    "Pod one has no port called http, only registry (5000), control (5001). Name the registry's with --pod-port.",
  );
  const wrong = { "wharfinger.dev/audience": serviceAccountIssuer };
  await addPod(home, "two", { labels: { ...labels, "app.kubernetes.io/instance": "two" }, annotations: wrong });
  expect(await complaint()).toContain("(app.kubernetes.io/instance: one, two)");
  expect(await complaint("--pods", "app.kubernetes.io/instance=two")).toContain("which is no host");
  await api.send("DELETE", `/api/v1/namespaces/${home}/serviceaccounts/wharfinger-admin`);
  const without = await complaint("--pods", "app.kubernetes.io/instance=two", "--audience", audience);
  expect(without).toContain(
    `\`kubectl -n ${home} apply -f deploy/cli/administrator.yaml\` makes it; or name another one with --service-account`,
  );
});

test("what the registry refuses says who asked, and what the settings lack", async () => {
  const { home, ask } = await another();
  // In another namespace the same name is another account, which the registry does not know.
  await addPod(home, "registry-0");
  const refused = await ask("gc", "status");
  expect(refused.stderr).toContain(
    `Asked as ServiceAccount ${home}/wharfinger-admin, with a token for ${audience}. For a ServiceAccount it takes`,
  );
  const strange = await inHome("record", "status", "--audience", "other.example.com");
  expect(strange.stderr).toContain(
    `does not accept ServiceAccount ${namespace}/wharfinger-admin, with a token for other.example.com: The token does not count`,
  );
  expect(strange.stderr).toContain("auth.issuers");
  const tokenFile = join(folder, "given-token");
  await writeFile(tokenFile, await api.serviceAccountToken(namespace, "default", { audience }));
  const given = await inHome("record", "status", "--token-file", tokenFile);
  expect(given.stderr).toBe(
    `This is for the operator, the ServiceAccount of the setting access.operator, and for administrators.\nAsked as the bearer of the token from ${tokenFile}. ` +
      "For a ServiceAccount it takes an entry in the registry's setting access.admins.\n",
  );
  await writeFile(tokenFile, processToken);
  expect(await inHome("record", "status", "--token-file", tokenFile)).toMatchObject({ code: 0 });
});

test("a Pod whose port speaks TLS is spoken to in TLS", async () => {
  const { home, ask } = await another();
  const { server: pair } = await createCertificates();
  const { port } = new URL(world.registry.controlUrl);
  const ended = createTlsServer(
    { ...pair },
    (socket) => void pipeline(socket, connect(Number(port), "127.0.0.1"), socket).catch(() => undefined),
  );
  ended.listen(0, "127.0.0.1");
  await once(ended, "listening");
  world.defer(async () => void ended.close());
  await addPod(home, "secure", { ports: { 5000: (ended.address() as AddressInfo).port } });
  // That it is nobody's administrator, it was told by the registry.
  expect((await ask("gc", "status")).stderr).toContain(`Asked as ServiceAccount ${home}/wharfinger-admin`);
});

test("a Pod that is gone is no matter while another one is there; one that goes in the middle is told of", async () => {
  const { home, ask } = await another();
  const silent = createServer(() => node.breakPod(home, "silent"));
  silent.listen(0, "127.0.0.1");
  await new Promise((listening) => silent.once("listening", listening));
  world.defer(async () => void silent.close());
  await addPod(home, "silent", { ports: { 5000: (silent.address() as AddressInfo).port } });
  const cut = await ask("record", "status");
  expect(cut).toMatchObject({ code: 1, stdout: "" });
  expect(cut.stderr).toContain(`The connection to the registry broke (Pod ${home}/silent of context test): `);
  const gone = await ask("record", "status");
  expect(gone.stderr).toContain("pod does not exist");

  await addPod(namespace, "a-broken-one");
  node.breakPod(namespace, "a-broken-one");
  expect(await inHome("record", "status")).toMatchObject({ code: 0, stderr: "" });
  await kubectl("-n", namespace, "delete", "pod", "a-broken-one", "--wait=false");
});

test("a connection to a Pod carries both ways what it is given, and says why there is none", async () => {
  const echo = createServer((socket) => socket.pipe(socket));
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
  world.defer(async () => void echo.close());
  const { home } = await another();
  await addPod(home, "echo", { ports: { 7: (echo.address() as AddressInfo).port, 8: 1 } });
  const access = await openClusterAccess({ KUBECONFIG: api.kubeconfig });
  const connection = await connectToPod(access, { namespace: home, pod: "echo", port: 7 });
  const sent = randomBytes(4 * 1024 * 1024);
  const written = pipeline(Readable.from([sent.subarray(0, 1), sent.subarray(1)]), connection, { end: false });
  const back: Buffer[] = [];
  for (let length = 0; length < sent.length;) {
    const chunk = (connection.read() as Buffer | null) ?? undefined;
    if (chunk === undefined) await once(connection, "readable");
    else length += back.push(chunk) && chunk.length;
  }
  await written;
  expect(Buffer.concat(back).equals(sent)).toBe(true);
  connection.destroy();
  const nobody = await connectToPod(access, { namespace: home, pod: "echo", port: 8 });
  await expect(nobody.toArray()).rejects.toThrow(/error forwarding port 8 to pod .*ECONNREFUSED/);
  await expect(connectToPod(access, { namespace: home, pod: "none", port: 7 })).rejects.toMatchObject({ status: 404 });
});

test("reconcile asks the operator, and follows what comes of it", async () => {
  const before = await kubectl("-n", namespace, "get", "retentionpolicy/clean", "-o", "jsonpath={.status.lastRun.id}");
  const looked = await inHome("reconcile", "upstream/hub", "--wait");
  expect(looked).toMatchObject({ code: 0, stdout: "", stderr: expect.stringMatching(/Upstream test-\w+\/hub is ready: Succeeded: .*\n$/) });
  const ran = await inHome("reconcile", "retpol/clean", "--wait");
  expect(ran).toMatchObject({ code: 0, stdout: "", stderr: expect.stringMatching(/\nRetentionPolicy test-\w+\/clean: .+\n$/) });
  const run = await kubectl("-n", namespace, "get", "retentionpolicy/clean", "-o", "jsonpath={.status.lastRun.id} {.status.lastRun.state}");
  expect(run).toMatch(/^\S+ succeeded$/);
  expect(run.split(" ")[0]).not.toBe(before);
  expect(await inHome("reconcile", "retpol/none")).toMatchObject({ code: 1, stderr: expect.stringContaining('"none" not found') });
});

test("what cannot be done is not waited for", async () => {
  await world.apply(offlineUpstream({ name: "twin", prefix: "hub" }), retentionPolicy("paused", ", suspend: true"));
  const stalled = await inHome("reconcile", "upstream/twin", "--wait");
  expect(stalled).toMatchObject({ code: 1, stderr: expect.stringMatching(/Upstream test-\w+\/twin is not ready: PrefixInUse: .*\n$/) });
  const suspended = await inHome("reconcile", "retpol/paused", "--wait");
  expect(suspended).toMatchObject({ code: 1, stderr: expect.stringContaining("is suspended") });
  const home = await createNamespace(api);
  const kubeconfig = await becomeAdministrator("lonely", home);
  expect(await api.kubectl(["-n", home, "apply", "-f", "-"], { input: offlineUpstream() })).toMatchObject({ code: 0 });
  const alone = await wharfinger(["reconcile", "upstream/chainguard", "-n", home, "--wait", "--timeout", "1s"], { KUBECONFIG: kubeconfig });
  expect(alone).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("Not done within 1s: waiting for the operator (no operator has looked at it yet)"),
  });
});

/** The file of the package under the name by which kubectl knows its plugins, before these sources instead of a build of them. */
async function pluginFolder(): Promise<string> {
  const copy = join(folder, "package");
  const path = join(folder, "path");
  await Promise.all([mkdir(join(copy, "dist/cli"), { recursive: true }), mkdir(path)]);
  await cp(join(root, "bin"), join(copy, "bin"), { recursive: true });
  await symlink(join(root, "node_modules"), join(copy, "node_modules"));
  await writeFile(join(copy, "package.json"), JSON.stringify({ type: "module" }));
  await writeFile(join(copy, "dist/cli/main.js"), `await import(${JSON.stringify(join(root, "src/cli/main.ts"))});\n`);
  await symlink(join(copy, "bin/wharfinger.mjs"), join(path, "kubectl-wharfinger"));
  return path;
}

test("kubectl runs it as its plugin, with its own options", async () => {
  const path = await pluginFolder();
  const env = { HOME: folder, KUBECONFIG: "", PATH: [path, dirname(process.execPath), process.env["PATH"]].join(delimiter) };
  const plugin = async (...args: string[]) => program(await tool("kubectl"), ["wharfinger", ...args], { cwd: folder, env });
  const help = await plugin("--help");
  expect(help.stdout).toMatch(/^Usage: kubectl wharfinger \[options\]/);
  expect(help.stdout).toContain("kubectl wharfinger get ");
  const options = ["--kubeconfig", administrator, "--context", "test", "-n", namespace];
  expect(await plugin("plan", "clean", ...options)).toMatchObject({ code: 0, stderr: "" });
  // Where a process of this machine runs too, kubectl means the cluster.
  await mkdir(join(folder, "data"));
  await writeFile(join(folder, "data/address"), "http://127.0.0.1:1\n");
  const missing = await plugin("get", "upst", "gone", "-n", namespace, "--kubeconfig", administrator);
  expect(missing.stderr).toBe(`There is no Upstream ${namespace}/gone. \`kubectl wharfinger get Upstream\` lists those there are.\n`);
});

test("record: where it stands, what waits, and a person's word to it", async () => {
  const shown = async () => (await inHome("record", "status")).stdout;
  await eventually(async () => expect(await shown()).toContain(`Git: ${world.git("rev-parse", "HEAD").slice(0, 10)}\n`));
  expect(await inHome("record", "clone")).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^There is no operator in namespace \S+ of context test: no Pod has the labels .*component=operator\.\n/),
  });
  expect(await inHome("record", "confirm-removal", "abcd")).toMatchObject({
    code: 1,
    stderr: "Nothing waits at commit abcd for `record confirm-removal`. Nothing else waits either.\n",
  });
  // The registry and its operator may be in a namespace of their own: their Pods say where resources are.
  const apart = await createNamespace(api);
  const ofOperator = { "app.kubernetes.io/name": "wharfinger", "app.kubernetes.io/component": "operator" };
  await addPod(apart, "registry-0");
  await addPod(apart, "operator-0", { labels: ofOperator, annotations: { "wharfinger.dev/record-namespace": namespace } });
  await becomeAdministrator("jane", apart);
  expect(await wharfinger(["record", "confirm-removal", "abcd", "-n", apart])).toMatchObject({
    code: 1,
    stderr: "Nothing waits at commit abcd for `record confirm-removal`. Nothing else waits either.\n",
  });
  await world.apply(...["a", "b", "c"].map((name) => offlineUpstream({ name, prefix: name })));
  await world.hasCondition("Ready", "upstream/a", "upstream/b", "upstream/c");
  // One that runs may hear of the first before the others are gone, and may remove it.
  await world.whileAway(() => world.kubectl(["delete", "upstream", "--all"]));
  await eventually(async () => expect(await shown()).toContain(`Waits for you: namespace ${namespace}: 4 resources are gone `));
  const [, waiting = ""] = /^Waits for you: (.*)$/m.exec(await shown()) ?? [];
  const [commit = ""] = /[0-9a-f]{40}(?=\/)/.exec(waiting) ?? [];
  const other = await inHome("record", "accept-revision", commit);
  expect(other.stderr).toBe(`Nothing waits at commit ${commit} for \`record accept-revision\`. What waits:\n  ${waiting}\n`);
  const elsewhere = await inHome("record", "confirm-removal", `${commit}/elsewhere`);
  expect(elsewhere.stderr).toBe(`Nothing waits at commit ${commit}/elsewhere for \`record confirm-removal\`. What waits:\n  ${waiting}\n`);
  expect(await inHome("record", "confirm-removal", `${commit.slice(0, 8)}/${namespace}`)).toMatchObject({
    code: 0,
    stderr: expect.stringContaining("is noted on ConfigMap"),
  });
  await eventually(() => expect(world.git("ls-files", "upstreams")).toBe(""));
  await eventually(async () => expect(await shown()).not.toContain("Waits for you"));
});
