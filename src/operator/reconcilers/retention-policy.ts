// RetentionPolicy: what its runs planned and deleted.

import { conditionTypes, reasons } from "../../api/conditions.ts";
import { runDetails } from "./run-details.ts";
import type { Reconciler } from "./reconciler.ts";

export const retentionPolicyReconciler: Reconciler<"RetentionPolicy"> = {
  kind: "RetentionPolicy",
  report(key, spec, context) {
    const runs = context.runsOf(key);
    const last = runs?.last;
    const type = spec.action === "Delete" ? conditionTypes.pruned : conditionTypes.planned;
    return {
      conditions:
        last === undefined
          ? []
          : [
              {
                type,
                status: last.succeeded ? "True" : "False",
                reason: last.succeeded ? reasons.succeeded : reasons.runFailed,
                message: last.message,
              },
            ],
      details: { action: spec.action, ...runDetails(runs) },
    };
  },
};
