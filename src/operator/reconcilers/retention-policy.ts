// RetentionPolicy: what its runs planned and deleted, and the plan that waits for a person.

import { conditionTypes, reasons } from "../../api/conditions.ts";
import type { RetentionPolicySpec } from "../../api/kinds.ts";
import { pruneResultOf } from "../runs/run-results.ts";
import type { RunState } from "../runs/run-states.ts";
import type { ConditionDraft } from "../status-store.ts";
import type { Reconciler } from "./reconciler.ts";
import { runDetails } from "./run-details.ts";

export const retentionPolicyReconciler: Reconciler<"RetentionPolicy"> = {
  kind: "RetentionPolicy",
  report(key, spec, context) {
    const runs = context.runsOf(key);
    return {
      conditions: runs?.last === undefined ? [] : conditionsOf(spec, runs.last),
      details: {
        ...runDetails(runs, ({ result }) => countsOf(result)),
        ...(runs?.waitingPlan === undefined ? {} : { waitingPlan: runs.waitingPlan }),
      },
    };
  },
};

function conditionsOf({ action }: RetentionPolicySpec, { succeeded, message, result }: NonNullable<RunState["last"]>): ConditionDraft[] {
  const type = action === "Delete" ? conditionTypes.pruned : conditionTypes.planned;
  const { blocked } = pruneResultOf(result);
  const reason = blocked?.reason ?? reasons.runFailed;
  const conditions: ConditionDraft[] = [
    succeeded ? { type, status: "True", reason: reasons.succeeded, message } : { type, status: "False", reason, message },
  ];
  if (blocked?.reason !== conditionTypes.workloadsUnknown) return conditions;
  return [...conditions, { type: conditionTypes.workloadsUnknown, status: "True", reason, message: blocked.message }];
}

function countsOf(result: unknown): Record<string, unknown> {
  const { plan, kept, planned, deleted, bytes } = pruneResultOf(result);
  return {
    ...(plan === undefined ? {} : { plan }),
    ...(kept === undefined ? {} : { kept }),
    ...(planned === undefined ? {} : { planned: planned.deleted, plannedBytes: planned.bytes }),
    ...(deleted === undefined ? {} : { deleted }),
    ...(bytes === undefined ? {} : { bytes }),
  };
}
