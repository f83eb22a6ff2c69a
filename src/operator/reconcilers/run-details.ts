// `status.lastRun` and `status.nextRun` of a policy.

import type { RunState } from "../schedules.ts";

export function runDetails(runs: RunState | undefined): Record<string, unknown> {
  return {
    ...(runs?.last === undefined ? {} : { lastRun: runs.last }),
    ...(runs?.running === undefined ? {} : { running: { since: runs.running } }),
    ...(runs?.next === undefined ? {} : { nextRun: runs.next }),
    ...(runs?.lastHandledReconcileAt === undefined ? {} : { lastHandledReconcileAt: runs.lastHandledReconcileAt }),
  };
}
