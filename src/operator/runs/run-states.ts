// What is known of each policy's runs: the last one, one that is under way, the plan that waits.

import { HeardRuns } from "./heard-runs.ts";
import type { JobOutcome } from "../ports.ts";

export interface LastRun extends JobOutcome {
  readonly startedAt?: string;
  readonly finishedAt: string;
}

export interface RunState {
  readonly last?: LastRun;
  /** prune: the plan that a limit stopped, until it is applied or replaced. */
  readonly waitingPlan?: string | undefined;
  /** When the run that is under way began. */
  readonly running?: string;
  readonly next?: string;
  /** A run waits for what it needs to be with the registry, no longer than that. */
  readonly waitsUntil?: string;
  /** The newest request whose run has ended. */
  readonly lastHandledReconcileAt?: string;
}

export class RunStates {
  readonly #states = new Map<string, RunState>();
  readonly #heard = new HeardRuns();

  of(id: string): RunState | undefined {
    return this.#states.get(id);
  }

  note(id: string, state: RunState): void {
    this.#states.set(id, { ...this.#states.get(id), ...state });
  }

  /** A run has ended, the registry says. Answers whether it is news. */
  hear(id: string, last: LastRun, waitingPlan: string | undefined): boolean {
    this.note(id, { waitingPlan });
    if (this.#states.get(id)?.last?.run !== last.run) this.note(id, { last });
    return this.#heard.hear(last.run);
  }

  /** A run has ended, who ran it says: of a job that was ended he knows why, its process only that. Answers whether it is news. */
  end(id: string, last: LastRun): boolean {
    const isNews = this.#heard.hear(last.run);
    if (isNews || this.#states.get(id)?.last?.run === last.run) this.note(id, { last });
    return isNews;
  }

  /** None is under way any more. */
  over(id: string): void {
    const { running: _, ...rest } = this.#states.get(id) ?? {};
    this.#states.set(id, rest);
  }

  /** Forgets all others: what a run found may be large. */
  keep(isThere: (id: string) => boolean): void {
    for (const id of this.#states.keys()) if (!isThere(id)) this.#states.delete(id);
  }
}
