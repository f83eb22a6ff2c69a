// One skeleton for every kind, always in this order: suspend? → validate → grant → what is built → conflicts → record → publish → status.
// `judge` is the part before Git, `report` the part after the registry's answer; what lies between (operator/rounds/round.ts) does all resources in one commit run.

import { conditionTypes, reasons } from "../../api/conditions.ts";
import { keyString, type ResourceKey } from "../../domain/resource.ts";
import type { RecordedFile } from "../../record/record-view.ts";
import type { FileProblem } from "../../record/yaml-file.ts";
import { personOf } from "../../record/ledger-decisions.ts";
import { findConflicts, type Conflict } from "../../validation/conflicts.ts";
import { notImplemented } from "../../validation/not-implemented.ts";
import type { Verdicts } from "../../validation/verdicts.ts";
import { crowdedMessage, findCrowded } from "../rounds/crowding.ts";
import { refuseGrant, type Grants } from "../rounds/grants.ts";
import type { ObservedResource } from "../ports.ts";
import { judged } from "../rounds/published-resources.ts";
import type { DesiredResource, Override, RecordDecision } from "../rounds/record-decision.ts";
import type { ConditionDraft, Status } from "../status-store.ts";

export interface Finding {
  readonly reason: string;
  readonly message: string;
}

/** About one field of the resource: the report puts its place in the source before the message. */
export interface Placed {
  /** `spec.auth.secretRef.name` */
  readonly path?: string;
  readonly message: string;
}

/** What is known of a resource before Git is asked. */
export type Judgement = { readonly key: ResourceKey; readonly observed: ObservedResource } & (
  | { readonly state: "suspended" }
  /** A person has to change something. */
  | ({ readonly state: "stalled" } & Finding)
  /** Goes on by itself when something else changes. */
  | ({ readonly state: "blocked"; readonly desired: DesiredResource } & Finding)
  | { readonly state: "good"; readonly desired: DesiredResource; readonly notes: readonly Finding[] }
);

export interface JudgeOptions {
  /** What Git holds, whose owners come first. */
  readonly files: ReadonlyMap<string, RecordedFile>;
  readonly inOrder: readonly RecordedFile[];
  readonly grants: Grants;
  /** Of the rounds before. */
  readonly verdicts: Verdicts;
}

/** Judges every resource. */
export function judge(resources: readonly ObservedResource[], options: JudgeOptions): readonly Judgement[] {
  const alone = resources.map((observed) => judgeAlone(observed, options.files.get(keyString(observed)), options));
  options.verdicts.keep(resources);
  const oldestFirst = candidates(alone, options.inOrder);
  const conflicts = Map.groupBy(findConflicts(oldestFirst), ({ resource }) => keyString(resource));
  const crowded = findCrowded(oldestFirst, options.grants);
  return alone.map((judgement) => {
    const { key, observed } = judgement;
    const id = keyString(key);
    if (judgement.state !== "good" || !crowded.has(id)) return judgeBeside(judgement, conflicts.get(id) ?? []);
    return { key, observed, state: "stalled", reason: reasons.notGranted, message: crowdedMessage };
  });
}

function judgeAlone(
  observed: ObservedResource,
  file: RecordedFile | undefined,
  { grants, verdicts }: Pick<JudgeOptions, "grants" | "verdicts">,
): Judgement {
  const { kind, namespace, name } = observed;
  const key: ResourceKey = { kind, namespace, name };
  const base = { key, observed };
  const stalled = (reason: string, message: string): Judgement => ({ ...base, state: "stalled", reason, message });

  if (isSuspended(observed.spec)) return { ...base, state: "suspended" };
  const verdict = verdicts.of({ ...key, spec: observed.spec }, { previous: file?.spec });
  if (verdict.problems !== undefined) {
    return stalled(reasons.invalid, verdict.problems.map(({ path, message }) => `${lineOf(observed, path)}${path} ${message}`).join("; "));
  }
  const { spec } = verdict;
  const refusal = refuseGrant(grants, key, spec);
  if (refusal !== undefined) return stalled(reasons.notGranted, placed(observed, refusal));
  const readiness = notImplemented(kind, spec);
  const [missing] = readiness.stalled;
  if (missing !== undefined) return stalled(reasons.notImplemented, placed(observed, missing));
  const notes = readiness.notes.map((note) => ({ reason: reasons.notImplemented, message: placed(observed, note) }));
  const { generation, namespaceUid } = observed;
  return { ...base, state: "good", desired: { key, generation, spec, specDigest: verdicts.specDigest(kind, spec), namespaceUid }, notes };
}

/** What is in Git in Git's order, with what is wanted in its place; then what is new. */
function candidates(alone: readonly Judgement[], inOrder: readonly RecordedFile[]) {
  const wanted = new Map(
    alone.flatMap((judgement) => (judgement.state === "good" ? [[keyString(judgement.key), judgement.desired] as const] : [])),
  );
  const known = inOrder.map((file) => wanted.get(keyString(file.key)) ?? file);
  const old = new Set(inOrder.map(({ key }) => keyString(key)));
  const added = [...wanted.entries()].filter(([id]) => !old.has(id)).sort(([a], [b]) => (a < b ? -1 : 1));
  return [...known, ...added.map(([, desired]) => desired)].map(judged);
}

function judgeBeside(judgement: Judgement, conflicts: readonly Conflict[]): Judgement {
  if (judgement.state !== "good" || conflicts.length === 0) return judgement;
  const { key, observed, desired } = judgement;
  const message = conflicts.map((conflict) => placed(observed, conflict)).join("; ");
  const reason = conflicts[0]?.reason ?? reasons.invalid;
  if (reason === reasons.dependencyNotReady) return { key, observed, state: "blocked", desired, reason, message };
  if (key.kind === "Upstream") return { key, observed, state: "stalled", reason, message };
  // Of a policy only some images belong to another: the rest of it works.
  return { ...judgement, notes: [...judgement.notes, { reason, message }] };
}

/** How a resource came through Git and the registry. */
export interface Passage {
  readonly decision: RecordDecision | undefined;
  readonly file: RecordedFile | undefined;
  readonly recordedGeneration: number | undefined;
  /** Why it could not be committed. */
  readonly notRecorded: Finding | undefined;
  /** Why the registry does not serve it, or not yet. */
  readonly notPublished: (Finding & { readonly final: boolean }) | undefined;
}

/** What a kind adds to the shared conditions. */
export interface OwnReport {
  /** Makes Ready false although the record is served: credentials that are missing. */
  readonly notReady?: Finding & Placed;
  /** Worth a word where people look first, in the message of Ready. */
  readonly notes?: readonly Placed[];
  readonly conditions: readonly (ConditionDraft & Placed)[];
  readonly details: Readonly<Record<string, unknown>>;
}

export function report(judgement: Judgement, passage: Passage, own: OwnReport): Status {
  const { key, observed } = judgement;
  const conditions = own.conditions.map(({ path, ...draft }) => ({ ...draft, message: placed(observed, { ...draft, path }) }));
  const recorded = passage.recordedGeneration ?? 0;
  const generation = observed.generation ?? passage.decision?.generation ?? (judgement.state === "suspended" ? recorded : recorded + 1);
  return {
    key,
    generation,
    source: observed.source,
    spec: judgement.state === "good" || judgement.state === "blocked" ? judgement.desired.spec : observed.spec,
    recordedGeneration: passage.recordedGeneration,
    revision: passage.file?.revision.id,
    conditions: [...sharedConditions(judgement, passage, own), ...conditions],
    details: own.details,
  };
}

function sharedConditions(judgement: Judgement, passage: Passage, own: OwnReport): ConditionDraft[] {
  const verdict = readyOf(judgement, passage, own);
  const stalled = judgement.state === "stalled" || passage.notPublished?.final === true;
  const conditions: ConditionDraft[] = [{ type: conditionTypes.ready, ...verdict }, recordedOf(judgement, passage)];
  if (stalled) conditions.push({ ...verdict, type: conditionTypes.stalled, status: "True" });
  else if (verdict.status !== "True" && judgement.state === "good" && (passage.notRecorded ?? passage.notPublished) !== undefined) {
    conditions.push({ type: conditionTypes.reconciling, status: "True", reason: reasons.progressing, message: verdict.message });
  }
  const override = overrideOf(passage);
  if (override !== undefined) {
    conditions.push({ type: conditionTypes.overridden, status: "True", reason: reasons.overridden, message: describeOverride(override) });
  }
  return conditions;
}

function readyOf(judgement: Judgement, passage: Passage, own: OwnReport): Omit<ConditionDraft, "type"> {
  const not = ({ reason, message }: Finding): Omit<ConditionDraft, "type"> => ({ status: "False", reason, message });
  if (judgement.state === "suspended") {
    const message = "spec.suspend is true: changes are not taken over; what was recorded is served";
    return { status: passage.file === undefined ? "False" : "True", reason: reasons.suspended, message };
  }
  if (judgement.state !== "good") return not(judgement);
  if (passage.notRecorded !== undefined) return not(passage.notRecorded);
  if (passage.file?.problem !== undefined) return not({ reason: reasons.invalidRecord, message: describeProblem(passage.file) });
  if (passage.notPublished !== undefined) return not(passage.notPublished);
  if (own.notReady !== undefined) return not({ ...own.notReady, message: placed(judgement.observed, own.notReady) });
  const override = overrideOf(passage);
  const remarks = [
    ...(own.notes ?? []).map((note) => placed(judgement.observed, note)),
    ...(passage.file?.warnings ?? []).map(describeLine),
  ];
  if (override !== undefined) {
    return { status: "True", reason: reasons.overridden, message: [describeOverride(override), ...remarks].join("; ") };
  }
  const conflict = judgement.notes.find(({ reason }) => reason !== reasons.notImplemented);
  if (conflict !== undefined) return not(conflict);
  const served = `served as of ${passage.file?.revision.id.slice(0, 10) ?? "HEAD"}`;
  return {
    status: "True",
    reason: reasons.succeeded,
    message: [served, ...judgement.notes.map(({ message }) => message), ...remarks].join("; "),
  };
}

function recordedOf(judgement: Judgement, passage: Passage): ConditionDraft {
  const type = conditionTypes.recorded;
  if (passage.notRecorded !== undefined) return { type, status: "False", ...passage.notRecorded };
  if (passage.file?.problem !== undefined) {
    return { type, status: "False", reason: reasons.invalidRecord, message: describeProblem(passage.file) };
  }
  if (judgement.state === "good") {
    const recorded = `generation ${passage.recordedGeneration ?? 0} is recorded`;
    const message = [recorded, ...(passage.file?.warnings ?? []).map(describeLine)].join("; ");
    return { type, status: "True", reason: reasons.succeeded, message };
  }
  const message =
    passage.file === undefined
      ? "nothing is recorded"
      : `generation ${passage.recordedGeneration ?? 0} is recorded and served; this one is not`;
  return { type, status: "False", reason: judgement.state === "suspended" ? reasons.suspended : reasons.notRecorded, message };
}

function overrideOf(passage: Passage): Override | undefined {
  return passage.decision?.action === "keep" ? passage.decision.override : undefined;
}

function describeOverride({ commit, removed }: Override): string {
  const what = removed ? "removed from the record" : "changed in the record";
  return `${what} by ${personOf(commit)} in ${commit.id.slice(0, 10)} on ${commit.date} ("${commit.subject}"); revert that commit to end it`;
}

function describeProblem(file: RecordedFile): string {
  const problem = file.problem ?? { path: file.path, line: undefined, message: "is not valid" };
  const served = file.spec === undefined ? "nothing is served" : "served as of the last commit in which it was valid";
  return `${describeLine(problem)}; ${served}`;
}

function describeLine({ path, line, message }: FileProblem): string {
  return `${path}${line === undefined ? "" : `:${line}`}: ${message}`;
}

export function isSuspended(spec: unknown): boolean {
  return typeof spec === "object" && spec !== null && (spec as { suspend?: unknown }).suspend === true;
}

/** `upstreams.yaml:12: spec.prefix: what is wrong`, as `wharfinger validate` has it. */
function placed(observed: ObservedResource, { path, message }: { readonly path?: string | undefined; readonly message: string }): string {
  return path === undefined ? message : `${lineOf(observed, path)}${path}: ${message}`;
}

function lineOf(observed: ObservedResource, path: string): string {
  const line = observed.lineOf(path);
  const file = observed.source?.replace(/:\d+$/, "");
  return file === undefined ? "" : `${line === undefined ? (observed.source ?? file) : `${file}:${line}`}: `;
}
