// When policies run: their schedules in their time zones, each start a little later so that not all come at once, and what was missed.

import { Cron } from "croner";

import type { ResourceKey } from "../../domain/resource.ts";
import type { JobKind } from "../ports.ts";
import { delayOf, minuteOf, slotOf } from "./slots.ts";

export interface ScheduledPolicy {
  readonly key: ResourceKey;
  /** Commit that last changed what the policy says. */
  readonly revision: string;
  /** metadata.generation, where somebody counts. */
  readonly generation?: number;
  /** When that was, RFC 3339. */
  readonly recordedAt?: string;
  readonly schedule: string;
  readonly timeZone: string;
  /** What the registry does not have yet of what a run needs, in words that stay the same as long as it is the same. */
  readonly lacks?: string;
  /** Value of the annotation that asks for a run now. */
  readonly requestedAt: string | undefined;
  /** The request that was handled last, by whichever process; "": none was. Undefined where nobody keeps that. */
  readonly handledRequest?: string;
  /** Value of the annotation that approves one stopped plan. */
  readonly approve?: string;
}

interface Entry {
  readonly policy: ScheduledPolicy;
  readonly cron: Cron;
  /** The next time of the schedule and the start of its run, as computed last: it is asked for in each round, and croner takes its time. */
  next?: { readonly time: Date; readonly start: Date };
}

/** The schedule has said when; the start is spread. */
interface DueStart {
  readonly at: Date;
  readonly timer: NodeJS.Timeout;
}

/** `anew`: because the policy says something else than its last run knew. */
interface Missed {
  readonly slot: string;
  readonly anew?: true;
}

type Start = (kind: JobKind, key: ResourceKey, slot: string) => void;

/** How far the registry's clock may be behind, milliseconds: schedules have minutes. */
const clockLeeway = 60_000;

/** An `id` is `<kind of job> <namespace>/<name>`. */
export class Timetable {
  readonly #start: Start;
  readonly #entries = new Map<string, Entry>();
  readonly #due = new Map<string, DueStart>();

  constructor(start: Start) {
    this.#start = start;
  }

  policy(id: string): ScheduledPolicy | undefined {
    return this.#entries.get(id)?.policy;
  }

  set(id: string, kind: JobKind, policy: ScheduledPolicy): void {
    const before = this.#entries.get(id);
    const sameTimes = before?.policy.schedule === policy.schedule && before.policy.timeZone === policy.timeZone;
    if (!sameTimes) this.#drop(id);
    this.#entries.set(id, sameTimes ? { ...before, policy } : { policy, cron: this.#cron(id, kind, policy) });
  }

  /** Drops all others of this kind. */
  keep(kind: JobKind, ids: ReadonlySet<string>): void {
    for (const id of this.#entries.keys()) if (id.startsWith(`${kind} `) && !ids.has(id)) this.#drop(id);
  }

  stop(): void {
    for (const id of this.#entries.keys()) this.#drop(id);
  }

  nextStart(id: string): Date | undefined {
    const due = this.#due.get(id);
    if (due !== undefined) return due.at;
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    if (entry.next === undefined || entry.next.time.getTime() <= Date.now()) {
      const time = entry.cron.nextRun();
      if (time === null) return undefined;
      entry.next = { time, start: startOf(id, entry.cron, time) };
    }
    return entry.next.start;
  }

  /**
   * What a policy has to catch up; undefined: nothing. The newest time of its schedule that has passed since it ran last, by whomever:
   * however many there were. Times before the policy said what it says now do not count. A retention policy that never ran waits for its hour,
   * because it deletes; a tag policy that never ran, or not since it changed, runs as one that is new.
   */
  missed(id: string, kind: JobKind, last: { readonly startedAt?: string; readonly finishedAt: string } | undefined): Missed | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    const { policy, cron } = entry;
    const recordedAt = Date.parse(policy.recordedAt ?? "") || 0;
    const isNew = last === undefined || Date.parse(last.startedAt ?? last.finishedAt) < recordedAt;
    if (kind === "tag-sync" && isNew) return { slot: slotOf.change(policy.revision, policy.generation), anew: true };
    if (last === undefined) return undefined;
    const since = new Date(Math.max(Date.parse(last.finishedAt) + clockLeeway, recordedAt));
    const now = new Date();
    const next = cron.nextRun(since);
    if (next === null || next > now) return undefined;
    return { slot: slotOf.time(cron.previousRuns(1, now)[0] ?? next) };
  }

  #cron(id: string, kind: JobKind, { key, schedule, timeZone }: ScheduledPolicy): Cron {
    return new Cron(schedule, { timezone: timeZone, unref: true, protect: true, catch: true }, (cron: Cron) => {
      const time = minuteOf(new Date());
      const at = startOf(id, cron, time);
      const start = () => {
        this.#due.delete(id);
        this.#start(kind, key, slotOf.time(time));
      };
      clearTimeout(this.#due.get(id)?.timer);
      this.#due.set(id, { at, timer: setTimeout(start, Math.max(0, at.getTime() - Date.now())).unref() });
    });
  }

  #drop(id: string): void {
    this.#entries.get(id)?.cron.stop();
    this.#entries.delete(id);
    clearTimeout(this.#due.get(id)?.timer);
    this.#due.delete(id);
  }
}

/** When the run of a `time` of its schedule starts. */
function startOf(id: string, cron: Cron, time: Date): Date {
  const next = cron.nextRun(time);
  return new Date(time.getTime() + delayOf(id, next === null ? 0 : next.getTime() - time.getTime()));
}
