// AccessPolicy: recorded and published, nothing else.

import type { Reconciler } from "./reconciler.ts";

export const accessPolicyReconciler: Reconciler<"AccessPolicy"> = {
  kind: "AccessPolicy",
  report: () => ({ conditions: [], details: {} }),
};
