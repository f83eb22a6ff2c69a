// Runs of jobs (design: tag-sync, "One run"; operator.md, "Jobs"): registering one, telling it all it needs, hearing how it goes.

import type { FinishedRun, Run, RunRequest, RunUpdate, SyncOutcome } from "../../../api/control/runs.ts";
import { printable } from "../../../domain/printable.ts";
import type { SecretSource } from "../../../domain/secrets.ts";
import type { Database, Queryable } from "../../metadata/database.ts";
import { waitingPlanOf } from "../../metadata/plans.ts";
import { bindPod, runOfPod, type RunOfPod } from "../../metadata/run-pods.ts";
import { endOfRun, insertRun, newestRuns, runById, runsEndedAfter, updateRun, type StoredRun } from "../../metadata/runs.ts";
import { recordOutcomes, settledOutcomes } from "../../metadata/sync-outcomes.ts";
import { refuseApproval } from "../retention/approval.ts";
import type { ConfigurationSource, Published } from "../configuration/configuration.ts";
import { ServiceError } from "../errors.ts";
import { askUntil, Bell, type Waiting } from "./long-poll.ts";
import { anchorsOf, keyOf, notPublished, policyScope } from "./policy-scope.ts";
import { unlessStorable } from "../versions/storable.ts";

/** Seconds after which a job that says nothing counts as dead. Jobs report every 30 seconds. */
const silence = 600;
const maxOutcomes = 1_000;

export interface FinishedQuery {
  /** Id of the run that was heard last. */
  readonly after?: string;
  readonly kind?: Run["kind"];
}

export class Runs {
  readonly #database: Database;
  readonly #configuration: ConfigurationSource;
  readonly #secrets: SecretSource;
  readonly #ended = new Bell();

  constructor(options: { database: Database; configuration: ConfigurationSource; secrets: SecretSource }) {
    this.#database = options.database;
    this.#configuration = options.configuration;
    this.#secrets = options.secrets;
  }

  /**
   * The run that a Pod has is answered again: who registers it may have been ended before the answer. ServiceError NOT_FOUND (no such policy, or no
   * such plan to approve), CONFLICT (suspended, not to be approved, another run is under way, or the Pod had a run).
   */
  async start(request: RunRequest): Promise<Run> {
    const bound = request.pod === undefined ? undefined : await runOfPod(this.#database, request.pod);
    if (bound !== undefined && isThisRun(bound, request)) return this.get(bound.id);
    const policy = this.#policy(request);
    if (policy.suspend) {
      throw new ServiceError("CONFLICT", `${policy.kind} ${request.policy} is suspended; nothing runs until spec.suspend is taken away.`);
    }
    if (request.approve !== undefined) await refuseApproval(this.#database, request.policy, request.approve);
    const { generation } = policy;
    const registered = await this.#database.transaction(async (transaction) => {
      const inserted = await insertRun(transaction, { ...request, generation, silence });
      if ("started" in inserted) await bind(transaction, inserted.started.id, request);
      return inserted;
    });
    if ("underWay" in registered) {
      const { id, startedAt } = registered.underWay;
      throw new ServiceError("CONFLICT", `A ${request.kind} run of ${request.policy} is under way since ${startedAt}: ${id}.`, {
        detail: { run: id },
      });
    }
    if (registered.abandoned > 0) this.#ended.ring();
    return this.#view(registered.started);
  }

  /** ServiceError NOT_FOUND. */
  async get(id: string): Promise<Run> {
    return this.#view(await this.#find(id));
  }

  /** ServiceError NOT_FOUND, INVALID, or CONFLICT when the run has ended: then its job may stop. */
  async update(id: string, update: RunUpdate): Promise<Run> {
    const run = await this.#find(id);
    const outcomes = update.outcomes ?? [];
    if (outcomes.length > maxOutcomes)
      throw new ServiceError("INVALID", `${outcomes.length} outcomes at once, at most ${maxOutcomes} are taken.`);
    if (outcomes.length > 0 && run.kind !== "tag-sync")
      throw new ServiceError("INVALID", `A ${run.kind} run has no outcomes of source tags.`);
    const changed = await unlessStorable(
      this.#database.transaction(async (transaction) => {
        const row = await updateRun(transaction, id, update);
        if (row !== undefined) await recordOutcomes(transaction, { ...run, anchors: update.anchors }, outcomes.map(bounded));
        return row;
      }),
    );
    if (update.state !== undefined) this.#ended.ring();
    if (changed === undefined) throw new ServiceError("CONFLICT", `Run ${id} has ended (${run.state}); a new one takes its place.`);
    return this.#view(changed);
  }

  /**
   * Runs that ended after the run `after`, in the order of their ends, at most 20; without `after`, or when it is not known (any more), the
   * last one of each policy. Held back while there are none. What ends at another pod is heard with the next question, so nobody asks the
   * database while nothing happens.
   */
  async finished({ after, kind }: FinishedQuery, patience: Waiting): Promise<readonly FinishedRun[]> {
    const end = after === undefined ? undefined : await endOfRun(this.#database, after);
    const runs = await askUntil(
      this.#ended,
      () => (end === undefined ? newestRuns(this.#database, kind) : runsEndedAfter(this.#database, end, kind)),
      (found) => found.length > 0,
      { ...patience, lookAgain: false },
    );
    return Promise.all(runs.map((run) => this.#finished(run)));
  }

  async #finished(run: StoredRun): Promise<FinishedRun> {
    const waitingPlan = run.kind === "prune" ? await waitingPlanOf(this.#database, run.policy) : undefined;
    return { ...finishedRun(run), ...(waitingPlan === undefined ? {} : { waitingPlan }) };
  }

  async #find(id: string): Promise<StoredRun> {
    const run = await runById(this.#database, id);
    if (run === undefined) throw new ServiceError("NOT_FOUND", `There is no run ${printable(id, 100)}.`);
    return run;
  }

  #policy({ kind, policy }: Pick<RunRequest, "kind" | "policy">): Published<unknown> {
    const configuration = this.#configuration.current();
    if (kind === "tag-sync") return policyScope(configuration, policy).policy;
    const found = configuration.retentionPolicies.find((candidate) => keyOf(candidate) === policy);
    if (found === undefined) throw notPublished("RetentionPolicy", policy);
    return found;
  }

  /** Keys, root and settled outcomes are for the job alone: a run that has ended shows none of them. */
  async #view(run: StoredRun): Promise<Run> {
    if (run.state !== "running") return { ...run, spec: this.#specOf(run) };
    if (run.kind === "prune") return { ...run, spec: this.#policy(run).spec };
    const scope = policyScope(this.#configuration.current(), run.policy);
    const { prefix, url, repositoryPrefix } = scope.upstream.spec;
    const trust = anchorsOf(scope, this.#secrets);
    return {
      ...run,
      spec: scope.policy.spec,
      upstream: { prefix, url, repositoryPrefix },
      ...trust,
      settled: await settledOutcomes(this.#database, { ...run, anchors: trust.anchors }),
    };
  }

  /** Null when the policy is gone meanwhile. */
  #specOf(run: StoredRun): unknown {
    try {
      return this.#policy(run).spec;
    } catch (error) {
      if (error instanceof ServiceError) return null;
      throw error;
    }
  }
}

function isThisRun({ kind, policy, state }: RunOfPod, request: RunRequest): boolean {
  return kind === request.kind && policy === request.policy && state === "running";
}

async function bind(transaction: Queryable, run: string, { pod, approve }: RunRequest): Promise<void> {
  if (pod === undefined || (await bindPod(transaction, { run, pod, approved: approve }))) return;
  const bound = await runOfPod(transaction, pod);
  throw new ServiceError("CONFLICT", `Pod ${pod} has run ${bound?.id ?? ""} (${bound?.state ?? "ended"}); another run needs another Pod.`, {
    detail: { podHas: bound?.id },
  });
}

function finishedRun({ id, kind, policy, trigger, state, generation, startedAt, finishedAt, result }: StoredRun): FinishedRun {
  return {
    id,
    kind,
    policy,
    trigger,
    generation,
    startedAt,
    succeeded: state === "succeeded",
    finishedAt: finishedAt ?? startedAt,
    ...(result === undefined ? {} : { result }),
  };
}

function bounded(outcome: SyncOutcome): SyncOutcome {
  const { message } = outcome;
  return {
    ...outcome,
    repository: printable(outcome.repository, 255),
    sourceTag: printable(outcome.sourceTag, 128),
    outcome: printable(outcome.outcome, 64),
    ...(message === undefined ? {} : { message: printable(message, 1_000) }),
    ...(outcome.retryAfter === undefined ? {} : { retryAfter: Math.min(Math.max(Math.trunc(outcome.retryAfter), 1), 7 * 24 * 3_600) }),
  };
}
