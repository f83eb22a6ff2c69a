// Plans that a limit stopped: which one waits for a person, and whether a plan may be approved.

import { printable } from "../../../domain/printable.ts";
import type { Database } from "../../metadata/database.ts";
import { findPlan, waitingPlanOf } from "../../metadata/plans.ts";
import { ServiceError } from "../errors.ts";

/**
 * Refuses what an apply would refuse, before there is a run. `policy`: namespace/name.
 * ServiceError NOT_FOUND (no such plan), CONFLICT (applied already, or stopped by what nobody can approve).
 */
export async function refuseApproval(database: Database, policy: string, id: string): Promise<void> {
  const stored = await findPlan(database, policy, id);
  if (stored === undefined) {
    throw new ServiceError("NOT_FOUND", `There is no plan ${printable(id, 100)} of ${policy}. ${await describeWaiting(database, policy)}`);
  }
  const { blocked } = stored.plan;
  if (blocked === undefined) return;
  if (blocked.reason !== "LimitExceeded") {
    throw new ServiceError("CONFLICT", `Plan ${id} cannot be approved: ${blocked.message}`, { detail: blocked });
  }
  if (stored.appliedAt === null) return;
  const when = stored.appliedAt.toISOString();
  throw new ServiceError("CONFLICT", `Plan ${id} was approved and applied already, at ${when}. ${await describeWaiting(database, policy)}`);
}

async function describeWaiting(database: Database, policy: string): Promise<string> {
  const waiting = await waitingPlanOf(database, policy);
  if (waiting !== undefined) return `The plan that waits to be approved is ${waiting}.`;
  return `None waits to be approved: \`npx wharfinger job prune --policy ${policy}\` makes a new one.`;
}
