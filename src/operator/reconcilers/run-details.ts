// What the status of a policy says of its runs.

import type { RunState } from "../runs/run-states.ts";

type LastRun = NonNullable<RunState["last"]>;

/** As the resource definitions have it. */
const longestMessage = 4_096;

/** `lastRun`, `nextRun` and `lastHandledReconcileAt`. `found`: what the kind says of a run that has ended. */
export function runDetails(
  runs: RunState | undefined,
  found: (last: LastRun) => Readonly<Record<string, unknown>> = () => ({}),
): Record<string, unknown> {
  return {
    ...lastRunOf(runs, found),
    ...(runs?.next === undefined ? {} : { nextRun: runs.next }),
    ...(runs?.lastHandledReconcileAt === undefined ? {} : { lastHandledReconcileAt: runs.lastHandledReconcileAt }),
  };
}

function lastRunOf(runs: RunState | undefined, found: (last: LastRun) => Readonly<Record<string, unknown>>): Record<string, unknown> {
  if (runs?.running !== undefined) return { lastRun: { state: "running", startedAt: runs.running } };
  if (runs?.last === undefined) return {};
  const { run, startedAt, finishedAt, succeeded, message } = runs.last;
  return {
    lastRun: {
      ...(run === "" ? {} : { id: run }),
      state: succeeded ? "succeeded" : "failed",
      ...(startedAt === undefined ? {} : { startedAt }),
      finishedAt,
      ...found(runs.last),
      message: message.slice(0, longestMessage).toWellFormed(),
    },
  };
}
