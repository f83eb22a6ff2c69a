// The record of a cluster without a remote: people clone it from the operator, by way of the API server, and push what they revert.

import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";

import { afterAll, beforeAll, expect, test, vi } from "vitest";

import { eventually } from "../support/eventually.ts";
import { serviceAccountIssuer } from "../support/kubernetes.ts";
import { offlineUpstream, OperatorWorld } from "../support/operator-world.ts";
import { gitAsPerson } from "../support/persons-git.ts";
import { startPortForwardNode, type PortForwardNode } from "../support/port-forward-node.ts";
import { program, type ProgramResult } from "../support/programs.ts";
import { processToken, type ServingProcess } from "../support/serving-process.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

const audience = "registry.example.com";
const main = resolve(import.meta.dirname, "../../src/cli/main.ts");
let world: OperatorWorld;
let node: PortForwardNode;
let folder: string;
let clone: string;
let administrator: string;

const upstream = (tagTTL: string) => offlineUpstream({ fields: `, cache: {tagTTL: ${tagTTL}}` });
const recorded = (generation: number) => world.becomes("upstream/chainguard", "{.status.recordedGeneration}", String(generation));
const head = () => world.git("rev-parse", "HEAD");

beforeAll(async () => {
  vi.stubEnv("GIT_TERMINAL_PROMPT", "0");
  const api = await sharedApiServer();
  folder = await mkdtemp(join(tmpdir(), "wharfinger-record-clone-"));
  clone = join(folder, "theirs");
  const jwks = join(folder, "jwks.json");
  await writeFile(jwks, (await api.kubectl(["get", "--raw", "/openid/v1/jwks"])).stdout);
  world = await OperatorWorld.open({
    registry: (home) => ({
      externalURL: `https://${audience}`,
      auth: { issuers: [{ name: "in-cluster", issuer: serviceAccountIssuer, jwks }] },
      access: { admins: [{ kind: "ServiceAccount", namespace: home, name: "wharfinger-admin" }] },
    }),
  });
  world.defer(() => rm(folder, { recursive: true, force: true }));
  node = await startPortForwardNode(api);
  world.defer(() => node.stop());
  await world.kubectl(["apply", "-f", resolve(import.meta.dirname, "../../deploy/cli/administrator.yaml")]);
  await world.kubectl(["create", "rolebinding", "admin-jane", "--role=wharfinger-administrator", "--user=jane"]);
  administrator = await api.user("jane");
  const operator = await world.startOperator();
  await node.startPod({
    namespace: world.namespace,
    name: "operator-0",
    labels: { "app.kubernetes.io/name": "wharfinger", "app.kubernetes.io/component": "operator" },
    annotations: { "wharfinger.dev/audience": audience },
    ports: { 8082: Number(new URL(recordOf(operator)).port) },
  });
  await world.apply(upstream("5m"));
  await recorded(1);
  await world.apply(upstream("1m"));
  await recorded(2);
  await world.hasCondition("Ready", "upstream/chainguard");
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await world?.close();
});

/** Where a process serves it, as it says when it starts. */
function recordOf({ ready }: ServingProcess): string {
  return /the record for git on (http:\S+\/record\.git)/.exec(ready)?.[1] ?? "";
}

function wharfinger(...args: readonly string[]): Promise<ProgramResult> {
  const env = { HOME: folder, KUBECONFIG: administrator, WHARFINGER_TOKEN: "", GIT_CONFIG_NOSYSTEM: "1", ...committer };
  // A proxy of the person's would be handed the token.
  return program(process.execPath, [main, "record", ...args], { cwd: folder, env: { ...env, http_proxy: "http://127.0.0.1:9" } });
}

const committer = { GIT_COMMITTER_NAME: "Jane Doe", GIT_COMMITTER_EMAIL: "jane@example.org" };

/** The address as a credential helper's answer would have it: the token is the password. */
function withToken(token: string): string {
  return recordOf(world.operator!).replace("http://", `http://git:${token}@`);
}

function ask(path: string, request: RequestInit = {}): Promise<Response> {
  const headers = { authorization: `Bearer ${processToken}`, ...(request.headers as Record<string, string> | undefined) };
  return fetch(`${recordOf(world.operator!)}${path}`, { ...request, headers });
}

test("a person clones it, reverts, and pushes: that is served, and the operator's folder follows", async () => {
  const cloned = await wharfinger("clone", "theirs", "-n", world.namespace);
  expect(cloned).toMatchObject({ code: 0, stdout: "", stderr: expect.stringContaining("record push theirs") });
  expect(gitAsPerson(clone, "rev-parse", "HEAD")).toBe(head());
  const configuration = await readFile(join(clone, ".git/config"), "utf8");
  expect(configuration).toContain(`url = wharfinger://${world.namespace}/record\n`);
  expect(configuration).not.toMatch(/bearer|127\.0\.0\.1/i);
  expect([...new Set(node.forwarded)]).toEqual([`${world.namespace}/operator-0`]);

  gitAsPerson(clone, "revert", "--no-edit", "HEAD");
  expect(await wharfinger("push", "theirs")).toMatchObject({ code: 0, stdout: "" });
  expect(head()).toBe(gitAsPerson(clone, "rev-parse", "HEAD"));
  await world.hasCondition("Overridden", "upstream/chainguard");
  await eventually(async () => expect(await world.control.record()).toMatchObject({ revision: head() }));
  expect((await world.condition("Upstream", "chainguard", "Overridden"))?.message).toContain("Jane Doe");
  await eventually(() => expect(world.git("status", "--porcelain")).toBe(""));
  expect(await readFile(join(world.record, "upstreams", world.namespace, "chainguard.yaml"), "utf8")).toContain("5m");
});

test("what the operator committed meanwhile is pulled before one's own is pushed", async () => {
  gitAsPerson(clone, "commit", "--allow-empty", "-qm", "a word");
  await world.apply(upstream("2m"));
  await recorded(3);
  const theirs = head();
  expect(await wharfinger("push", "theirs")).toMatchObject({ code: 1, stderr: expect.stringContaining("[rejected]") });
  expect(head()).toBe(theirs);
  expect(await wharfinger("pull", "theirs")).toMatchObject({ code: 0 });
  expect(await wharfinger("push", "theirs")).toMatchObject({ code: 0 });
  expect(world.git("log", "-2", "--format=%s").split("\n")).toEqual(["a word", expect.stringContaining("generation 3")]);
  await eventually(async () => expect(await world.control.record()).toMatchObject({ revision: head() }));
});

test("a person's uncommitted change in the operator's folder stays as it is", async () => {
  const file = join(world.record, "README.md");
  await writeFile(file, "being written\n");
  await writeFile(join(clone, "README.md"), "pushed\n");
  gitAsPerson(clone, "commit", "-qam", "another word");
  expect(await wharfinger("push", "theirs")).toMatchObject({ code: 0 });
  await eventually(async () => expect(await world.control.record()).toMatchObject({ revision: gitAsPerson(clone, "rev-parse", "HEAD") }));
  await eventually(() => expect(world.operator?.logs()).toContain("the record has uncommitted changes in files"));
  expect(await readFile(file, "utf8")).toBe("being written\n");
  world.git("checkout", "-q", "HEAD", "--", "README.md");
});

test("who is no administrator gets nothing, and no token is in a log", async () => {
  const unknown = await fetch(`${recordOf(world.operator!)}/info/refs?service=git-upload-pack`);
  expect([unknown.status, unknown.headers.get("www-authenticate")]).toEqual([401, expect.stringContaining("Basic realm=")]);
  expect(() => gitAsPerson(folder, "ls-remote", withToken("a-token-of-nobody"))).toThrow(/Authentication failed/);
  const reader = await world.api.serviceAccountToken(world.namespace, "default", { audience });
  for (const args of [
    ["ls-remote", withToken(reader)],
    ["-C", clone, "push", withToken(reader), "HEAD:wharfinger"],
  ])
    expect(() => gitAsPerson(folder, ...args)).toThrow(/The record is for administrators of the registry/);
  // For the API server alone, and so nothing to the registry.
  const strange = await world.api.serviceAccountToken(world.namespace, "wharfinger-admin", { audience: serviceAccountIssuer });
  expect(() => gitAsPerson(folder, "ls-remote", withToken(strange))).toThrow(/Authentication failed/);
  const genuine = await world.api.serviceAccountToken(world.namespace, "wharfinger-admin", { audience });
  expect(gitAsPerson(folder, "ls-remote", withToken(genuine))).toContain(head());
  const logs = `${world.operator?.logs()}${world.registry.logs()}`;
  for (const token of [reader, strange, genuine, processToken, "a-token-of-nobody"]) expect(logs).not.toContain(token);
});

test("a push goes forward on the branch, and nowhere else", async () => {
  const before = world.git("for-each-ref");
  const remote = withToken(processToken);
  expect(gitAsPerson(folder, "ls-remote", remote).split("\n")).toEqual([`${head()}\tHEAD`, `${head()}\trefs/heads/wharfinger`]);
  gitAsPerson(clone, "reset", "-q", "--hard", "HEAD~2");
  gitAsPerson(clone, "commit", "-q", "--allow-empty", "-m", "rewritten");
  const refused: readonly (readonly [refspec: string, why: RegExp])[] = [
    ["HEAD:refs/heads/other", /hidden ref/],
    ["HEAD:refs/tags/v1", /hidden ref/],
    ["HEAD:refs/wharfinger/accept", /hidden ref/],
    [":refs/wharfinger/published", /hidden ref|unable to delete|rejected/],
    [":wharfinger", /deletion prohibited|denying ref deletion/],
    ["HEAD:wharfinger", /\[rejected\]/],
    ["+HEAD:wharfinger", /non-fast-forward/],
  ];
  for (const [refspec, why] of refused) expect(() => gitAsPerson(clone, "push", remote, refspec)).toThrow(why);
  expect(world.git("for-each-ref")).toBe(before);
  const others = ["/HEAD", "/config", "/objects/info/packs", "/info/refs", "/../record.git/HEAD", "/git-upload-archive"];
  const statuses = await Promise.all(others.map(async (path) => [path, (await ask(path)).status]));
  expect(statuses).toEqual(others.map((path) => [path, 404]));
});

test("nothing of the repository is run by a push", async () => {
  gitAsPerson(clone, "fetch", "-q", withToken(processToken), "wharfinger");
  gitAsPerson(clone, "reset", "-q", "--hard", "FETCH_HEAD");
  const ran = join(folder, "ran");
  const hooks = join(world.record, ".git/hooks");
  await mkdir(hooks, { recursive: true });
  for (const name of ["pre-receive", "update", "post-receive", "post-update", "reference-transaction", "push-to-checkout"]) {
    const hook = join(hooks, name);
    await writeFile(hook, `#!/bin/sh\ntouch '${ran}'\n`);
    await chmod(hook, 0o755);
  }
  gitAsPerson(clone, "commit", "-q", "--allow-empty", "-m", "a third word");
  gitAsPerson(clone, "push", "-q", withToken(processToken), "HEAD:wharfinger");
  expect(head()).toBe(gitAsPerson(clone, "rev-parse", "HEAD"));
  expect(existsSync(ran)).toBe(false);
  await rm(hooks, { recursive: true });
});

test("bodies that are too large, or not what they say, are refused before git is asked", async () => {
  const post = (body: Uint8Array<ArrayBuffer>, encoding: string, { service = "receive-pack", type = "x-git-receive-pack-request" } = {}) =>
    ask(`/git-${service}`, { method: "POST", body, headers: { "content-encoding": encoding, "content-type": `application/${type}` } });
  expect((await post(new Uint8Array(10), "gzip")).status).toBe(400);
  expect((await post(new Uint8Array(10), "br")).status).toBe(415);
  expect((await post(new Uint8Array(10), "identity", { type: "json" })).status).toBe(415);
  expect((await post(gzipSync(new Uint8Array(65 * 1024 * 1024)), "gzip")).status).toBe(413);
  expect(
    (await post(new Uint8Array(18 * 1024 * 1024), "identity", { service: "upload-pack", type: "x-git-upload-pack-request" })).status,
  ).toBe(413);
  expect((await ask("/info/refs?service=git-upload-pack")).status).toBe(200);
});

test("a process that waits for its turn says so, and one whose record has a remote serves none", async () => {
  const first = world.operator;
  const second = await world.startOperator();
  const asked = await fetch(`${recordOf(second)}/info/refs?service=git-upload-pack`, {
    headers: { authorization: `Bearer ${processToken}` },
  });
  expect([asked.status, await asked.text()]).toEqual([503, expect.stringContaining("it waits for its turn")]);
  await second.stop();
  await first?.stop();
  const remote = { url: "https://127.0.0.1:9/registry.git" };
  const third = await world.startOperator({ settings: { record: { remote } } });
  expect(third.ready).not.toContain("record.git");
  await eventually(async () => {
    const { code, stderr } = await wharfinger("push", "theirs");
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining("The record is at https://127.0.0.1:9/registry.git by now, branch wharfinger: "),
    ]);
  });
  expect(await wharfinger("push", ".")).toMatchObject({ code: 1, stderr: expect.stringContaining(". is no clone of a record.") });
  const elsewhere = await wharfinger("push", "theirs", "-n", "other");
  expect(elsewhere.stderr).toContain(`theirs is a clone of the record in namespace ${world.namespace}, not of other's.`);
});
