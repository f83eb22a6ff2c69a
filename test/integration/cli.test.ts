// The subcommands against a running process: what they print, where, and with which exit code.

import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { GcStatus } from "../../src/api/control/gc.ts";
import type { RecordState } from "../../src/api/control/record.ts";
import type { ResourceView } from "../../src/api/control/resources.ts";
import type { Plan } from "../../src/api/control/retention.ts";
import { answerTo, eventually } from "../support/eventually.ts";
import { use } from "../support/programs.ts";
import { startStandalone, type Standalone } from "../support/standalone.ts";

let folder: string;
let wharfinger: Standalone;

const retention = `apiVersion: wharfinger.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: builds}
spec:
  repositories: {include: ["team-a/**"]}
  action: Delete
  keep: [{name: newest, mostRecentlyPushed: 1}]
  limits: {maxDeletePercent: 100}
`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-cli-"));
  await writeFile(join(folder, "settings.yaml"), "gc: {interval: 200ms}\n");
  wharfinger = await startStandalone({ settings: join(folder, "settings.yaml") });
  await writeFile(join(wharfinger.config, "retention.yaml"), retention);
  for (const tag of ["one", "two"]) await push("team-a/app", tag);
  const isReady = async () => ((await condition("retpol", "builds", "Ready")) === "True" ? true : undefined);
  await answerTo("the policy is ready", isReady, { context: () => wharfinger.logs() });
});
afterAll(async () => {
  await wharfinger?.stop();
  await rm(folder, { recursive: true, force: true });
});

const cli = (...args: string[]) => wharfinger.cli(args);

async function json<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await cli(...args, "-o", "json");
  if (code !== 0) throw new Error(`${args.join(" ")} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

async function condition(kind: string, name: string, type: string): Promise<string | undefined> {
  const [view] = await json<ResourceView[]>("get", kind, name);
  return view?.status.conditions.find((candidate) => candidate.type === type)?.status;
}

async function push(repository: string, tag: string): Promise<string> {
  const digest = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}`;
  const headers = { "content-type": "application/octet-stream" };
  const config = JSON.stringify({ tag });
  const posted = await fetch(`${wharfinger.url}/v2/${repository}/blobs/uploads/?digest=${digest(config)}`, {
    method: "POST",
    body: config,
    headers,
  });
  expect(posted.status).toBe(201);
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const descriptor = { mediaType: "application/vnd.oci.image.config.v1+json", digest: digest(config), size: config.length };
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType, config: descriptor, layers: [] });
  const put = await fetch(`${wharfinger.url}/v2/${repository}/manifests/${tag}`, {
    method: "PUT",
    body: manifest,
    headers: { "content-type": mediaType },
  });
  expect(put.status).toBe(201);
  return digest(manifest);
}

test("get: every resource, one, and none of that name", async () => {
  const all = await cli("get");
  expect(all.code).toBe(0);
  expect(all.stdout).toMatch(
    /^KIND +NAMESPACE +NAME +READY +REASON +REVISION +MESSAGE\nRetentionPolicy +default +builds +True +Succeeded +[0-9a-f]{7} /,
  );
  const one = await cli("get", "retentionpolicy", "default/builds");
  expect(one.stdout).toMatch(/^RetentionPolicy default\/builds\n {2}generation 1, recorded 1 at [0-9a-f]{7}\n {2}from retention\.yaml:1\n/);
  const none = await cli("get", "upstream", "default/builds");
  expect([none.code, none.stdout]).toEqual([1, ""]);
});

test("get shows what is served although its file is gone and a person has not confirmed it yet", async () => {
  const upstream = (name: string) =>
    `apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: ${name}}\nspec: {url: "https://${name}.example.org", prefix: ${name}}\n`;
  const file = join(wharfinger.config, "upstreams.yaml");
  await writeFile(file, ["u1", "u2", "u3", "u4"].map(upstream).join("---\n"));
  await eventually(async () => expect(await condition("upst", "u4", "Ready")).toBe("True"));
  await rm(file);
  const row =
    /^Upstream +default +u1 +True +WaitsForConfirmation +[0-9a-f]{7} +its resource is gone, .*record confirm-removal ([0-9a-f]{40}\/default)/m;
  const confirm = await answerTo("u1 waits", async () => row.exec((await cli("get", "upst")).stdout)?.[1]);
  const views = await json<ResourceView[]>("get", "upst");
  expect(views.map(({ name, source }) => [name, source])).toEqual(["u1", "u2", "u3", "u4"].map((name) => [name, undefined]));
  expect((await cli("record", "confirm-removal", confirm)).code).toBe(0);
  await eventually(async () => expect(await json<ResourceView[]>("get", "upst")).toEqual([]));
});

test("an edited file is recorded and shown; a wrong one is reported with file, line and field and changes nothing", async () => {
  const generation = async () => (await json<ResourceView[]>("get", "retpol", "builds"))[0]?.status.recordedGeneration;
  await writeFile(join(wharfinger.config, "retention.yaml"), retention.replace("mostRecentlyPushed: 1", "mostRecentlyPushed: 3"));
  await eventually(async () => expect(await generation()).toBe(2));
  await writeFile(join(wharfinger.config, "retention.yaml"), retention.replace("mostRecentlyPushed", "mostRecentlyPuhsed"));
  await eventually(() => expect(wharfinger.logs()).toMatch(/retention\.yaml:7: spec\.keep\[0\]\.mostRecentlyPuhsed/));
  await eventually(async () => expect(await condition("retpol", "builds", "Stalled")).toBe("True"));
  const [view] = await json<ResourceView[]>("get", "retpol", "builds");
  expect(view?.status.conditions.find(({ type }) => type === "Stalled")).toMatchObject({
    status: "True",
    message: expect.stringContaining("retention.yaml:7"),
  });
  expect(view?.status.recordedGeneration).toBe(2);
  await writeFile(join(wharfinger.config, "retention.yaml"), retention);
  await eventually(async () => expect(await generation()).toBe(3));
});

test("documents that are no resources are told of by get and record status, until they are mended", async () => {
  const file = join(wharfinger.config, "wrong.yaml");
  await writeFile(file, "apiVersion: wharfinger.dev/v1alpha1\nkind: Upstraem\nmetadata: {name: hub}\n");
  const told = /^Not taken over: wrong\.yaml:\d+: .*Upstraem/m;
  for (const command of [["get"], ["get", "retpol"], ["record", "status"]]) {
    await eventually(async () => expect((await cli(...command)).stderr).toMatch(told));
    const { code, stdout } = await cli(...command);
    expect([code, stdout.includes("Upstraem")]).toEqual([0, false]);
  }
  const state = await json<RecordState>("record", "status");
  const problem = { source: "wrong.yaml", line: expect.any(Number) as number, message: expect.stringContaining("Upstraem") as string };
  expect(state.controlPlane?.sourceProblems).toEqual([problem]);
  const listed = await json<{ kind: string }[]>("get", "retpol");
  expect(listed).toEqual([expect.objectContaining({ kind: "RetentionPolicy" }), { kind: "SourceProblem", ...problem }]);
  await writeFile(file, "kind: [\n");
  await eventually(async () => expect((await cli("get")).stderr).toMatch(/^Not taken over: wrong\.yaml:\d+: /m));
  expect((await cli("get")).code).toBe(0);
  await rm(file);
  await eventually(async () => expect((await cli("get")).stderr).toBe(""));
});

test("plan, prune, restore", async () => {
  const plan = await json<Plan>("plan", "default/builds");
  expect(Object.fromEntries(plan.entries.flatMap(({ tag, verdict }) => (tag === undefined ? [] : [[tag, verdict]])))).toEqual({
    one: "delete",
    two: "keep",
  });
  const shown = await cli("plan", "builds");
  expect(shown.stdout).toMatch(/^delete +team-a\/app:one /m);

  const refused = await cli("job", "prune", "--policy", "builds", "--approve", "nope");
  const makes = "None waits to be approved: `npx wharfinger job prune --policy default/builds` makes a new one.";
  expect([refused.code, refused.stdout, refused.stderr]).toEqual([1, "", `There is no plan nope of default/builds. ${makes}\n`]);
  expect((await json<ResourceView[]>("get", "retpol", "builds"))[0]?.status.details).not.toHaveProperty("lastRun");

  const pruned = await cli("job", "prune", "--policy", "builds", "-o", "json");
  expect([pruned.code, JSON.parse(pruned.stdout)]).toMatchObject([0, { kept: 1, planned: { deleted: 1 }, deleted: 1 }]);
  expect(pruned.stderr).not.toBe("");
  expect((await fetch(`${wharfinger.url}/v2/team-a/app/manifests/one`)).status).toBe(404);
  // The run was another process's; its policy shows it, and Git has what it deleted.
  const { plan: applied } = JSON.parse(pruned.stdout) as { plan: string };
  await eventually(async () =>
    expect((await json<ResourceView[]>("get", "retpol", "builds"))[0]?.status.details).toMatchObject({
      lastRun: { state: "succeeded", plan: applied, planned: 1, deleted: 1 },
    }),
  );
  const record = join(wharfinger.data, "record");
  await eventually(async () =>
    expect(await use("git", ["-C", record, "log", "-1", "--format=%s"])).toMatch(/^plan default\/builds: 1 deleted, /),
  );
  expect(await use("git", ["-C", record, "show", "HEAD:plans/default/builds.yaml"])).toContain("tag: one\n");

  const host = new URL(wharfinger.url).host;
  const restored = await cli("restore", `${host}/team-a/app:one`);
  expect([restored.code, restored.stdout]).toEqual([0, expect.stringMatching(/^team-a\/app@sha256:[0-9a-f]{64} \(one\)\n$/)]);
  expect((await fetch(`${wharfinger.url}/v2/team-a/app/manifests/one`)).status).toBe(200);
  const never = await cli("restore", "team-a/app:never");
  expect([never.code, never.stdout]).toEqual([1, ""]);
});

test("jobs of policies that are not there are refused with the reason", async () => {
  for (const kind of ["prune", "tag-sync"]) {
    const { code, stdout, stderr } = await cli("job", kind, "--policy", "default/missing");
    expect([code, stdout, stderr]).toEqual([1, "", expect.stringContaining("default/missing")]);
  }
  expect((await cli("plan", "default/missing")).code).toBe(1);
  expect((await cli("explain", "cgr/nothing:1.0")).code).toBe(1);
  const without = await cli("job", "prune");
  expect([without.code, without.stderr]).toEqual([2, expect.stringContaining("required option '--policy <namespace/name>'")]);
});

test("delete: into the trash, or with --purge for good", async () => {
  const digest = await push("team-b/secret", "leaked");
  expect(await cli("delete", "team-b/secret:leaked")).toMatchObject({ code: 0, stdout: `deleted  team-b/secret@${digest} (leaked)\n` });
  expect((await cli("restore", "team-b/secret:leaked")).code).toBe(0);
  const purged = await cli("delete", `team-b/secret@${digest}`, "--purge");
  expect([purged.code, purged.stdout.split("\n")[0], purged.stderr]).toEqual([
    0,
    `deleted  team-b/secret@${digest} (leaked)`,
    expect.stringMatching(/^[1-9]\d* objects \(.*\) are deleted in the store\.$/m),
  ]);
  for (const word of ["restore", "delete"]) {
    const gone = await cli(word, "team-b/secret:leaked");
    expect([gone.code, gone.stdout, gone.stderr]).toEqual([1, "", expect.stringContaining("team-b/secret:leaked is not")]);
  }
});

test("audit and gc", async () => {
  const audit = await cli("audit", "--deep");
  expect([audit.code, audit.stdout, audit.stderr]).toEqual([0, "Everything holds.\n", expect.stringMatching(/^Checked \d+ repositor/m)]);
  const gc = await json<GcStatus>("gc", "status");
  expect(gc.live).toBeGreaterThan(0);
  expect((await cli("gc", "status")).stdout).toMatch(/^queue +\d+ \(\d+ due/);
  const resumed = await cli("gc", "resume");
  expect([resumed.code, resumed.stderr]).toEqual([0, "The brake does not hold: nothing was changed.\n"]);
  expect(resumed.stdout).toMatch(/^queue/);
});

test("record: what is published, and a person's decisions", async () => {
  const head = await use("git", ["-C", join(wharfinger.data, "record"), "rev-parse", "HEAD"]);
  const state = await json<RecordState>("record", "status");
  expect(state.revision).toBe(head);
  expect((await cli("record", "status")).stdout).toContain(`Published: ${head.slice(0, 10)}`);

  for (const word of ["confirm-removal", "accept-revision"]) {
    const refused = await cli("record", word, head.slice(0, 12));
    expect([refused.code, refused.stderr]).toEqual([
      1,
      `Nothing waits at that commit (${head.slice(0, 10)}) for \`record ${word}\`. Nothing else waits either.\n`,
    ]);
  }
  const unknown = await cli("record", "accept-revision", "0123456789abcdef");
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining("0123456789abcdef is no commit of the record")]);
  expect((await cli("record", "accept-revision")).code).toBe(2);
});

test("Secret documents are served to whom they are for, and neither recorded nor logged nor shown", async () => {
  const password = "a-password-that-must-not-leak";
  await writeFile(
    join(wharfinger.config, "secret.yaml"),
    `apiVersion: v1\nkind: Secret\nmetadata: {name: upstream-login}\ntype: kubernetes.io/basic-auth\nstringData: {username: ci, password: ${password}}\n---\napiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: private}\nspec: {url: "http://127.0.0.1:9", insecure: true, prefix: private, auth: {secretRef: {name: upstream-login}}}\n`,
  );
  await eventually(async () => expect(await condition("upst", "private", "CredentialsLoaded")).toBe("True"));
  const record = join(wharfinger.data, "record");
  expect(await use("git", ["-C", record, "log", "-p", "--all"])).not.toContain(password);
  expect((await cli("get", "-o", "json")).stdout).not.toContain(password);
  expect(wharfinger.logs()).not.toContain(password);
});
