// A prune run as the job makes it: over the control API of a real registry, with no other rights than those of the run, from plan to the
// retirement that Git has.

import { afterEach, beforeEach, expect, test } from "vitest";

import type { LedgerDocument, RecordedResource } from "../../src/api/control/record.ts";
import type { RunRequest } from "../../src/api/control/runs.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import { observed, type Observer } from "../../src/failpoints/armed.ts";
import { runPrune, type PruneEnd, type PruneOptions } from "../../src/jobs/prune.ts";
import { digestOf, pushImage } from "../conformance/content.ts";
import { send } from "../support/http.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { createTokenCluster, type TokenCluster } from "../support/token-cluster.ts";

const policy = "default/builds";
const versions = "cgr/chainguard/nginx";

let registry: TestRegistry;
let control: ControlClient;
let cluster: TokenCluster;
let revision = 0;
/** What becomes of the registry at its failpoints. */
let meet: Observer;

beforeEach(async () => {
  cluster = await createTokenCluster();
  meet = () => undefined;
  const settings = { ...cluster.settings, gc: { ...defaultSettings.gc, lease: 0 } };
  registry = await observed(
    (name) => meet(name),
    () => startTestRegistry({ settings }),
  );
  control = new ControlClient({ url: registry.url, token: adminToken });
  revision = 0;
  for (const tag of ["build-1", "build-2", "build-3", "v1.0"]) await pushImage(registry.url, "team-a/app", tag, { annotations: { tag } });
});
afterEach(async () => {
  await control.close();
  await registry.stop();
});

const resource = (kind: RecordedResource["kind"], name: string, spec: object): RecordedResource => {
  return { kind, namespace: "default", name, generation: 1, revision: "r", suspend: false, spec };
};
const ledger = (...tags: string[]): LedgerDocument => ({
  image: "cgr.dev/chainguard/nginx",
  builds: [],
  tags: Object.fromEntries(tags.map((tag) => [tag, digestOf(tag)])),
  pinned: {},
  retired: {},
});

async function publish(spec: object, more: { ledger?: LedgerDocument; settled?: { id: string; refused?: string }[] } = {}): Promise<void> {
  const base = revision === 0 ? null : `r${revision}`;
  const keep = [
    { name: "releases", tags: "v.*" },
    { name: "recent", tags: "build-.*", mostRecentlyPushed: 1 },
    { name: "newest", semver: { newest: 1, per: "Major" } },
  ];
  const whole = { repositories: { include: ["team-a/**", "cgr/**"] }, keep, limits: { maxDeletePercent: 100 }, ...spec };
  await control.publish({
    revision: `r${++revision}`,
    base,
    resources: [resource("Upstream", "cgr", { url: "https://cgr.dev", prefix: "cgr" }), resource("RetentionPolicy", "builds", whole)],
    ledgers: more.ledger === undefined ? {} : { [versions]: more.ledger },
    settled: more.settled ?? [],
  });
}

async function prune(more: Partial<PruneOptions> & { approved?: string } = {}): Promise<{ end: PruneEnd; lines: string[] }> {
  const { approved, ...options } = more;
  const job = await cluster.startPod(registry.url);
  const request: RunRequest = { kind: "prune", policy, trigger: "manual", pod: job.pod };
  const { id } = await control.startRun(approved === undefined ? request : { ...request, approve: approved });
  const lines: string[] = [];
  const signal = new AbortController().signal;
  const end = await runPrune({
    control: job.control,
    run: options.control === undefined ? "own" : id,
    progress: (line) => lines.push(line),
    signal,
    ...options,
  });
  await job.close();
  const { applied, ...counts } = end.result;
  expect(await control.run(id)).toMatchObject({
    state: end.succeeded ? "succeeded" : "failed",
    result: { ...counts, message: end.message, ...(applied === undefined ? {} : { applied }) },
  });
  return { end, lines };
}
const tags = async () =>
  (JSON.parse((await send(registry.url, "GET", "/v2/team-a/app/tags/list")).body.toString()) as { tags: string[] }).tags;
const retired = { published: 0, refused: 0, waiting: 0 };

test("action: Plan plans and deletes nothing", async () => {
  await publish({});
  const { end, lines } = await prune();
  expect(end).toMatchObject({ succeeded: true, result: { kept: 2, planned: { deleted: 2, bytes: 0 }, deleted: 0, bytes: 0, retired } });
  expect(end.result.applied).toBeUndefined();
  expect(end.message).toBe("would delete 2, kept 2, 0 bytes; action: Plan deletes nothing");
  expect(lines).toContain("inUse asks nothing: no cluster is configured");
  expect(lines.filter((line) => line.startsWith("delete "))).toEqual([
    expect.stringMatching(/^delete team-a\/app:build-1: no rule keeps it/),
    expect.stringMatching(/^delete team-a\/app:build-2: no rule keeps it/),
  ]);
  expect(await tags()).toHaveLength(4);
});

test("action: Delete applies; a second run deletes nothing", async () => {
  await publish({ action: "Delete" });
  const { end } = await prune();
  expect(end).toMatchObject({
    succeeded: true,
    message: "deleted 2, kept 2, 0 bytes",
    result: { kept: 2, planned: { deleted: 2, bytes: 0 }, deleted: 2, applied: { kept: [] } },
  });
  expect(end.result.applied?.deleted.map(({ tag }) => tag)).toEqual(["build-1", "build-2"]);
  expect(await tags()).toEqual(["build-3", "v1.0"]);
  expect((await prune()).end).toMatchObject({ succeeded: true, message: "deleted 0, kept 2, 0 bytes" });
  expect(await control.restore({ repository: "team-a/app", tag: "build-1" })).toMatchObject({ gone: [] });
  expect((await control.activity()).map(({ action }) => action)).toEqual(expect.arrayContaining(["restore", "prune"]));
});

test("a run that breaks in the middle says what it has deleted, here and at the registry", async () => {
  await pushImage(registry.url, "team-b/app", "build-1", { annotations: { tag: "b" } });
  await publish({ action: "Delete", repositories: { include: ["team-*/**"] }, keep: [{ name: "releases", tags: "(v.*|build-3)" }] });
  let deletions = 0;
  meet = (name) => {
    if (name === "D1.locked" && ++deletions === 2) throw new Error("the disk of the database is full");
  };
  const { end } = await prune();
  expect(end).toMatchObject({ succeeded: false, result: { planned: { deleted: 3 }, deleted: 2 } });
  expect(end.result.applied?.deleted.map(({ repository, tag }) => `${repository}:${tag}`).sort()).toEqual([
    "team-a/app:build-1",
    "team-a/app:build-2",
  ]);
  expect(end.result).not.toHaveProperty("kept");
  expect(await tags()).toEqual(["build-3", "v1.0"]);
  meet = () => undefined;
  expect((await prune()).end).toMatchObject({ succeeded: true, result: { planned: { deleted: 1 }, deleted: 1, kept: 2 } });
});

test("a run that lost the answer to its apply has what the registry noted of it", async () => {
  await publish({ action: "Delete" });
  let lost = false;
  const control = new ControlClient({ url: registry.url, token: adminToken });
  const apply = control.apply.bind(control);
  control.apply = async (...request) => {
    await apply(...request);
    lost = true;
    throw new Error("the connection was lost");
  };
  try {
    const { end } = await prune({ control });
    expect(lost).toBe(true);
    expect(end).toMatchObject({ succeeded: false, message: "the connection was lost", result: { planned: { deleted: 2 }, deleted: 2 } });
  } finally {
    await control.close();
  }
});

test("a stopped plan fails the run and says how to approve it; the approval runs exactly that plan", async () => {
  await publish({ action: "Delete", limits: { maxDeletePercent: 10, minTags: 0 } });
  const { end } = await prune();
  expect(end).toMatchObject({ succeeded: false, result: { planned: { deleted: 2 }, deleted: 0, blocked: { reason: "LimitExceeded" } } });
  const { plan } = end.result;
  expect(end.message).toBe(
    "stopped, LimitExceeded: it would delete 2 of 4 tags (50 %), and limits.maxDeletePercent is 10: approve exactly this plan, or change the policy. " +
      `To approve it, run \`npx wharfinger job prune --policy default/builds --approve ${plan}\`, ` +
      `or set the annotation wharfinger.dev/approve-plan: ${plan} on RetentionPolicy default/builds.`,
  );
  expect(await tags()).toHaveLength(4);
  // The job cannot approve what nobody approved for its run.
  expect((await prune({ approve: plan })).end).toMatchObject({ succeeded: false, message: expect.stringContaining("no other approval") });
  expect(await tags()).toHaveLength(4);
  const approved = await prune({ approve: plan, approved: plan });
  expect(approved.end).toMatchObject({ succeeded: true, result: { plan: end.result.plan, deleted: 2 } });
  expect(await tags()).toEqual(["build-3", "v1.0"]);
  expect((await prune({ approve: "unknown", control })).end).toMatchObject({
    succeeded: false,
    message: expect.stringContaining("There is no plan unknown"),
  });
});

test("versions are retired through Git: the run waits for the publish, and not for ever", async () => {
  await publish({ action: "Delete" }, { ledger: ledger("1.26.1", "1.27.1") });
  const late = await prune({ publishWait: 0 });
  expect(late.end).toMatchObject({ succeeded: true, result: { retired: { ...retired, waiting: 1 } } });
  expect(late.end.message).toBe("deleted 2, kept 3, 0 bytes; proposals to retire versions: 1 still waiting to be committed");
  const [waiting] = await control.waitingProposals();
  const id = waiting?.id ?? "";
  expect(waiting).toMatchObject({
    policy,
    repository: versions,
    body: { kind: "retire", tags: [{ tag: "1.26.1", digest: digestOf("1.26.1") }] },
  });

  const heard = Promise.withResolvers<void>();
  const line = `waiting until proposals to retire versions are committed: ${id}`;
  const second = prune({ progress: (said) => (said === line ? heard.resolve() : undefined) });
  await heard.promise;
  await publish({ action: "Delete" }, { ledger: ledger("1.27.1"), settled: [{ id }] });
  expect((await second).end).toMatchObject({ succeeded: true, result: { retired: { ...retired, published: 1 } } });
  expect((await control.versions(versions)).ledger.tags).toEqual({ "1.27.1": digestOf("1.27.1") });
});

test("a refused retirement is said", async () => {
  await publish({ action: "Delete" }, { ledger: ledger("1.26.1", "1.27.1") });
  const running = prune();
  const [waiting] = await control.waitingProposals({ waitSeconds: 20 });
  await publish({ action: "Delete" }, { settled: [{ id: waiting?.id ?? "", refused: "a person pinned it" }] });
  const { end, lines } = await running;
  expect(end.result.retired).toEqual({ ...retired, refused: 1 });
  expect(lines).toContain(`proposal ${waiting?.id ?? ""} was refused: a person pinned it`);
});

test("a run that is aborted fails and says so", async () => {
  await publish({ action: "Delete" });
  const { end } = await prune({ signal: AbortSignal.abort(new Error("the process is stopping")) });
  expect(end).toMatchObject({ succeeded: false, message: "the process is stopping" });
  expect(await tags()).toHaveLength(4);
});
