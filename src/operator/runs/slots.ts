// When the run of a time of a schedule starts, and what it is called: the same in every process, so that two leaders want one job
// (design: operator, "Jobs").

import { createHash } from "node:crypto";

/** Starts are spread over this part of the time until the next one, and over no more than half an hour: who writes "at three" means the night. */
const spread = 0.1;
const longestSpread = 30 * 60_000;

/** Milliseconds by which `policy` starts later than its schedule says, whose times are `interval` milliseconds apart. */
export function delayOf(policy: string, interval: number): number {
  const share = createHash("sha256").update(policy).digest().readUInt32BE(0) / 2 ** 32;
  return Math.floor(share * Math.min(interval * spread, longestSpread));
}

/** Schedules have minutes: a timer that fires late is still that minute's. */
export function minuteOf(time: Date): Date {
  return new Date(Math.floor(time.getTime() / 60_000) * 60_000);
}

/** Names of what is asked for, as ScheduledJob.slot wants them. */
export const slotOf = {
  /** A time of the schedule: minutes, as CronJobs count them. */
  time: (time: Date) => String(Math.floor(time.getTime() / 60_000)),
  /** What the policy says has changed. `generation`: a policy that was suspended meanwhile says it anew. */
  change: (revision: string, generation: number | undefined) => digestOf("change", revision, String(generation ?? "")),
  /** What a run had begun without is there: it had been lacking since then, milliseconds of the clock. */
  loaded: (revision: string, since: number) => digestOf("loaded", revision, String(since)),
  /** A person asks for a run, in words of his own. */
  request: (requestedAt: string) => digestOf("request", requestedAt),
  approval: (plan: string) => digestOf("approval", plan),
} as const;

function digestOf(...parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 10);
}
