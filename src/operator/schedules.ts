// Runs of policies: on their schedule in their time zone, on request, one at a time a policy (design: operator, "Jobs").

import type { ResourceKey } from "../domain/resource.ts";
import { policyOf, RunHalted, type JobKind, type JobOutcome, type JobRunner } from "./ports.ts";
import { slotOf } from "./slots.ts";
import { Timetable, type ScheduledPolicy } from "./timetable.ts";

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

interface UnderWay {
  readonly key: ResourceKey;
  readonly outcome: Promise<JobOutcome | undefined>;
  readonly abort: AbortController;
}

interface Waiting {
  readonly namespace: string;
  readonly start: () => void;
}

/** Why somebody wants a run. */
export interface Wanted {
  readonly trigger: "schedule" | "manual";
  readonly slot: string;
  /** The plan that a person has just approved. */
  readonly approve?: string;
  /** A job that goes on: when it began. */
  readonly startedAt?: string;
}

export interface SchedulesOptions {
  readonly jobs: JobRunner;
  /** A run began or ended. */
  readonly changed: (kind: JobKind, key: ResourceKey, outcome: JobOutcome | undefined) => void;
  /** Jobs at once. */
  readonly maxConcurrent: number;
}

/** Runs of which it is remembered that they were heard: from the registry and from our own job, in either order. */
const maxHeard = 1_000;

export class Schedules {
  readonly #options: SchedulesOptions;
  readonly #timetable: Timetable;
  readonly #states = new Map<string, RunState>();
  readonly #running = new Map<string, UnderWay>();
  readonly #stopped = new AbortController();
  /** Who waits for a place among those that may run at once. */
  readonly #queue: Waiting[] = [];
  /** By namespace: places that it has taken, and when it got the last one, counted. */
  readonly #shares = new Map<string, { readonly places: number; readonly turn: number }>();
  #turns = 0;
  readonly #heard = new Set<string>();
  /** Policies that the process found when it started, until what they missed is caught up. */
  readonly #found = new Map<JobKind, readonly ScheduledPolicy[]>();
  #remembers = false;
  #caughtUp: Promise<void> | undefined;
  #busy = 0;

  constructor(options: SchedulesOptions) {
    this.#options = options;
    this.#timetable = new Timetable((kind, key, slot) => void this.run(kind, key, { trigger: "schedule", slot }));
  }

  stateOf(kind: JobKind, key: ResourceKey): RunState | undefined {
    const id = idOf(kind, key);
    const next = this.#timetable.nextStart(id)?.toISOString();
    const state = this.#states.get(id);
    return state === undefined && next === undefined ? undefined : { ...state, ...(next === undefined ? {} : { next }) };
  }

  /**
   * Takes over the policies that are recorded and not suspended. A tag policy that is new or has changed runs at once: its versions are what a
   * person waits for. A retention policy waits for its hour. What the process finds when it starts runs if it missed something: once, and a tag
   * policy also when it changed meanwhile.
   */
  update(kind: JobKind, policies: readonly ScheduledPolicy[]): void {
    this.#timetable.keep(kind, new Set(policies.map(({ key }) => idOf(kind, key))));
    const starting = !this.#found.has(kind);
    if (starting) this.#found.set(kind, policies);
    for (const policy of policies) this.#take(kind, policy, { starting });
    if (starting) this.#catchUp();
  }

  /** Ends runs of policies that must not go on. `why`: a sentence; undefined for those that may. */
  halt(why: (key: ResourceKey) => string | undefined): void {
    for (const { key, abort } of this.#running.values()) {
      const sentence = why(key);
      if (sentence !== undefined) abort.abort(new RunHalted(sentence));
    }
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

  /** Runs now, or joins the run that is under way. */
  run(kind: JobKind, key: ResourceKey, wanted: Wanted): Promise<JobOutcome | undefined> {
    const id = idOf(kind, key);
    const known = this.#running.get(id);
    if (known !== undefined) return known.outcome;
    const abort = new AbortController();
    const outcome = this.#run(kind, key, wanted, AbortSignal.any([abort.signal, this.#stopped.signal]));
    this.#running.set(id, { key, outcome, abort });
    return outcome;
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#timetable.stop();
    for (const waiting of this.#queue.splice(0)) this.#hand(waiting);
    await Promise.allSettled([this.#caughtUp, ...[...this.#running.values()].map(({ outcome }) => outcome)]);
  }

  #take(kind: JobKind, policy: ScheduledPolicy, { starting }: { readonly starting: boolean }): void {
    const id = idOf(kind, policy.key);
    const before = this.#timetable.policy(id);
    this.#timetable.set(id, kind, policy);
    const { requestedAt, approve, revision, generation } = policy;
    const requested = requestedAt !== undefined && before !== undefined && before.requestedAt !== requestedAt;
    if (requestedAt !== undefined && (requested || before === undefined)) this.#note(id, { lastHandledReconcileAt: requestedAt });
    const fresh = kind === "tag-sync" && before?.revision !== revision && !starting;
    if (fresh) void this.run(kind, policy.key, { trigger: "schedule", slot: slotOf.change(revision, generation) });
    else if (approve !== undefined && before !== undefined && before.approve !== approve)
      void this.run(kind, policy.key, { trigger: "manual", slot: slotOf.approval(approve), approve });
    else if (requested) void this.run(kind, policy.key, { trigger: "manual", slot: slotOf.request(requestedAt) });
  }

  #catchUp(): void {
    if (!this.#remembers || !this.#found.has("tag-sync") || !this.#found.has("prune")) return;
    this.#caughtUp ??= this.#begin();
  }

  /** First what goes on by itself: it counts among those that may run at once. */
  async #begin(): Promise<void> {
    const unfinished = (await this.#options.jobs.unfinished?.()) ?? [];
    if (this.#stopped.signal.aborted) return;
    for (const { job, startedAt } of unfinished) {
      void this.run(job.kind, policyOf(job), { ...job, startedAt });
    }
    for (const [kind, policies] of this.#found) {
      for (const { key } of policies) {
        const id = idOf(kind, key);
        const slot = this.#timetable.missed(id, kind, this.#states.get(id)?.last);
        if (slot !== undefined) void this.run(kind, key, { trigger: "schedule", slot });
      }
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

  async #run(kind: JobKind, key: ResourceKey, wanted: Wanted, signal: AbortSignal): Promise<JobOutcome | undefined> {
    const id = idOf(kind, key);
    await this.#turn(key.namespace);
    let ended: JobOutcome | undefined;
    try {
      // Halted while it waited for its turn.
      if (signal.aborted) return undefined;
      const { trigger, slot, startedAt = new Date().toISOString() } = wanted;
      this.#note(id, { running: startedAt });
      this.#options.changed(kind, key, undefined);
      const approve = wanted.approve ?? this.#approved(id);
      const job = { kind, policy: `${key.namespace}/${key.name}`, trigger, slot, ...(approve === undefined ? {} : { approve }) };
      const outcome = await this.#options.jobs.run(job, signal);
      if (outcome === undefined) return undefined;
      const { run, succeeded, message, result } = outcome;
      if (this.#isNews(run)) ended = outcome;
      // Of a job that was ended the runner knows why, its process only that.
      if (ended !== undefined || this.#states.get(id)?.last?.run === run)
        this.#note(id, { last: { run, succeeded, message, result, startedAt, finishedAt: new Date().toISOString() } });
      return outcome;
    } finally {
      this.#running.delete(id);
      const { running: _, ...rest } = this.#states.get(id) ?? {};
      this.#states.set(id, rest);
      this.#free(key.namespace);
      this.#options.changed(kind, key, ended);
    }
  }

  /** An approval is for one plan: once that is applied or replaced, runs plan again, be the annotation still there. */
  #approved(id: string): string | undefined {
    const approve = this.#timetable.policy(id)?.approve;
    return approve === this.#states.get(id)?.waitingPlan ? approve : undefined;
  }

  async #turn(namespace: string): Promise<void> {
    if (this.#busy < this.#options.maxConcurrent) this.#occupy(namespace, 1);
    else await new Promise<void>((start) => this.#queue.push({ namespace, start }));
  }

  /** Next is the namespace that has the fewest, and of those whose turn is longest ago: a thousand policies of one do not keep those of another waiting. */
  #free(namespace: string): void {
    this.#occupy(namespace, -1);
    const [next] = this.#queue.toSorted((a, b) => {
      const [left, right] = [this.#shareOf(a.namespace), this.#shareOf(b.namespace)];
      return left.places - right.places || left.turn - right.turn;
    });
    if (next === undefined) return;
    this.#queue.splice(this.#queue.indexOf(next), 1);
    this.#hand(next);
  }

  #hand({ namespace, start }: Waiting): void {
    this.#occupy(namespace, 1);
    start();
  }

  #occupy(namespace: string, places: 1 | -1): void {
    const share = this.#shareOf(namespace);
    this.#busy += places;
    this.#shares.set(namespace, { places: share.places + places, turn: places === 1 ? ++this.#turns : share.turn });
  }

  #shareOf(namespace: string): { readonly places: number; readonly turn: number } {
    return this.#shares.get(namespace) ?? { places: 0, turn: 0 };
  }

  #note(id: string, state: RunState): void {
    this.#states.set(id, { ...this.#states.get(id), ...state });
  }
}

function idOf(kind: JobKind, key: ResourceKey): string {
  return `${kind} ${key.namespace}/${key.name}`;
}
