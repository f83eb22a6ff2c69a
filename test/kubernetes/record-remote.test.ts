// The record of a cluster at a Git host: the operator has nothing of its own that could not be lost.

import { chmod, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { credentials, GitHost, type BareRepository } from "../support/git-remote.ts";
import { send } from "../support/http.ts";
import { offlineUpstream, OperatorWorld } from "../support/operator-world.ts";
import { gitAsPerson, PersonsClone } from "../support/persons-git.ts";
import { program } from "../support/programs.ts";

let world: OperatorWorld;
let host: GitHost;
let repository: BareRepository;
let person: PersonsClone;

const upstream = (tagTTL: string) => offlineUpstream({ fields: `, cache: {tagTTL: ${tagTTL}}` });
const condition = (type: string) => world.condition("Upstream", "chainguard", type);
const becomes = (type: string, expected: object) => eventually(async () => expect(await condition(type)).toMatchObject(expected));

/** As the downward API tells it where it runs. */
const pod = { POD_NAME: "operator", POD_UID: "1f4a4d5e-3a0c-4b52-9a44-0a4e1f4fbb01" };

async function start(of = world, branch = "wharfinger"): Promise<void> {
  const { namespace } = of;
  const remote = { url: host.urlOf(repository), branch, interval: "1s", secretRef: { namespace, name: "record" } };
  await of.startOperator({ settings: { record: { remote } }, env: { ...pod, POD_NAMESPACE: namespace } });
}

async function makeSecret(of = world): Promise<void> {
  const literals = Object.entries(host.secret).map(([key, text]) => `--from-literal=${key}=${text}`);
  await of.kubectl(["create", "secret", "generic", "record", ...literals]);
}

async function saidOfPod({ api, namespace } = world): Promise<readonly string[]> {
  const { body } = await api.send<{ items: readonly PodEvent[] }>("GET", `/apis/events.k8s.io/v1/namespaces/${namespace}/events`);
  return body.items.filter(({ regarding }) => regarding.uid === pod.POD_UID).map(({ reason, note }) => `${reason}: ${note}`);
}

const installationOf = (of = world) => of.kubectl(["get", "configmap/wharfinger", "-o", "jsonpath={.data.installation}"]);

/** In the log, in `/readyz`, which stays 200, and in an event of the Pod. */
async function says(what: RegExp, of = world): Promise<void> {
  const logged = (answer: string) => answer.split("\n").filter((line) => line.includes("RecordOfAnotherInstallation"));
  await eventually(async () => {
    const probed = await send(of.operator?.url ?? "", "GET", "/readyz");
    expect(probed.status).toBe(200);
    expect(logged(probed.body.toString()).join("\n")).toMatch(what);
    expect(logged(of.operator?.logs() ?? "").join("\n")).toMatch(what);
    expect(logged((await saidOfPod(of)).join("\n")).join("\n")).toMatch(what);
  });
}

interface PodEvent {
  readonly reason: string;
  readonly note: string;
  readonly regarding: { readonly uid?: string };
}

beforeAll(async () => {
  [world, host] = await Promise.all([OperatorWorld.open(), GitHost.start()]);
  world.defer(() => host.stop());
  repository = host.repository("cluster");
  person = new PersonsClone(join(world.folder, "clone"), repository);
  await start();
});
afterAll(() => world?.close());

test("what is missing for the remote is said at the resource, and counts as soon as it is there", async () => {
  await world.apply(upstream("5m"));
  await becomes("Recorded", { reason: "AuthenticationFailed" });
  const why = `there is no Secret ${world.namespace}/record`;
  expect((await condition("Ready"))?.message).toContain(why);
  await eventually(async () => expect((await saidOfPod()).join("\n")).toContain(why));
  // Git being away keeps no operator from being ready: it is said for people.
  const probed = await send(world.operator?.url ?? "", "GET", "/readyz");
  expect(probed.status).toBe(200);
  expect(probed.body.toString()).toContain(why);
  expect(world.operator?.logs()).toContain(why);
  await makeSecret();
  await world.hasCondition("Ready", "upstream/chainguard");
  await eventually(async () => expect(await saidOfPod()).toContain("RecordFollowed: The record is followed and written again."));
  expect(repository.git("log", "--format=%s", "wharfinger").split("\n")).toEqual([
    `upstream ${world.namespace}/chainguard: generation 1`,
    "record: begins",
  ]);
  expect(await world.control.record()).toMatchObject({ revision: repository.head() });
});

test("a person clones it from where the cluster says it is, with credentials of his own", async () => {
  const askPass = join(world.folder, "ask-pass");
  await writeFile(askPass, `#!/bin/sh\ncase "$1" in Username*) echo ${credentials.username} ;; *) echo ${credentials.password} ;; esac\n`);
  await chmod(askPass, 0o700);
  const authority = join(world.folder, "git-ca.crt");
  await writeFile(authority, host.secret["ca.crt"] ?? "");
  const main = resolve(import.meta.dirname, "../../src/cli/main.ts");
  const env = { KUBECONFIG: world.api.kubeconfig, GIT_ASKPASS: askPass, GIT_SSL_CAINFO: authority };
  const cloned = await program(process.execPath, [main, "record", "clone", "theirs", "-n", world.namespace], { cwd: world.folder, env });
  expect(cloned).toMatchObject({ code: 0, stdout: "", stderr: expect.stringContaining("`git -C theirs log` tells what was served") });
  expect(gitAsPerson(join(world.folder, "theirs"), "rev-parse", "wharfinger")).toBe(repository.head());
});

test("a cluster that begins anew beside a record with content: all is served on, overrides hold, no file changes", async () => {
  await world.apply(upstream("1m"));
  await eventually(() => expect(repository.git("log", "-1", "--format=%s", "wharfinger")).toContain("generation 2"));
  person.git("revert", "--no-edit", "HEAD");
  await becomes("Overridden", { status: "True" });
  const before = repository.head();
  const earlier = await installationOf();
  await world.operator?.stop();
  // Namespace, volume and the id of the installation: as after a restore that brought nothing back but the manifests.
  await world.kubectl(["delete", "upstream/chainguard", "configmap/wharfinger"]);
  await rm(world.record, { recursive: true });
  await start();
  await eventually(() => expect(world.operator?.logs()).toContain("it is served on until its file is removed or the resource comes back"));
  expect(repository.head()).toBe(before);
  await says(new RegExp(`another installation's: ${earlier} recorded files there .*, and this one is ${await installationOf()}\\.`));
  await world.apply(upstream("1m"));
  await becomes("Overridden", { status: "True" });
  await becomes("Ready", { status: "True" });
  expect(repository.git("diff", "--stat", `${before}..wharfinger`)).toBe("");
  expect(repository.git("log", "--format=%s", `${before}..wharfinger`)).toMatch(/adopts what is recorded$/);
  await eventually(async () => expect(await world.control.record()).toMatchObject({ revision: repository.head() }));
  await eventually(async () => expect((await saidOfPod()).join("\n")).toContain("RecordOfThisInstallation: "));
  expect((await send(world.operator?.url ?? "", "GET", "/readyz")).body.toString()).not.toContain("RecordOfAnotherInstallation");
});

test("an operator that was given another one's branch says so, and so does the other; on a branch of its own it has only what is its own", async () => {
  const other = await OperatorWorld.open();
  world.defer(() => other.close());
  await makeSecret(other);
  await other.apply(offlineUpstream({ name: "hub", prefix: "hub" }));
  await start(other);
  await other.hasCondition("Ready", "upstream/hub");
  const [first, second] = await Promise.all([installationOf(), installationOf(other)]);
  await says(new RegExp(`another installation's: ${first} recorded files there .*record\\.remote\\.branch`), other);
  await says(new RegExp(`another installation's: ${second} writes to it as well`));
  await other.operator?.stop();
  // A Deployment's new Pod has a new copy.
  await rm(other.record, { recursive: true });
  await start(other, "hub");
  await eventually(async () => expect(await other.control.record()).toMatchObject({ revision: repository.git("rev-parse", "hub") }));
  expect(repository.git("ls-tree", "-r", "--name-only", "hub").split("\n")).toEqual([
    ".sourceignore",
    "README.md",
    `upstreams/${other.namespace}/hub.yaml`,
  ]);
  expect((await send(other.operator?.url ?? "", "GET", "/readyz")).body.toString()).not.toContain("RecordOfAnotherInstallation");
  // Where something was published from a record of its own, the other one's is not served before a person says so.
  await other.operator?.stop();
  await rm(other.record, { recursive: true });
  await start(other);
  await says(/recorded files there/, other);
  await eventually(() =>
    expect(other.operator?.logs()).toContain("is not in the record's history (an older copy?): what is published stays"),
  );
  expect(await other.control.record()).toMatchObject({ revision: repository.git("rev-parse", "hub") });
});
