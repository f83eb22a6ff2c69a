// What only grows and decides nothing any more: each kind is a step of the collector, so that one that fails keeps neither the others nor a caller.

import { pruneActivity } from "../../metadata/activity.ts";
import type { Queryable } from "../../metadata/database.ts";
import { beginningOfHistory, forgetOldTagEvents } from "../../metadata/gc-prune.ts";
import { prunePlans } from "../../metadata/plans.ts";
import { pruneProposals } from "../../metadata/proposals.ts";
import { pruneRuns } from "../../metadata/runs.ts";
import { pruneOutcomes } from "../../metadata/sync-outcomes.ts";

export type ForgettingStep = "history" | "activity" | "plans" | "proposals" | "runs" | "outcomes";

/** In this order: a run stays as long as a proposal names it. Each gives the number of rows that went, batch after batch. */
export const forgetting: Readonly<Record<ForgettingStep, (database: Queryable) => AsyncIterable<number>>> = {
  history: forgetTagHistory,
  activity: (database) => batches(() => pruneActivity(database)),
  plans: (database) => batches(() => prunePlans(database)),
  proposals: (database) => batches(() => pruneProposals(database)),
  runs: (database) => batches(() => pruneRuns(database)),
  outcomes: (database) => batches(() => pruneOutcomes(database)),
};

export const forgettingSteps = Object.keys(forgetting) as readonly ForgettingStep[];

async function* batches(prune: () => Promise<number>): AsyncGenerator<number> {
  for (let count = await prune(); count > 0; count = await prune()) yield count;
}

/** Reads what stays too: a batch of which nothing goes is not the last. */
async function* forgetTagHistory(database: Queryable): AsyncGenerator<number> {
  let batch = await forgetOldTagEvents(database, beginningOfHistory);
  for (; batch !== undefined; batch = await forgetOldTagEvents(database, batch.last)) yield batch.forgotten;
}
