// The end of a run: when all that is due was collected, the invariants hold.

import { eventually } from "../support/eventually.ts";
import type { Cluster } from "./cluster.ts";

/** Leases, abandoned uploads and delays run out meanwhile. */
const secondsToSettle = 90;
/** What could not be deleted, or whose deleter was killed, is tried again minutes later: as if they had passed. */
const nextAttempt = "UPDATE objects SET sweep_after = now() WHERE state = 'swept' AND sweep_after < now() + interval '1 hour'";

/** What contradicts an invariant still when everything had its time. A checker that gives no answer is a problem, too. */
export async function settled(cluster: Pick<Cluster, "ask" | "violations">, seconds = secondsToSettle): Promise<readonly string[]> {
  let problems: readonly string[] | undefined;
  const ask = async () => {
    problems = undefined;
    await cluster.ask(nextAttempt);
    problems = await cluster.violations({ collected: true });
    if (problems.length > 0) throw new Error(problems[0]);
  };
  const failure = await eventually(ask, seconds).catch((error: unknown) => error);
  return problems ?? [`the checker had no answer: ${String(failure)}`];
}
