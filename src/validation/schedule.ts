// Schedules are cron expressions of five fields, in a time zone with an IANA name.

import { Cron } from "croner";

/** What is wrong with it, or undefined. */
export function scheduleProblem(schedule: string, timeZone: string): string | undefined {
  const fields = schedule.trim().split(/\s+/);
  // croner reads seconds, years and nicknames too; CronJobs of Kubernetes and people's eyes do not. CEL has counted, but not at every space.
  if (fields.length !== 5)
    return `must have five fields (minute, hour, day of month, month, day of week), has ${fields.length}; for example "0 3 * * *"`;
  try {
    const next = new Cron(fields.join(" "), { timezone: timeZone, paused: true }).nextRun();
    return next === null ? "never comes: no such day exists" : undefined;
  } catch (error) {
    return `is no cron expression (${(error as Error).message.replace(/^CronPattern: /, "")}); for example "0 3 * * *"`;
  }
}

export function timeZoneProblem(timeZone: string): string | undefined {
  const problem = `must be a time zone by its IANA name, for example Europe/Berlin or Etc/UTC`;
  try {
    return Intl.DateTimeFormat("en", { timeZone }).resolvedOptions().timeZone === "" ? problem : undefined;
  } catch {
    return problem;
  }
}
