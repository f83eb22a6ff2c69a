// What is reported of each kind is what its resource definition says of its status: nothing else, and nothing of another form.

import { describe, expect, test } from "vitest";

import type { UpstreamView } from "../../api/control/contents.ts";
import { annotations } from "../../api/conditions.ts";
import { keyString, type Kind } from "../../domain/resource.ts";
import { emptyView, type RecordedFile } from "../../record/record-view.ts";
import { schemaOf } from "../../validation/crds.ts";
import { schemaProblems } from "../../validation/schema.ts";
import { prepare } from "../../validation/structure.ts";
import { Verdicts } from "../../validation/verdicts.ts";
import type { ObservedResource } from "../ports.ts";
import type { RunState } from "../runs/run-states.ts";
import { StatusStore } from "../status-store.ts";
import { ownReport } from "./all.ts";
import { judge, report, type Passage } from "./skeleton.ts";

const specs: Readonly<Record<Kind, Record<string, unknown>>> = {
  Upstream: { url: "https://cgr.dev", prefix: "cgr", auth: { secretRef: { name: "pull" } } },
  TagPolicy: { upstreamRef: { name: "cgr" }, images: [{ repository: "a/b" }], verify: { keys: [{ secretRef: { name: "cosign" } }] } },
  RetentionPolicy: { repositories: { include: ["team/**"] }, action: "Delete", keep: [{ name: "new", mostRecentlyPushed: 1 }] },
  AccessPolicy: {
    subjects: [{ kind: "Anonymous" }, ...Array.from({ length: 40 }, (_, index) => ({ kind: "User", name: `user-${index}` }))],
    repositories: { include: ["**"] },
    actions: ["pull"],
  },
};

interface World {
  readonly spec?: Record<string, unknown>;
  readonly runs?: RunState;
  readonly upstream?: UpstreamView;
  readonly passage?: Partial<Passage>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly handledRequest?: string;
  /** What the record has of it. */
  readonly recorded?: Record<string, unknown>;
}

const fileOf = (spec: unknown) => ({ spec }) as RecordedFile;

/** The status as an API server would be sent it: the kind's own fields beside the shared ones. */
function statusOf(kind: Kind, world: World): Record<string, unknown> {
  const spec = { ...specs[kind], ...world.spec };
  const asked = world.annotations ?? { [annotations.requestedAt]: "2026-11-21T10:00:00Z" };
  const observed: ObservedResource = {
    kind,
    namespace: "default",
    name: "x",
    generation: 3,
    annotations: asked,
    handledRequest: world.handledRequest,
    spec,
    source: "x.yaml:1",
    lineOf: () => 7,
  };
  const upstream: ObservedResource = { ...observed, kind: "Upstream", name: "cgr", spec: specs.Upstream };
  const resources = kind === "Upstream" ? [observed] : [observed, upstream];
  const [judgement] = judge(resources, {
    files: new Map(),
    inOrder: [],
    grants: { administrators: "default", tenants: [] },
    verdicts: new Verdicts(),
  });
  if (judgement === undefined) throw new Error("nothing was judged");
  const secrets = { secret: () => undefined, configMap: () => undefined, onChange: () => () => undefined };
  const none = { decision: undefined, file: undefined, recordedGeneration: 3, notRecorded: undefined, notPublished: undefined };
  const own = ownReport(judgement, {
    view: world.recorded === undefined ? emptyView : { ...emptyView, resources: new Map([[keyString(observed), fileOf(world.recorded)]]) },
    recordedGeneration: () => none.recordedGeneration,
    upstreams: world.upstream === undefined ? undefined : new Map([[world.upstream.key, world.upstream]]),
    secrets,
    delivery: undefined,
    users: { state: "missing", reason: "SecretNotFound", message: "there is no Secret" },
    issuers: undefined,
    administrators: "default",
    wasReady: () => false,
    awaitsProbe: () => false,
    runsOf: () => world.runs,
  });
  const store = new StatusStore();
  store.replace([report(judgement, { ...none, ...world.passage }, own)]);
  const { details, ...shared } = store.views()[0]?.status ?? {};
  return { ...shared, ...details };
}

const time = "2026-11-21T10:00:00.000Z";
const ran = (result: unknown, succeeded = true, more: Partial<RunState> = {}): World => ({
  runs: {
    last: { run: "b0b0b0b0-0000-4000-8000-000000000000", startedAt: time, finishedAt: time, succeeded, message: "said", result },
    next: time,
    lastHandledReconcileAt: time,
    ...more,
  },
});
const counts = { plan: "p1", kept: 1, planned: { deleted: 12, bytes: 7 }, deleted: 0, bytes: 0, retired: {} };
const stopped = (reason: string) => ran({ ...counts, blocked: { reason, message: "why" } }, false, { waitingPlan: "p1" });
const applied = ran({ ...counts, deleted: 12, bytes: 7, applied: { plan: "p1", deleted: [], kept: [], proposals: [], bytes: 7 } });
const interrupted = ran({ plan: "", kept: 0, deleted: 0, bytes: 0, message: "x".repeat(9_000) }, false);
const failures = Array.from({ length: 30 }, () => ({
  repository: "a/b",
  sourceTag: "latest",
  digest: "sha256:0",
  reason: "R",
  message: "m",
}));
const view: UpstreamView = {
  key: "default/x",
  prefix: "cgr",
  url: "https://cgr.dev",
  hosts: [],
  generation: 3,
  reachable: "False",
  message: "away",
  credentialsLoaded: false,
  rateLimit: { limit: 100, remaining: 0, resetsAt: time },
};

const outcomes: readonly (readonly [Kind, string, World])[] = [
  ["Upstream", "nothing is known", {}],
  ["Upstream", "away and out of requests", { upstream: view }],
  ["Upstream", "reached", { upstream: { ...view, reachable: "True", credentialsLoaded: true } }],
  ["Upstream", "not valid", { spec: { url: 7 } }],
  ["Upstream", "suspended", { spec: { suspend: true } }],
  ["Upstream", "not committed", { passage: { notRecorded: { reason: "NotRecorded", message: "waits" } } }],
  ["Upstream", "refused by the registry", { passage: { notPublished: { reason: "PrefixInUse", message: "taken", final: true } } }],
  ["AccessPolicy", "nobody can log in", {}],
  ["AccessPolicy", "asked for a look in many words", { annotations: { [annotations.requestedAt]: "x".repeat(500) } }],
  ["TagPolicy", "never ran", {}],
  ["TagPolicy", "ran", ran({ images: { total: 1, failed: 0 }, minted: [], failures: [] })],
  ["TagPolicy", "with failures", ran({ images: { total: 30, failed: 30 }, minted: [], failures })],
  ["TagPolicy", "could not be done", ran(undefined, false)],
  ["TagPolicy", "runs", ran(undefined, false, { running: time })],
  ["RetentionPolicy", "never ran", {}],
  ["RetentionPolicy", "only planned", { ...ran(counts), spec: { action: "Plan" } }],
  ["RetentionPolicy", "deleted", applied],
  ["RetentionPolicy", "stopped by a limit", stopped("LimitExceeded")],
  ["RetentionPolicy", "stopped by what nobody can approve", stopped("WorkloadsUnknown")],
  ["RetentionPolicy", "interrupted", interrupted],
  ["RetentionPolicy", "could not be done", ran(undefined, false)],
  ["RetentionPolicy", "runs", ran(counts, true, { running: time })],
];

test.each(outcomes)("%s, %s: the status is of the form that the definition has", (kind, _, world) => {
  const schema = schemaOf(kind).properties?.["status"] ?? {};
  const status = statusOf(kind, world);
  expect([...prepare(schema, status, ["status"]).unknownFields, ...schemaProblems(schema, status, ["status"])]).toEqual([]);
});

/** Whoever has the token of a job's Pod writes what he likes. */
const foreign: readonly unknown[] = [
  ...[null, 7, "text", [], [null], {}].flatMap((value) => [
    value,
    { images: value, failures: [] },
    { images: { failed: value }, failures: [] },
    { images: { failed: 1 }, failures: value },
    { images: { failed: 1 }, failures: [value, { repository: value, reason: value }, { repository: "a/b", reason: "R", message: value }] },
    { plan: value, kept: value, planned: value, deleted: value, bytes: value, blocked: value },
    { planned: { deleted: value, bytes: 1 }, blocked: { reason: "WorkloadsUnknown", message: value } },
    { blocked: { reason: value, message: "why" } },
  ]),
  { images: { failed: 2 ** 40 }, failures: [] },
  { kept: -1, deleted: 0.5, bytes: 2 ** 70 },
  {
    images: { failed: 1 },
    failures: [{ repository: "r".repeat(9_000), sourceTag: "t".repeat(9_000), reason: "R".repeat(9_000), message: "m".repeat(99_000) }],
  },
  { plan: "p".repeat(9_000), blocked: { reason: "R".repeat(9_000), message: "m".repeat(99_000) } },
];

test.each(["TagPolicy", "RetentionPolicy"] as const)("%s: whatever a run says of itself, the status is of that form", (kind) => {
  const schema = schemaOf(kind).properties?.["status"] ?? {};
  for (const result of foreign) {
    const status = statusOf(kind, ran(result, false));
    expect([result, ...prepare(schema, status, ["status"]).unknownFields, ...schemaProblems(schema, status, ["status"])]).toEqual([result]);
  }
});

test("every field of the definitions' status is reported in some outcome", () => {
  for (const kind of ["Upstream", "TagPolicy", "RetentionPolicy", "AccessPolicy"] as const) {
    const fields = Object.keys(schemaOf(kind).properties?.["status"]?.properties ?? {});
    const reported = new Set(outcomes.filter(([of]) => of === kind).flatMap(([, , world]) => Object.keys(statusOf(kind, world))));
    // Of the commit there is none here: the record is empty.
    expect([kind, fields.filter((field) => field !== "revision" && !reported.has(field))]).toEqual([kind, []]);
  }
});

describe("what they say", () => {
  const conditions = (status: Record<string, unknown>) =>
    (status["conditions"] as { type: string; status: string; reason: string }[]).map(({ type, status, reason }) => [type, status, reason]);

  test("RetentionPolicy stopped by a limit: what was planned and what was done stand apart, the plan waits, the reason is the limit", () => {
    const status = statusOf("RetentionPolicy", stopped("LimitExceeded"));
    expect(status).toMatchObject({
      waitingPlan: "p1",
      lastRun: {
        id: "b0b0b0b0-0000-4000-8000-000000000000",
        plan: "p1",
        state: "failed",
        kept: 1,
        planned: 12,
        deleted: 0,
        plannedBytes: 7,
        bytes: 0,
      },
    });
    expect(conditions(status)).toContainEqual(["Pruned", "False", "LimitExceeded"]);
  });

  test.each<[string, Record<string, unknown>]>([
    ["suspended", { suspend: true }],
    ["not valid", { timeZone: 7 }],
  ])("policies that are %s: what was said of their runs and of what is served stays", (_, spec) => {
    const runs = { ...ran({ images: { total: 1, failed: 1 }, minted: [], failures: failures.slice(0, 1) }), recorded: specs.TagPolicy };
    const [good, not] = [statusOf("TagPolicy", runs), statusOf("TagPolicy", { ...runs, spec })];
    const shared = ["lastRun", "nextRun", "lastHandledReconcileAt", "images", "tags", "failures"];
    expect(shared.map((field) => not[field])).toEqual(shared.map((field) => good[field]));
    const waits = stopped("LimitExceeded");
    expect(statusOf("RetentionPolicy", { ...waits, recorded: specs.RetentionPolicy, spec })).toMatchObject({
      waitingPlan: "p1",
      lastRun: { planned: 12 },
    });
    // By a process that has no run of them, and of what never was recorded.
    expect(statusOf("TagPolicy", { spec, handledRequest: "before" })).toMatchObject({ lastHandledReconcileAt: "before" });
  });

  test("what is not looked at keeps the request that was handled last, and has no runs of a policy of its name", () => {
    const spec = { suspend: true };
    expect(statusOf("Upstream", { ...ran({}), spec, handledRequest: "before" })).not.toHaveProperty("lastRun");
    expect(statusOf("Upstream", { ...ran({}), spec, handledRequest: "before" })).toMatchObject({ lastHandledReconcileAt: "before" });
    expect(statusOf("Upstream", { handledRequest: "before" })).toMatchObject({ lastHandledReconcileAt: "2026-11-21T10:00:00Z" });
  });

  test("RetentionPolicy: silent clusters are a condition of their own", () => {
    expect(conditions(statusOf("RetentionPolicy", stopped("WorkloadsUnknown")))).toContainEqual([
      "WorkloadsUnknown",
      "True",
      "WorkloadsUnknown",
    ]);
    // What the registry says names the cluster (src/domain/retention/in-use.ts): nothing else of it is said here.
    const named = { ...counts, blocked: { reason: "WorkloadsUnknown", message: "cluster prod has never reported" } };
    expect(statusOf("RetentionPolicy", ran(named, false))["conditions"]).toContainEqual(
      expect.objectContaining({ type: "WorkloadsUnknown", message: "cluster prod has never reported" }),
    );
    // A plan that would be stopped says it too, and one that is not says nothing.
    expect(conditions(statusOf("RetentionPolicy", { ...ran(named), spec: { action: "Plan" } })).map(([type]) => type)).toContain(
      "WorkloadsUnknown",
    );
    expect(conditions(statusOf("RetentionPolicy", applied)).map(([type]) => type)).not.toContain("WorkloadsUnknown");
  });

  test("Upstream whose limit is used up says until when", () => {
    expect(conditions(statusOf("Upstream", { upstream: view }))).toContainEqual(["RateLimited", "True", "LimitReached"]);
    expect(JSON.stringify(statusOf("Upstream", { upstream: view }))).toContain(`until ${time}`);
    const well = { ...view, rateLimit: { limit: 100, remaining: 1 } };
    expect(conditions(statusOf("Upstream", { upstream: well })).map(([type]) => type)).not.toContain("RateLimited");
  });

  test("what the registry said of an Upstream's spec before this one is not said of this one", () => {
    const before = { ...view, generation: 2, credentialsLoaded: true };
    const auth = { ...(specs.Upstream as object), auth: { secretRef: { name: "new" } } };
    const own = statusOf("Upstream", { upstream: before, spec: auth })["conditions"];
    expect(own).toContainEqual(expect.objectContaining({ type: "Reachable", observedGeneration: 2 }));
    expect(own).toContainEqual(expect.objectContaining({ type: "Ready", observedGeneration: 3 }));
    expect(statusOf("Upstream", { upstream: view })["conditions"]).toContainEqual(
      expect.objectContaining({ type: "Reachable", observedGeneration: 3 }),
    );
  });

  test("AccessPolicy names its subjects, as many as there is room for", () => {
    expect(statusOf("AccessPolicy", {})["subjects"]).toMatch(/^Anonymous, User user-0, User user-1, .*…$/);
  });
});

test("of resources that are looked at again only what has changed is judged again", () => {
  const verdicts = new Verdicts();
  const observe = (name: string, url: string): ObservedResource => ({
    kind: "Upstream",
    namespace: "default",
    name,
    generation: 1,
    annotations: {},
    spec: { url, prefix: name },
    source: undefined,
    lineOf: () => undefined,
  });
  const specsOf = (...resources: readonly ObservedResource[]) =>
    judge(resources, {
      files: new Map(),
      inOrder: [],
      grants: { administrators: "default", tenants: [] },
      verdicts,
    }).map((judgement) => (judgement.state === "good" ? judgement.desired.spec : judgement.state));
  const [one, two] = specsOf(observe("one", "https://example.org"), observe("two", "https://example.org"));
  const [again, changed] = specsOf(observe("one", "https://example.org"), observe("two", "https://example.net"));
  expect(again).toBe(one);
  expect(changed).toEqual({ ...(two as object), url: "https://example.net" });
});
