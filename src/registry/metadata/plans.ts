// Plans as they were made, for 90 days: what a run did, and what a person approves.

import type { Plan } from "../../api/control/retention.ts";
import { statement, type Queryable } from "./database.ts";

export interface StoredPlan {
  /** Without the entries of what it keeps. */
  readonly plan: Plan;
  readonly appliedAt: Date | null;
}

// The id is a hash of what the plan says: the same plan made again is the same row, as of now.
const store = statement(
  "plan-store",
  `INSERT INTO plans (id, policy, document) VALUES ($1, $2, $3)
   ON CONFLICT (id) DO UPDATE SET document = excluded.document, created_at = now()`,
);
const find = statement("plan-find", `SELECT document AS plan, applied_at AS "appliedAt" FROM plans WHERE id = $1 AND policy = $2`);
const waiting = statement(
  "plan-waiting",
  `SELECT plans.id FROM plans WHERE policy = $1 AND applied_at IS NULL AND id = (
     SELECT result->>'plan' FROM runs
     WHERE kind = 'prune' AND runs.policy = $1 AND ended IS NOT NULL AND result->>'plan' <> ''
     ORDER BY ended DESC LIMIT 1)
   AND document->'blocked'->>'reason' = 'LimitExceeded'`,
);
const applied = statement("plan-applied", "UPDATE plans SET applied_at = now() WHERE id = $1");
const prune = statement(
  "plan-prune",
  `DELETE FROM plans WHERE id IN (
     SELECT id FROM plans WHERE created_at < now() - interval '90 days' ORDER BY created_at LIMIT 1000)`,
);

/** Only what it deletes is kept of its entries: of 100,000 tags that stay, nobody asks again why. */
export async function storePlan(database: Queryable, plan: Plan): Promise<void> {
  const entries = plan.entries.filter(({ verdict }) => verdict === "delete");
  await database.execute(store, [plan.id, plan.policy, JSON.stringify({ ...plan, entries })]);
}

export async function findPlan(database: Queryable, policy: string, id: string): Promise<StoredPlan | undefined> {
  const [row] = await database.query<StoredPlan>(find, [id, policy]);
  return row;
}

/** The plan that a limit stopped in the last run that made or applied one; undefined when it has been applied, or was not stopped. */
export async function waitingPlanOf(database: Queryable, policy: string): Promise<string | undefined> {
  const [row] = await database.query<{ readonly id: string }>(waiting, [policy]);
  return row?.id;
}

export async function notePlanApplied(database: Queryable, id: string): Promise<void> {
  await database.execute(applied, [id]);
}

/** Plans older than 90 days, a batch of them. */
export function prunePlans(database: Queryable): Promise<number> {
  return database.execute(prune);
}
