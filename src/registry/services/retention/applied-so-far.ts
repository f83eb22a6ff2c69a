// What an apply has deleted so far, noted in the transaction that deletes it: one that breaks, or whose process dies, has not deleted nothing.

import type { PlanEntry } from "../../../api/control/retention.ts";
import type { Queryable } from "../../metadata/database.ts";
import { noteRunApplied } from "../../metadata/runs.ts";

export interface ApplyOfRun {
  /** Undefined: nobody's. Nothing is noted. */
  readonly run: string | undefined;
  /** namespace/name */
  readonly policy: string;
  /** Id. */
  readonly plan: string;
}

export class AppliedSoFar {
  readonly #of: ApplyOfRun;
  readonly #deleted: PlanEntry[] = [];
  #bytes = 0;

  constructor(of: ApplyOfRun) {
    this.#of = of;
  }

  /** Within the transaction that deletes these; it may begin again, so nothing is remembered of them here. */
  async note(transaction: Queryable, deleting: readonly PlanEntry[]): Promise<void> {
    const { run, policy, plan } = this.#of;
    if (run === undefined || deleting.length === 0) return;
    const applied = { plan, deleted: [...this.#deleted, ...deleting], kept: [], proposals: [], bytes: this.#bytes };
    await noteRunApplied(transaction, { id: run, policy, applied });
  }

  /** They are gone. `bytes`: that came free with them; the next note tells of them. */
  count(deleted: readonly PlanEntry[], bytes: number): void {
    this.#deleted.push(...deleted);
    this.#bytes += bytes;
  }
}
