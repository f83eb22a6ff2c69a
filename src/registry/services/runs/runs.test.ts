// Runs on a real PostgreSQL: one at a time, all that the job needs to know, and what is remembered of each digest.

import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

import { configuration, database, pem, publish, runs, secrets, startFixture, stopFixture } from "../../../../test/support/proposals.ts";
import type { SyncOutcome } from "../../../api/control/runs.ts";
import { digestOf } from "../../../domain/digest.ts";
import { statement } from "../../metadata/database.ts";
import { runOfPod } from "../../metadata/run-pods.ts";
import { failUnfinishedRuns, noteRunApplied, pruneRuns } from "../../metadata/runs.ts";
import { pruneOutcomes, refusedOutcomes } from "../../metadata/sync-outcomes.ts";
import { BoundRuns } from "./bound-runs.ts";

beforeAll(startFixture);
afterAll(stopFixture);
beforeEach(async () => {
  await failUnfinishedRuns(database);
  await publish();
});

const keyless = [{ issuer: "https://issuer.example.com", subject: "ci" }];
const start = () => runs.start({ kind: "tag-sync", policy: "default/images", trigger: "schedule" });
const outcome = (name: string, part: Partial<SyncOutcome> = {}): SyncOutcome => ({
  repository: "chainguard/nginx",
  sourceTag: "latest",
  digest: digestOf(name),
  outcome: "Minted",
  ...part,
});
const shift = (interval: string) =>
  database.execute(
    statement(
      "test-age",
      "UPDATE sync_outcomes SET first_seen = first_seen - $1::interval, checked_at = checked_at - $1::interval, retry_at = retry_at - $1::interval",
    ),
    [interval],
  );

test("a run knows the policy as published, its upstream and every *.pub of its Secrets", async () => {
  secrets.set("default", "cosign-pub", { "b.pub": pem, "a.pub": "not judged here", "cosign.key": "private", password: "x" });
  const run = await start();
  expect(run).toMatchObject({
    kind: "tag-sync",
    policy: "default/images",
    state: "running",
    generation: 1,
    finishedAt: null,
    spec: { images: [{ repository: "chainguard/nginx" }, { repository: "secret/nginx" }] },
    upstream: { prefix: "cgr", url: "https://cgr.dev", repositoryPrefix: "" },
    keys: [
      { name: "cosign-pub/a.pub", pem: "not judged here" },
      { name: "cosign-pub/b.pub", pem },
    ],
    settled: [],
  });
  await expect(runs.get(run.id)).resolves.toEqual(run);
  const ended = await runs.update(run.id, { state: "succeeded", result: { images: { total: 2, failed: 0 } } });
  expect(ended).toMatchObject({ state: "succeeded", result: { images: { total: 2, failed: 0 } } });
  expect([ended.keys, ended.settled, ended.upstream]).toEqual([undefined, undefined, undefined]);
  expect(ended.finishedAt).not.toBeNull();
});

test("a run knows the trusted root that the policy names, and that it is not there: the built-in one does not stand in for it", async () => {
  expect((await start()).trustedRoot).toBeUndefined();
  await failUnfinishedRuns(database);
  await publish({ policy: { verify: { mode: "Verified", keyless, trustedRoot: { configMapRef: { name: "root" } } } } });
  const run = await start();
  expect(run).toMatchObject({ trustedRoot: "", keys: [], spec: { verify: { keyless } } });
  secrets.setConfigMap("default", "root", { "trusted_root.json": '{"not": "judged here"}', "other.json": "x" });
  expect(await runs.get(run.id)).toMatchObject({ trustedRoot: '{"not": "judged here"}' });
  secrets.setConfigMap("default", "root", { "trusted_root.json": " ".repeat(70_000) });
  expect(await runs.get(run.id)).toMatchObject({ trustedRoot: "" });
  expect(await runs.update(run.id, { state: "failed" })).not.toHaveProperty("trustedRoot");
});

test("what was refused is looked at again under another root or other keys; what is minted is not", async () => {
  await publish({ policy: { verify: { mode: "Verified", keyless, trustedRoot: { configMapRef: { name: "root" } } } }, generation: 31 });
  secrets.setConfigMap("default", "root", { "trusted_root.json": "one" });
  const first = await start();
  const of = (name: string, part: Partial<SyncOutcome> = {}) => outcome(name, { repository: "secret/nginx", ...part });
  const refused = of("b", { outcome: "VersionRefused" });
  await runs.update(first.id, {
    outcomes: [of("a"), refused, of("c", { outcome: "IdentityMismatch", retryAfter: 300 })],
    anchors: first.anchors,
  });
  const settled = async () => (await runs.get(first.id)).settled?.map(({ outcome: how }) => how).sort();
  expect(await settled()).toEqual(["IdentityMismatch", "Minted", "VersionRefused"]);
  secrets.setConfigMap("default", "root", { "trusted_root.json": "two" });
  expect(await settled()).toEqual(["Minted"]);
  // Looked at with what counted when the job was told, and refused: that is not an answer under what counts now.
  await runs.update(first.id, { outcomes: [refused], anchors: first.anchors });
  expect(await settled()).toEqual(["Minted"]);
  await runs.update(first.id, { outcomes: [refused], anchors: (await runs.get(first.id)).anchors });
  expect(await settled()).toEqual(["Minted", "VersionRefused"]);
  // A job of the version before does not say with what it judged.
  await runs.update(first.id, { outcomes: [refused] });
  secrets.setConfigMap("default", "root", { "trusted_root.json": "three" });
  expect(await settled()).toEqual(["Minted", "VersionRefused"]);
});

test("one at a time for a policy, whoever asks; one that fell silent is given up", async () => {
  const asked = await Promise.allSettled([start(), start(), start()]);
  expect(asked.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected", "rejected"]);
  const first = asked.find((one) => one.status === "fulfilled")?.value;
  const refused = asked.find((one) => one.status === "rejected")?.reason as unknown;
  expect(refused).toMatchObject({ code: "CONFLICT", message: expect.stringContaining(first?.id ?? "?") });
  await database.execute(statement("test-silence", "UPDATE runs SET touched_at = now() - interval '11 minutes' WHERE id = $1"), [
    first?.id,
  ]);
  const second = await start();
  await expect(runs.get(first?.id ?? "")).resolves.toMatchObject({
    state: "failed",
    result: { message: "The job was not heard from any more." },
  });
  await expect(runs.update(first?.id ?? "", { progress: {} })).rejects.toMatchObject({ code: "CONFLICT" });
  await expect(runs.update(second.id, { progress: { done: 1, total: 2 } })).resolves.toMatchObject({ progress: { done: 1, total: 2 } });
});

test("who starts a run does not wait for what is to be forgotten, and does not fail with it", async () => {
  const old = await start();
  await runs.update(old.id, { outcomes: [outcome("old")], state: "succeeded" });
  await publish({ generation: 2 });
  await database.execute(statement("test-grow-old", "UPDATE sync_outcomes SET checked_at = now() - interval '31 days'"));
  await database.execute(
    statement("test-refuse", "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$"),
  );
  await database.execute(
    statement("test-refuse-delete", "CREATE TRIGGER refuse BEFORE DELETE ON sync_outcomes FOR EACH ROW EXECUTE FUNCTION refuse()"),
  );
  try {
    expect(await start()).toMatchObject({ state: "running", generation: 2 });
    await expect(pruneOutcomes(database)).rejects.toThrow("not now");
  } finally {
    await database.execute(statement("test-allow-delete", "DROP FUNCTION refuse CASCADE"));
  }
});

test("a policy that is not there, a run that is not there", async () => {
  await expect(runs.start({ kind: "prune", policy: "default/images", trigger: "manual" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(runs.start({ kind: "tag-sync", policy: "team/images", trigger: "manual" })).rejects.toMatchObject({
    code: "NOT_FOUND",
    message:
      "No TagPolicy team/images is published. If there is such a resource, `npx wharfinger get tagpolicy team/images` says why it is not served.",
  });
  for (const id of ["", "1", "b0b0b0b0-0000-4000-8000-000000000000", "' OR 1=1", "\u0000"]) {
    await expect(runs.get(id)).rejects.toMatchObject({ code: "NOT_FOUND" });
  }
  await publish({ policy: { upstreamRef: { name: "gone" } } });
  await expect(start()).rejects.toMatchObject({ code: "CONFLICT", message: expect.stringContaining("names the Upstream default/gone") });
});

test("what is finished is settled; what may change is looked at again, later each time, for a week", async () => {
  const missing = outcome("bare", { outcome: "SignatureMissing", message: "no tag", retryAfter: 300 });
  const run = await start();
  await runs.update(run.id, { outcomes: [outcome("done"), missing] });
  /** Minutes until the next look. */
  const settled = async () => {
    const known = (await runs.get(run.id)).settled ?? [];
    return Object.fromEntries(known.map(({ outcome: name, retryAfter }) => [name, retryAfter && Math.round(retryAfter / 60)]));
  };
  expect(await settled()).toEqual({ Minted: undefined, SignatureMissing: 5 });
  await shift("6 minutes");
  expect(await settled()).toEqual({ Minted: undefined });
  await runs.update(run.id, { outcomes: [missing] });
  expect((await settled())["SignatureMissing"]).toBe(6);
  await shift("2 hours");
  await runs.update(run.id, { outcomes: [missing] });
  expect((await settled())["SignatureMissing"]).toBe(126);
  await shift("3 days");
  await runs.update(run.id, { outcomes: [missing] });
  expect((await settled())["SignatureMissing"]).toBe(360);
  await shift("5 days");
  await runs.update(run.id, { outcomes: [missing] });
  expect(await settled()).toEqual({ Minted: undefined, SignatureMissing: undefined });
  // A key that is missing is mended here, whenever: never given up.
  await runs.update(run.id, { outcomes: [{ ...missing, outcome: "KeyMissing" }] });
  expect((await settled())["KeyMissing"]).toBe(5);
});

test("another generation of the policy looks at everything again", async () => {
  const run = await start();
  await runs.update(run.id, { outcomes: [outcome("generation one")], state: "succeeded" });
  await publish({ generation: 2 });
  expect((await start()).settled).toEqual([]);
});

test("an outcome belongs to the generation that its run was registered for", async () => {
  const run = await start();
  await publish({ generation: 3 });
  await runs.update(run.id, { outcomes: [outcome("late")], state: "succeeded" });
  expect((await start()).settled).toEqual([]);
});

test("what was refused and why, newest first, without what a terminal or a database would choke on", async () => {
  const run = await start();
  const evil = { outcome: "VersionRefused", message: `"1.2\u0000\u001b[31m\ud800" ${"x".repeat(5_000)}` };
  await runs.update(run.id, { outcomes: [outcome("one", { outcome: "SubjectMismatch" })] });
  await runs.update(run.id, { outcomes: [outcome("two", evil)] });
  const [first, second] = await refusedOutcomes(database, { policy: "default/images", repository: "chainguard/nginx", limit: 2 });
  expect([first?.outcome, second?.outcome]).toEqual(["VersionRefused", "SubjectMismatch"]);
  expect(first?.message).toMatch(/^"1\.2\u{fffd}\u{fffd}\[31m\u{fffd}" x+…$/u);
  expect(first?.message).toHaveLength(1_000);
});

test("a result that cannot be stored is the job's fault", async () => {
  const run = await start();
  await expect(runs.update(run.id, { result: { text: "\u0000" }, state: "failed" })).rejects.toMatchObject({ code: "INVALID" });
  const many = Array.from({ length: 1_001 }, (_, index) => outcome(`${index}`));
  await expect(runs.update(run.id, { outcomes: many })).rejects.toMatchObject({ code: "INVALID" });
  await expect(runs.get(run.id)).resolves.toMatchObject({ state: "running" });
});

const now = { waitSeconds: 0, signal: new AbortController().signal };
const patient = { ...now, waitSeconds: 20 };
const ended = async (after?: string, patience = now) =>
  (await runs.finished(after === undefined ? {} : { after }, patience)).map(({ id }) => id);

test("who follows hears each run that ends, in order, and waits while there is none", async () => {
  const first = await start();
  await runs.update(first.id, { state: "succeeded", result: { message: "done" } });
  expect((await runs.finished({}, now)).find(({ id }) => id === first.id)).toMatchObject({
    kind: "tag-sync",
    policy: "default/images",
    trigger: "schedule",
    succeeded: true,
    result: { message: "done" },
    finishedAt: expect.stringMatching(/Z$/),
  });
  expect(await ended(first.id)).toEqual([]);

  const second = await start();
  const heard = ended(first.id, patient);
  await runs.update(second.id, { progress: {} });
  await runs.update(second.id, { state: "failed" });
  expect(await heard).toEqual([second.id]);
  const ids = [];
  for (let count = 0; count < 21; count++) {
    const { id } = await start();
    await runs.update(id, { state: "succeeded" });
    ids.push(id);
  }
  expect(await ended(second.id)).toEqual(ids.slice(0, 20));
  expect(await ended(ids[19])).toEqual([ids[20]]);
  // Of one that is not known there is the last of each policy, and of a kind without runs nothing.
  expect(await ended("b0b0b0b0-0000-4000-8000-000000000000")).toEqual([ids[20]]);
  expect(await runs.finished({ kind: "prune" }, now)).toEqual([]);
});

test("while nothing ends nobody asks the database", async () => {
  const { id } = await start();
  await runs.update(id, { state: "succeeded" });
  const asked: string[] = [];
  const query = database.query.bind(database);
  database.query = (text, values) => {
    if (text.name.startsWith("run-")) asked.push(text.name);
    return query(text, values);
  };
  try {
    expect(await ended(id, { ...now, waitSeconds: 3 })).toEqual([]);
  } finally {
    database.query = query;
  }
  expect(asked).toEqual(["run-end-of", "run-ended-after", "run-ended-after"]);
});

test("a run that fell silent, or died with its process, ends for those who follow, with what it had deleted", async () => {
  const silent = await start();
  const applied = { plan: "p", deleted: [], kept: [], proposals: [], bytes: 0 };
  await noteRunApplied(database, { id: silent.id, policy: "default/images", applied }); // no prune run: nothing to note
  expect((await runs.get(silent.id)).result).toBeUndefined();
  await database.execute(
    statement("test-prune-run", "UPDATE runs SET kind = 'prune', touched_at = now() - interval '1 hour' WHERE id = $1"),
    [silent.id],
  );
  await noteRunApplied(database, { id: silent.id, policy: "default/images", applied });
  await failUnfinishedRuns(database);
  const [found] = await runs.finished({ kind: "prune" }, now);
  expect(found).toMatchObject({
    id: silent.id,
    succeeded: false,
    result: { deleted: 0, applied, message: "The process ended before the run did." },
  });

  const broken = await start();
  await database.execute(statement("test-to-prune", "UPDATE runs SET kind = 'prune' WHERE id = $1"), [broken.id]);
  await noteRunApplied(database, { id: broken.id, policy: "default/images", applied });
  await runs.update(broken.id, { state: "failed", result: { message: "Its Pod was killed." } });
  expect((await runs.get(broken.id)).result).toEqual({ plan: "p", deleted: 0, bytes: 0, applied, message: "Its Pod was killed." });

  const last = (await ended()).at(-1) ?? "";
  const next = await start();
  await database.execute(statement("test-silence", "UPDATE runs SET touched_at = now() - interval '11 minutes' WHERE id = $1"), [next.id]);
  const heard = ended(last, patient);
  await start();
  expect(await heard).toEqual([next.id]);
});

test("old runs go, but for the last one of a policy", async () => {
  const { id } = await start();
  await runs.update(id, { state: "succeeded" });
  await database.execute(statement("test-forgotten", "UPDATE runs SET started_at = now() - interval '31 days'"));
  await pruneRuns(database);
  expect(await ended()).toContain(id);
  const left = await database.query<{ count: number }>(
    statement(
      "test-left",
      "SELECT count(*)::int AS count FROM runs WHERE policy = 'default/images' AND kind = 'tag-sync' AND state <> 'running'",
    ),
  );
  expect(left).toEqual([{ count: 1 }]);
});

test("of a policy that runs often the newest hundred are kept, what is not older than a day, and for a month what deleted something; others lose nothing by it", async () => {
  const insert = statement(
    "test-many",
    `INSERT INTO runs (kind, policy, trigger, state, started_at, finished_at, ended)
     SELECT 'prune', $1, 'schedule', 'succeeded', at, at, nextval('runs_ended')
     FROM (SELECT now() - $2::interval AS at, generate_series(1, $3) ORDER BY 2) many`,
  );
  const left = async (policy: string) =>
    (
      await database.query<{ days: number; count: number }>(
        statement(
          "test-days",
          `SELECT extract(day FROM now() - started_at)::int AS days, count(*)::int AS count FROM runs WHERE policy = $1
           GROUP BY days ORDER BY days`,
        ),
        [policy],
      )
    ).map(({ days, count }) => [days, count]);
  await database.execute(insert, ["default/often", "40 days", 10]);
  await database.execute(insert, ["default/often", "2 days", 1_200]);
  await database.execute(insert, ["default/often", "1 hour", 40]);
  await database.execute(insert, ["default/always", "2 days", 5]);
  await database.execute(insert, ["default/always", "1 hour", 150]);
  await database.execute(insert, ["default/seldom", "29 days", 90]);
  // Two of them deleted something: one of two days ago, one of forty.
  await database.execute(statement("test-results", `UPDATE runs SET result = '{"deleted": 0}' WHERE policy = 'default/often'`));
  const deleting = statement(
    "test-deleting",
    `UPDATE runs SET result = '{"deleted": 3}' WHERE id = (SELECT id FROM runs WHERE policy = 'default/often' ORDER BY ended OFFSET $1 LIMIT 1)`,
  );
  for (const place of [5, 15]) await database.execute(deleting, [place]);
  for (let count = await pruneRuns(database); count > 0;) count = await pruneRuns(database);
  expect(await left("default/often")).toEqual([
    [0, 40],
    [2, 61],
  ]);
  expect(await left("default/always")).toEqual([[0, 150]]);
  expect(await left("default/seldom")).toEqual([[29, 90]]);
});

test("a Pod has one run: that one again while it is under way, and then never another", async () => {
  const request = { kind: "tag-sync", policy: "default/images", trigger: "schedule", pod: "images-1" } as const;
  const bound = new BoundRuns({ database, configuration, granted: () => true });
  await expect(bound.of("images-1")).rejects.toMatchObject({ code: "DENIED", message: expect.stringContaining("images-1") });
  await expect(bound.of(undefined)).rejects.toMatchObject({ code: "DENIED", message: expect.stringContaining("bound to its Pod") });
  const { id } = await runs.start(request);
  expect((await runs.start(request)).id).toBe(id);
  await expect(runs.start({ ...request, pod: "images-2" })).rejects.toMatchObject({ code: "CONFLICT", detail: { run: id } });

  const run = await bound.of("images-1");
  expect(run).toMatchObject({ id, kind: "tag-sync", policy: "default/images" });
  expect(["cgr/chainguard/nginx", "cgr/chainguard/other", "chainguard/nginx", "team/app"].map((name) => run.covers(name))).toEqual([
    true,
    false,
    false,
    false,
  ]);

  await runs.update(id, { state: "failed", result: {} });
  await expect(bound.of("images-1")).rejects.toMatchObject({ code: "DENIED", message: expect.stringContaining("has ended (failed)") });
  await expect(runs.start(request)).rejects.toMatchObject({
    code: "CONFLICT",
    message: expect.stringContaining("Pod images-1 has run"),
    detail: { podHas: expect.any(String) },
  });
  // What was refused left nothing behind.
  expect((await runs.start({ ...request, pod: "images-2" })).state).toBe("running");
});

test("a run that is forgotten takes its Pod along", async () => {
  const { id } = await runs.start({ kind: "tag-sync", policy: "default/images", trigger: "schedule", pod: "images-3" });
  await runs.update(id, { state: "succeeded", result: {} });
  const next = await start();
  await runs.update(next.id, { state: "succeeded", result: {} });
  await database.execute(statement("test-old-run", "UPDATE runs SET started_at = now() - interval '31 days' WHERE id = $1"), [id]);
  expect(await runOfPod(database, "images-3")).toMatchObject({ id });
  await pruneRuns(database);
  expect(await runOfPod(database, "images-3")).toBeUndefined();
});
