// Runs of policies: on their schedule in their time zone, when they change, on request; one at a time a policy (design: operator, "Jobs").

import type { ResourceKey } from "../../domain/resource.ts";
import { CredentialWaits } from "./credential-waits.ts";
import { policyOf, RunHalted, type JobKind, type JobOutcome, type JobRunner } from "../ports.ts";
import { RunStates, type LastRun, type RunState } from "./run-states.ts";
import { slotOf } from "./slots.ts";
import { Timetable, type ScheduledPolicy } from "./timetable.ts";
import { Turns } from "./turns.ts";

/** Of a run that ends with the process in which it runs. */
const stopped = "stopped: the process in which it ran was told to end; the next run comes by itself, at the next time of its schedule";

/** Why somebody wants a run. */
interface Wanted {
  readonly trigger: "schedule" | "manual";
  readonly slot: string;
  /** A run that is under way has begun too early for it. A time of the schedule does with that one. */
  readonly anew?: true;
  /** The plan that a person has just approved. */
  readonly approve?: string;
  /** A job that goes on: when it began. */
  readonly startedAt?: string;
}

interface Asked {
  readonly kind: JobKind;
  readonly key: ResourceKey;
  readonly wanted: Wanted;
}

interface UnderWay {
  readonly kind: JobKind;
  readonly key: ResourceKey;
  readonly abort: AbortController;
  wanted: Wanted;
  /** It had its turn: what is wanted from then on it knows nothing of. */
  begun: boolean;
}

export interface SchedulesOptions {
  readonly jobs: JobRunner;
  /** A run began or ended. */
  readonly changed: (kind: JobKind, key: ResourceKey, outcome: JobOutcome | undefined) => void;
  /** Jobs at once. */
  readonly maxConcurrent: number;
}

export class Schedules {
  readonly #options: SchedulesOptions;
  readonly #timetable: Timetable;
  readonly #turns: Turns;
  readonly #states = new RunStates();
  readonly #waits = new CredentialWaits();
  readonly #running = new Map<string, { readonly underWay: UnderWay; readonly ended: Promise<void> }>();
  /** What no run has begun for: one is under way, or it is not known yet what goes on. */
  readonly #asked = new Map<string, Asked>();
  readonly #stopped = new AbortController();
  /** Policies that the process found when it started, until what they missed is caught up. */
  readonly #found = new Map<JobKind, readonly ScheduledPolicy[]>();
  #remembers = false;
  #caughtUp: Promise<void> | undefined;
  /** It is known what goes on, and what was missed. */
  #knows = false;

  constructor(options: SchedulesOptions) {
    this.#options = options;
    this.#timetable = new Timetable((kind, key, slot) => this.#want(kind, key, { trigger: "schedule", slot }));
    this.#turns = new Turns(options.maxConcurrent);
  }

  stateOf(kind: JobKind, key: ResourceKey): RunState | undefined {
    const id = idOf(kind, key);
    const next = this.#timetable.nextStart(id)?.toISOString();
    const waitsUntil = this.#waits.isWaiting(id) ? this.#waits.until(id)?.toISOString() : undefined;
    const state = this.#states.of(id);
    if (state === undefined && next === undefined && waitsUntil === undefined) return undefined;
    return { ...state, ...(next === undefined ? {} : { next }), ...(waitsUntil === undefined ? {} : { waitsUntil }) };
  }

  /**
   * Takes over the policies that are recorded and not suspended. A tag policy that is new or has changed runs at once: its versions are what a
   * person waits for. A retention policy waits for its hour. What the process finds when it starts runs if it missed something: once, and a tag
   * policy also when it changed meanwhile. What a person asks for runs also when nobody looked as he asked. While a policy lacks something its runs
   * wait, some minutes at most.
   */
  update(kind: JobKind, policies: readonly ScheduledPolicy[]): void {
    const ids = new Set(policies.map(({ key }) => idOf(kind, key)));
    this.#timetable.keep(kind, ids);
    this.#waits.keep((id) => ids.has(id) || !id.startsWith(`${kind} `));
    const starting = !this.#found.has(kind);
    if (starting) this.#found.set(kind, policies);
    for (const policy of policies) this.#take(kind, policy, { starting });
    if (starting) this.#catchUp();
  }

  /** Ends runs of policies that must not go on. `why`: a sentence; undefined for those that may. */
  halt(why: (key: ResourceKey) => string | undefined): void {
    for (const [id, { underWay }] of this.#running) {
      const sentence = why(underWay.key);
      if (sentence === undefined) continue;
      this.#asked.delete(id);
      underWay.abort.abort(new RunHalted(sentence));
    }
  }

  /** Forgets the runs of all others: what a run found may be large. */
  keep(isThere: (key: ResourceKey) => boolean): void {
    this.#states.keep((id) => {
      const [kind, policy = ""] = id.split(" ");
      return this.#running.has(id) || isThere(policyOf({ kind: kind as JobKind, policy }));
    });
  }

  /** A run has ended, the registry says, and which plan waits; they come in the order of their ends. Answers whether it is news. */
  hear(kind: JobKind, key: ResourceKey, last: LastRun, waitingPlan?: string): boolean {
    return this.#states.hear(idOf(kind, key), last, waitingPlan);
  }

  /** The last run of every policy was heard: what was missed since then is caught up, once. */
  remember(): void {
    this.#remembers = true;
    this.#catchUp();
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error(stopped));
    this.#timetable.stop();
    this.#waits.stop();
    this.#turns.open();
    await Promise.allSettled([this.#caughtUp, ...[...this.#running.values()].map(({ ended }) => ended)]);
  }

  #take(kind: JobKind, policy: ScheduledPolicy, { starting }: { readonly starting: boolean }): void {
    const { key, requestedAt, approve, revision, generation, lacks } = policy;
    const id = idOf(kind, key);
    const before = this.#timetable.policy(id);
    this.#timetable.set(id, kind, policy);
    // What a change brings is waited for anew.
    const lackedSince = this.#waits.note(id, lacks && `${revision} ${lacks}`);
    if (before === undefined) this.#recall(id, policy);
    const { lastHandledReconcileAt, waitingPlan } = this.#states.of(id) ?? {};
    if (kind === "tag-sync" && before?.revision !== revision && !starting) {
      this.#want(kind, key, { trigger: "schedule", slot: slotOf.change(revision, generation), anew: true });
    }
    // One that was there before counts as long as its plan waits.
    if (approve !== undefined && before?.approve !== approve && (before !== undefined || approve === waitingPlan)) {
      this.#want(kind, key, approvalOf(approve));
    }
    if (lackedSince !== undefined) this.#want(kind, key, { trigger: "schedule", slot: slotOf.loaded(revision, lackedSince), anew: true });
    if (requestedAt !== undefined && before?.requestedAt !== requestedAt && requestedAt !== lastHandledReconcileAt) {
      this.#want(kind, key, { trigger: "manual", slot: slotOf.request(requestedAt), anew: true });
    }
  }

  /** What processes before this one have handled. Where nobody keeps that, what is found at first is old. */
  #recall(id: string, { requestedAt, handledRequest = requestedAt }: ScheduledPolicy): void {
    if (this.#states.of(id)?.lastHandledReconcileAt !== undefined || handledRequest === undefined || handledRequest === "") return;
    this.#states.note(id, { lastHandledReconcileAt: handledRequest });
  }

  #catchUp(): void {
    if (!this.#remembers || !this.#found.has("tag-sync") || !this.#found.has("prune")) return;
    this.#caughtUp ??= this.#begin();
  }

  /** First what goes on by itself: it counts among those that may run at once. */
  async #begin(): Promise<void> {
    const { signal } = this.#stopped;
    // Who knows what goes on may be away for longer than a process that ends can wait.
    const stopped = new Promise<undefined>((resolve) => signal.addEventListener("abort", () => resolve(undefined), { once: true }));
    const unfinished = (await Promise.race([this.#options.jobs.unfinished?.(), stopped])) ?? [];
    if (signal.aborted) return;
    this.#knows = true;
    for (const { job, startedAt } of unfinished) {
      const key = policyOf(job);
      if (!this.#running.has(idOf(job.kind, key))) this.#start(job.kind, key, { ...job, startedAt });
    }
    for (const [kind, policies] of this.#found) for (const { key } of policies) this.#wantMissed(kind, key);
    // Who waits for a job that goes on asks again: it is asked once.
    const asked = [...this.#asked.keys()];
    for (const id of asked) this.#startAsked(id);
  }

  #wantMissed(kind: JobKind, key: ResourceKey): void {
    const id = idOf(kind, key);
    const { last, waitingPlan } = this.#states.of(id) ?? {};
    const goesOnSince = this.#running.get(id)?.underWay.wanted.startedAt;
    const newest = goesOnSince === undefined ? last : { startedAt: goesOnSince, finishedAt: goesOnSince };
    const missed = this.#timetable.missed(id, kind, newest);
    if (missed !== undefined) this.#want(kind, key, { trigger: "schedule", ...missed });
    const approve = this.#timetable.policy(id)?.approve;
    if (approve !== undefined && approve === waitingPlan) this.#want(kind, key, approvalOf(approve));
  }

  /** A run begins as soon as may be; what is wanted before it has begun is wanted of the same one. */
  #want(kind: JobKind, key: ResourceKey, wanted: Wanted): void {
    const id = idOf(kind, key);
    const underWay = this.#running.get(id)?.underWay;
    const waiting = this.#asked.get(id);
    const another = wanted.anew === true && underWay?.wanted.slot !== wanted.slot;
    if ((underWay !== undefined || waiting !== undefined) && !another) return;
    if (!this.#knows || underWay?.begun === true) this.#asked.set(id, { kind, key, wanted: { ...waiting?.wanted, ...wanted } });
    else if (underWay !== undefined) underWay.wanted = { ...underWay.wanted, ...wanted };
    else this.#start(kind, key, wanted);
  }

  #startAsked(id: string): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    // Who is not there any more, or is suspended, asks anew when that is over.
    if (asked !== undefined && this.#timetable.policy(id) !== undefined) this.#want(asked.kind, asked.key, asked.wanted);
  }

  #start(kind: JobKind, key: ResourceKey, wanted: Wanted): void {
    const underWay = { kind, key, wanted, abort: new AbortController(), begun: wanted.startedAt !== undefined };
    this.#running.set(idOf(kind, key), { underWay, ended: this.#run(underWay) });
  }

  async #run(underWay: UnderWay): Promise<void> {
    const { kind, key, abort } = underWay;
    const id = idOf(kind, key);
    const signal = AbortSignal.any([abort.signal, this.#stopped.signal]);
    let ended: JobOutcome | undefined;
    let hasTurn = false;
    try {
      hasTurn = await this.#turn(id, underWay, signal);
      if (!hasTurn) return;
      underWay.begun = true;
      const { wanted } = underWay;
      const { trigger, slot, startedAt = new Date().toISOString() } = wanted;
      const handles = this.#requestOf(id, wanted);
      this.#states.note(id, { running: startedAt });
      this.#options.changed(kind, key, undefined);
      const approve = wanted.approve ?? this.#approved(id);
      const job = { kind, policy: `${key.namespace}/${key.name}`, trigger, slot, ...(approve === undefined ? {} : { approve }) };
      const outcome = await this.#options.jobs.run(job, signal);
      if (handles !== undefined && !this.#stopped.signal.aborted) this.#states.note(id, { lastHandledReconcileAt: handles });
      if (outcome === undefined) return;
      const { run, succeeded, message, result } = outcome;
      const last = { run, succeeded, message, result, startedAt, finishedAt: new Date().toISOString() };
      if (this.#states.end(id, last)) ended = outcome;
    } finally {
      this.#running.delete(id);
      this.#states.over(id);
      if (hasTurn) this.#turns.give(key.namespace);
      if (!this.#stopped.signal.aborted) this.#startAsked(id);
      this.#options.changed(kind, key, ended);
    }
  }

  /** Resolves when it is its turn and nothing is lacking that may still come; false: it was halted meanwhile. What waits keeps nobody from his turn. */
  async #turn(id: string, { kind, key, wanted }: UnderWay, signal: AbortSignal): Promise<boolean> {
    const goesOn = wanted.startedAt !== undefined;
    const mustWait = () => !goesOn && this.#waits.until(id) !== undefined;
    for (;;) {
      if (mustWait()) {
        const waiting = this.#waits.wait(id, signal);
        this.#options.changed(kind, key, undefined);
        await waiting;
      }
      if (signal.aborted) return false;
      await this.#turns.take(key.namespace);
      if (!signal.aborted && !mustWait()) break;
      this.#turns.give(key.namespace);
    }
    if (!goesOn) this.#waits.begins(id);
    return true;
  }

  /** The request that is handled by a run which begins now; a job that goes on handles only the one that it was made for. */
  #requestOf(id: string, { startedAt, slot }: Wanted): string | undefined {
    const requestedAt = this.#timetable.policy(id)?.requestedAt;
    return requestedAt === undefined || (startedAt !== undefined && slot !== slotOf.request(requestedAt)) ? undefined : requestedAt;
  }

  /** An approval is for one plan: once that is applied or replaced, runs plan again, be the annotation still there. */
  #approved(id: string): string | undefined {
    const approve = this.#timetable.policy(id)?.approve;
    return approve === this.#states.of(id)?.waitingPlan ? approve : undefined;
  }
}

function approvalOf(approve: string): Wanted {
  return { trigger: "manual", slot: slotOf.approval(approve), approve, anew: true };
}

function idOf(kind: JobKind, key: ResourceKey): string {
  return `${kind} ${key.namespace}/${key.name}`;
}
