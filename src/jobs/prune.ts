// One run of a RetentionPolicy: plan, and with `action: Delete` apply what nothing stopped (design: retention.md). A client of the control API.

import { howToApprove } from "../api/approval.ts";
import type { ApplyResult, Plan, PlanEntry } from "../api/control/retention.ts";
import type { Run } from "../api/control/runs.ts";
import type { ControlClient } from "../client/control-client.ts";
import { reportRun, type RunEnd } from "./reported-run.ts";

export interface PruneOptions {
  readonly control: ControlClient;
  /** Id of a run that is registered. */
  readonly run: string;
  /** Id of a stopped plan that a person approved: exactly that one is applied, and nothing is planned. */
  readonly approve?: string;
  /** One line for a person, as it happens. */
  readonly progress?: (line: string) => void;
  readonly signal: AbortSignal;
  /** Longest wait for versions to be retired, milliseconds. */
  readonly publishWait?: number;
}

export interface PruneResult {
  /** Id of the plan; empty when none could be made. */
  readonly plan: string;
  /** Tags and untagged manifests. */
  readonly kept: number;
  /** What the plan of this run would delete; absent when there is none, also when it applied a plan that was made before. */
  readonly planned?: { readonly deleted: number; readonly bytes: number };
  /** What was deleted: nothing under `action: Plan`, and nothing when the plan was stopped. */
  readonly deleted: number;
  /** Bytes that came free. */
  readonly bytes: number;
  readonly blocked?: { readonly reason: string; readonly message: string };
  readonly retired: { readonly published: number; readonly refused: number; readonly waiting: number };
  /** What the registry answered to the apply: nothing under `action: Plan`, and nothing when the plan was stopped. */
  readonly applied?: ApplyResult;
}

/** Of a run that broke only what is known: an apply of which the answer is lost may have deleted much. */
export type PruneEnd = RunEnd<Partial<PruneResult>>;

const defaultPublishWait = 120_000;
const longestPoll = 30;
/** Entries in the result that the registry keeps of a run; the caller gets all of them. */
const maxReported = 1_000;

const nothing: PruneResult = { plan: "", kept: 0, deleted: 0, bytes: 0, retired: { published: 0, refused: 0, waiting: 0 } };

/** Runs to the end and reports it to the run. Rejects with ClientError only when the run cannot be read. */
export async function runPrune(options: PruneOptions): Promise<PruneEnd> {
  const { control, signal, progress = () => {} } = options;
  const run = await control.run(options.run);
  let step = "planning";
  let known: Partial<PruneResult> = nothing;
  const say = (line: string) => progress((step = line));
  return reportRun({
    control,
    run: run.id,
    signal,
    progress: () => ({ step }),
    work: (signal) => prune(run, { ...options, signal }, { say, know: (result) => (known = result) }),
    broken: () => known,
    reported: shortened,
  });
}

interface Telling {
  /** One line for a person. */
  readonly say: (line: string) => void;
  /** What the result is if nothing more can be said. */
  readonly know: (result: Partial<PruneResult>) => void;
}

async function prune(run: Run, options: PruneOptions, telling: Telling): Promise<PruneEnd> {
  const { control, approve, signal } = options;
  const { say } = telling;
  if (approve !== undefined) return applied(run, options, { id: approve, approve: true }, telling);
  say(`planning ${run.policy}`);
  const plan = await control.plan(run.policy);
  for (const note of plan.notes) say(note);
  for (const entry of plan.entries.filter(({ verdict }) => verdict === "delete")) say(`delete ${nameOf(entry)}: ${entry.reason}`);
  const { totals, blocked, action } = plan;
  const planned = { deleted: totals.deleted, bytes: totals.bytes };
  const result: PruneResult = { ...nothing, plan: plan.id, kept: totals.kept, planned, ...(blocked === undefined ? {} : { blocked }) };
  if (action === "Plan") {
    const stopped = blocked === undefined ? "" : `; it would be stopped: ${blocked.message}`;
    return { succeeded: true, message: `${summary("would delete", totals)}; action: Plan deletes nothing${stopped}`, result };
  }
  if (blocked !== undefined) return { succeeded: false, message: stoppedMessage(plan, blocked), result };
  if (totals.deleted === 0) return { succeeded: true, message: summary("deleted", totals), result };
  signal.throwIfAborted();
  return applied(run, options, { id: plan.id, kept: totals.kept, planned }, telling);
}

async function applied(
  run: Run,
  options: PruneOptions,
  plan: { readonly id: string; readonly approve?: boolean } & Pick<Partial<PruneResult>, "kept" | "planned">,
  { say, know }: Telling,
): Promise<PruneEnd> {
  say(`applying plan ${plan.id}`);
  const begun = { plan: plan.id, ...(plan.planned === undefined ? {} : { planned: plan.planned }) };
  know(begun);
  const answer = await options.control.apply(run.policy, {
    plan: plan.id,
    run: run.id,
    ...(plan.approve === true ? { approve: true } : {}),
  });
  for (const entry of answer.kept) say(`kept ${nameOf(entry)} after all: ${entry.reason}`);
  const totals = { kept: (plan.kept ?? 0) + answer.kept.length, deleted: answer.deleted.length, bytes: answer.bytes };
  know({ ...begun, ...totals, applied: answer });
  const retired = await settled(options, answer.proposals, say);
  const states = [
    ...(retired.published > 0 ? [`${retired.published} published`] : []),
    ...(retired.refused > 0 ? [`${retired.refused} refused`] : []),
    ...(retired.waiting > 0 ? [`${retired.waiting} still waiting to be committed`] : []),
  ];
  const message = `${summary("deleted", totals)}${states.length === 0 ? "" : `; proposals to retire versions: ${states.join(", ")}`}`;
  return { succeeded: true, message, result: { ...begun, ...totals, retired, applied: answer } };
}

/** Waits, not for ever, until Git has the retirements: a version goes with the publish. */
async function settled(
  { control, signal, publishWait = defaultPublishWait }: PruneOptions,
  proposals: readonly string[],
  say: (line: string) => void,
): Promise<PruneResult["retired"]> {
  const deadline = performance.now() + publishWait;
  const counts = { published: 0, refused: 0, waiting: 0 };
  if (proposals.length > 0) say(`waiting until proposals to retire versions are committed: ${proposals.join(", ")}`);
  for (const id of proposals) {
    for (;;) {
      const left = Math.ceil((deadline - performance.now()) / 1000);
      const { state, reason } = await control.proposal(id, { waitSeconds: Math.max(0, Math.min(left, longestPoll)), signal });
      if (state === "waiting" && left > 0) continue;
      counts[state]++;
      if (state === "refused") say(`proposal ${id} was refused: ${reason ?? "no reason was given"}`);
      break;
    }
  }
  return counts;
}

function summary(verb: string, { kept, deleted, bytes }: Plan["totals"]): string {
  return `${verb} ${deleted}, kept ${kept}, ${bytes} bytes`;
}

function stoppedMessage({ id, policy }: Plan, { reason, message }: NonNullable<Plan["blocked"]>): string {
  const how = reason === "LimitExceeded" ? `. To approve it, ${howToApprove({ id, policy })}.` : "";
  return `stopped, ${reason}: ${message}${how}`;
}

function nameOf({ repository, tag, digest }: PlanEntry): string {
  return tag === undefined ? `${repository}@${digest}` : `${repository}:${tag}`;
}

/** With at most `maxReported` entries of each kind. */
function shortened({ applied: answer, ...counts }: Partial<PruneResult>): object {
  if (answer === undefined) return counts;
  return { ...counts, applied: { ...answer, deleted: answer.deleted.slice(0, maxReported), kept: answer.kept.slice(0, maxReported) } };
}
