// What runs did, heard once each: from the scheduler that ran them, or from the registry when somebody else did (`wharfinger job`, another leader).

import type { FinishedRun } from "../../api/control/runs.ts";
import type { ResourceKey } from "../../domain/resource.ts";
import type { PlannedCommit } from "../../record/commits.ts";
import type { History } from "../../record/history.ts";
import type { Committer } from "../../record/messages.ts";
import type { Narrator } from "../narrator.ts";
import { deletedCommit } from "./plans.ts";
import { policyOf, type JobKind, type JobOutcome } from "../ports.ts";
import type { Schedules } from "./schedules.ts";

export interface RunOutcomesOptions {
  readonly schedules: Pick<Schedules, "hear" | "remember">;
  readonly history: () => History;
  readonly narrator: Pick<Narrator, "ran">;
  readonly committer: Committer;
}

interface Untold {
  readonly run: string;
  readonly commit: PlannedCommit;
}

export class RunOutcomes {
  readonly #options: RunOutcomesOptions;
  #untold: readonly Untold[] = [];

  constructor(options: RunOutcomesOptions) {
    this.#options = options;
  }

  /** Commits of plans that Git does not have yet. Git is the memory: a run that it tells of is told once. */
  commits(): readonly PlannedCommit[] {
    const history = this.#options.history();
    this.#untold = this.#untold.filter(({ run }) => !history.tellsOf(run));
    return this.#untold.map(({ commit }) => commit);
  }

  /** A run of the scheduler has ended. */
  ran(kind: JobKind, key: ResourceKey, outcome: JobOutcome): void {
    this.#options.narrator.ran(kind, key, outcome);
    this.#tell(kind, key, outcome);
  }

  /** Runs that ended, as the registry tells, in the order of their ends. */
  heard(runs: readonly FinishedRun[]): void {
    for (const run of runs) {
      if (this.#hear(run)) this.ran(run.kind, policyOf(run), outcomeOf(run));
    }
  }

  /** What the registry knows at the start: old news, but for what Git was not told. */
  begin(newest: readonly FinishedRun[], untold: readonly FinishedRun[]): void {
    for (const run of newest) this.#hear(run);
    this.#options.schedules.remember();
    const both = new Map([...untold, ...newest].map((run) => [run.id, run]));
    for (const run of both.values()) this.#tell(run.kind, policyOf(run), outcomeOf(run));
  }

  #hear(run: FinishedRun): boolean {
    const { kind, startedAt, finishedAt, waitingPlan } = run;
    return this.#options.schedules.hear(kind, policyOf(run), { ...outcomeOf(run), startedAt, finishedAt }, waitingPlan);
  }

  #tell(kind: JobKind, key: ResourceKey, outcome: JobOutcome): void {
    if (kind !== "prune" || this.#untold.some(({ run }) => run === outcome.run)) return;
    const commit = deletedCommit(`${key.namespace}/${key.name}`, outcome, this.#options.committer);
    if (commit !== undefined) this.#untold = [...this.#untold, { run: outcome.run, commit }];
  }
}

/** A job writes its last words into its result, because it is all that the registry keeps of it. */
function outcomeOf({ id, succeeded, result }: FinishedRun): JobOutcome {
  const { message } = (result ?? {}) as { readonly message?: unknown };
  return { run: id, succeeded, message: typeof message === "string" ? message : succeeded ? "done" : "failed", result };
}
