// Runs of policies: on their schedule in their time zone, on request, one at a time a policy (design: operator, "Jobs").

import { Cron } from "croner";

import type { ResourceKey } from "../domain/resource.ts";
import type { JobKind, JobOutcome, JobRunner } from "./ports.ts";

export interface ScheduledPolicy {
  readonly key: ResourceKey;
  /** Commit that last changed what the policy says. */
  readonly revision: string;
  /** When that was, RFC 3339. */
  readonly recordedAt?: string;
  readonly schedule: string;
  readonly timeZone: string;
  /** Value of the annotation that asks for a run now. */
  readonly requestedAt: string | undefined;
  /** Value of the annotation that approves one stopped plan. */
  readonly approve?: string;
}

export interface LastRun extends JobOutcome {
  readonly startedAt?: string;
  readonly finishedAt: string;
}

export interface RunState {
  readonly last?: LastRun;
  /** prune: the plan that a limit stopped, until it is applied or replaced. */
  readonly waitingPlan?: string | undefined;
  /** When the run that is under way began. */
  readonly running?: string;
  readonly next?: string;
  readonly lastHandledReconcileAt?: string;
}

interface Entry {
  readonly policy: ScheduledPolicy;
  readonly cron: Cron;
}

export interface SchedulesOptions {
  readonly jobs: JobRunner;
  /** A run began or ended. */
  readonly changed: (kind: JobKind, key: ResourceKey, outcome: JobOutcome | undefined) => void;
  readonly maxConcurrent?: number;
}

const defaultMaxConcurrent = 4;
/** Runs of which it is remembered that they were heard: from the registry and from our own job, in either order. */
const maxHeard = 1_000;
/** How far the registry's clock may be behind, milliseconds: schedules have minutes. */
const clockLeeway = 60_000;

export class Schedules {
  readonly #options: SchedulesOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #states = new Map<string, RunState>();
  readonly #running = new Map<string, Promise<JobOutcome>>();
  readonly #abort = new AbortController();
  readonly #queue: (() => void)[] = [];
  readonly #heard = new Set<string>();
  /** Retention policies that the process found when it started, until what they missed is caught up. */
  #found: readonly ScheduledPolicy[] | undefined;
  #remembers = false;
  #caughtUp = false;
  #busy = 0;

  constructor(options: SchedulesOptions) {
    this.#options = options;
  }

  stateOf(kind: JobKind, key: ResourceKey): RunState | undefined {
    const id = idOf(kind, key);
    const next = this.#entries.get(id)?.cron.nextRun()?.toISOString();
    const state = this.#states.get(id);
    return state === undefined && next === undefined ? undefined : { ...state, ...(next === undefined ? {} : { next }) };
  }

  /**
   * Takes over the policies that are recorded and not suspended. A tag policy that is new or has changed runs at once: its versions are what a person waits for,
   * and a start after an outage is the one run that catches up. A retention policy waits for its hour, unless it missed that during an outage.
   */
  update(kind: JobKind, policies: readonly ScheduledPolicy[]): void {
    const wanted = new Set(policies.map(({ key }) => idOf(kind, key)));
    for (const [id, { cron }] of this.#entries) {
      if (!id.startsWith(`${kind} `) || wanted.has(id)) continue;
      cron.stop();
      this.#entries.delete(id);
    }
    for (const policy of policies) this.#take(kind, policy);
    if (kind !== "prune" || this.#found !== undefined) return;
    this.#found = policies;
    this.#catchUp();
  }

  /** A run has ended, the registry says, and which plan waits; they come in the order of their ends. Answers whether it is news. */
  hear(kind: JobKind, key: ResourceKey, last: LastRun, waitingPlan?: string): boolean {
    const id = idOf(kind, key);
    this.#note(id, { waitingPlan });
    if (this.#states.get(id)?.last?.run !== last.run) this.#note(id, { last });
    return this.#isNews(last.run);
  }

  /** The last run of every policy was heard: what was missed since then is caught up, once. */
  remember(): void {
    this.#remembers = true;
    this.#catchUp();
  }

  /** Runs now, or joins the run that is under way. `approve`: the plan that a person has just approved. */
  run(kind: JobKind, key: ResourceKey, trigger: "schedule" | "manual", approve?: string): Promise<JobOutcome> {
    const id = idOf(kind, key);
    const known = this.#running.get(id);
    if (known !== undefined) return known;
    const run = this.#run(kind, key, trigger, approve);
    this.#running.set(id, run);
    return run;
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    for (const { cron } of this.#entries.values()) cron.stop();
    for (const start of this.#queue.splice(0)) start();
    await Promise.allSettled(this.#running.values());
  }

  #take(kind: JobKind, policy: ScheduledPolicy): void {
    const id = idOf(kind, policy.key);
    const before = this.#entries.get(id)?.policy;
    const sameTimes = before?.schedule === policy.schedule && before.timeZone === policy.timeZone;
    if (!sameTimes) this.#entries.get(id)?.cron.stop();
    const cron = sameTimes ? this.#entries.get(id)?.cron : undefined;
    this.#entries.set(id, { policy, cron: cron ?? this.#cron(kind, policy) });
    const requested = policy.requestedAt !== undefined && before !== undefined && before.requestedAt !== policy.requestedAt;
    if (policy.requestedAt !== undefined && (requested || before === undefined))
      this.#note(id, { lastHandledReconcileAt: policy.requestedAt });
    const approved = policy.approve !== undefined && before !== undefined && before.approve !== policy.approve;
    const fresh = kind === "tag-sync" && before?.revision !== policy.revision;
    if (requested || approved || fresh)
      void this.run(kind, policy.key, fresh ? "schedule" : "manual", approved ? policy.approve : undefined);
  }

  #catchUp(): void {
    if (!this.#remembers || this.#found === undefined || this.#caughtUp) return;
    this.#caughtUp = true;
    for (const { key } of this.#found) {
      const id = idOf("prune", key);
      const entry = this.#entries.get(id);
      if (entry !== undefined && missedRun(entry, this.#states.get(id)?.last)) void this.run("prune", key, "schedule");
    }
  }

  #isNews(run: string): boolean {
    // A run that could not even be registered has no id.
    if (run === "") return true;
    const news = !this.#heard.has(run);
    this.#heard.add(run);
    const [oldest] = this.#heard;
    if (this.#heard.size > maxHeard && oldest !== undefined) this.#heard.delete(oldest);
    return news;
  }

  #cron(kind: JobKind, { key, schedule, timeZone }: ScheduledPolicy): Cron {
    return new Cron(schedule, { timezone: timeZone, unref: true, protect: true, catch: true }, () => {
      void this.run(kind, key, "schedule");
    });
  }

  async #run(kind: JobKind, key: ResourceKey, trigger: "schedule" | "manual", asked: string | undefined): Promise<JobOutcome> {
    const id = idOf(kind, key);
    await this.#turn();
    let ended: JobOutcome | undefined;
    try {
      const startedAt = new Date().toISOString();
      this.#note(id, { running: startedAt });
      this.#options.changed(kind, key, undefined);
      const approve = asked ?? this.#approved(id);
      const request = { kind, policy: `${key.namespace}/${key.name}`, trigger, ...(approve === undefined ? {} : { approve }) };
      const outcome = await this.#options.jobs.run(request, this.#abort.signal);
      if (this.#isNews(outcome.run)) {
        ended = outcome;
        const { run, succeeded, message, result } = outcome;
        this.#note(id, { last: { run, succeeded, message, result, startedAt, finishedAt: new Date().toISOString() } });
      }
      return outcome;
    } finally {
      this.#running.delete(id);
      const { running: _, ...rest } = this.#states.get(id) ?? {};
      this.#states.set(id, rest);
      this.#busy--;
      this.#queue.shift()?.();
      this.#options.changed(kind, key, ended);
    }
  }

  /** An approval is for one plan: once that is applied or replaced, runs plan again, be the annotation still there. */
  #approved(id: string): string | undefined {
    const approve = this.#entries.get(id)?.policy.approve;
    return approve === this.#states.get(id)?.waitingPlan ? approve : undefined;
  }

  async #turn(): Promise<void> {
    if (this.#busy >= (this.#options.maxConcurrent ?? defaultMaxConcurrent))
      await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#busy++;
  }

  #note(id: string, state: RunState): void {
    this.#states.set(id, { ...this.#states.get(id), ...state });
  }
}

/**
 * Whether a time of the schedule has passed since the policy ran last, by whomever. Times before the policy said what it says now do not count,
 * and a policy that never ran waits for its hour: it deletes.
 */
function missedRun({ policy, cron }: Entry, last: LastRun | undefined): boolean {
  if (last === undefined) return false;
  const since = Math.max(Date.parse(last.finishedAt) + clockLeeway, Date.parse(policy.recordedAt ?? "") || 0);
  const next = cron.nextRun(new Date(since));
  return next !== null && next.getTime() <= Date.now();
}

function idOf(kind: JobKind, key: ResourceKey): string {
  return `${kind} ${key.namespace}/${key.name}`;
}
