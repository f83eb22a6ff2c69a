// Which Pod a run's job is, so that the Pod's token acts for that run (design: access.md, "Control API").

import type { Run } from "../../api/control/runs.ts";
import { statement, type Queryable } from "./database.ts";

const bind = statement("run-pod-bind", "INSERT INTO run_pods (run, pod, approved) VALUES ($1, $2, $3) ON CONFLICT (pod) DO NOTHING");

/** False when the Pod has a run already. */
export async function bindPod(
  transaction: Queryable,
  { run, pod, approved }: { readonly run: string; readonly pod: string; readonly approved: string | undefined },
): Promise<boolean> {
  return (await transaction.execute(bind, [run, pod, approved ?? null])) === 1;
}

export interface RunOfPod {
  readonly id: string;
  readonly kind: Run["kind"];
  readonly policy: string;
  readonly state: Run["state"];
  /** prune: the stopped plan that it may apply. */
  readonly approved: string | null;
}

const ofPod = statement(
  "run-of-pod",
  "SELECT id, kind, policy, state, approved FROM run_pods JOIN runs ON runs.id = run_pods.run WHERE pod = $1",
);

export async function runOfPod(queryable: Queryable, pod: string): Promise<RunOfPod | undefined> {
  const [row] = await queryable.query<RunOfPod>(ofPod, [pod]);
  return row;
}
