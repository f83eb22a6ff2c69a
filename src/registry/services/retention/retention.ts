// Retention as a use case: a plan of a published policy, kept for 90 days, and its apply while it is still true (design: retention.md).

import { setImmediate } from "node:timers/promises";

import { howToApprove } from "../../../api/approval.ts";
import type { ApplyRequest, ApplyResult, Plan, PlanEntry } from "../../../api/control/retention.ts";
import type { RetentionPolicySpec } from "../../../api/kinds.ts";
import { digestOf, hexOf } from "../../../domain/digest.ts";
import type { FreeableBlobs, PolicySource, RepositoryFacts } from "../../../domain/retention/facts.ts";
import { createPlanner, type JudgedRepository, type Planner, type RetentionPlan } from "../../../domain/retention/plan.ts";
import type { PlannedEntry } from "../../../domain/retention/planned-entry.ts";
import type { Database } from "../../metadata/database.ts";
import { readFreeableBlobs } from "../../metadata/freeable-blobs.ts";
import { findPlan, notePlanApplied, storePlan } from "../../metadata/plans.ts";
import { listRepositories, type Repository } from "../../metadata/repositories.ts";
import { noteUntaggedManifests, readClock, readRefusedPolicies } from "../../metadata/retention.ts";
import { noteRunApplied } from "../../metadata/runs.ts";
import { AppliedSoFar } from "./applied-so-far.ts";
import { applyToOwn, type Applied, type ApplyContext } from "./apply-plan.ts";
import type { ConfigurationSource, Published } from "../configuration/configuration.ts";
import { ServiceError } from "../errors.ts";
import type { History } from "../history.ts";
import { notPublished } from "../runs/policy-scope.ts";
import { readRepository, type PullsCounted } from "./retention-facts.ts";
import { proposeRetirement } from "../versions/retire-versions.ts";
import type { Workloads } from "./workloads.ts";

export interface RetentionOptions {
  readonly database: Database;
  readonly configuration: ConfigurationSource;
  /** Whose pulls are written into the database. Rules about others keep everything. */
  readonly pullsCounted: PullsCounted;
  /** What a namespace may select, from the grants of the settings; undefined: everything. */
  readonly granted?: (namespace: string, repository: string) => boolean;
  /** What clusters use. */
  readonly workloads: Pick<Workloads, "read">;
  /** Namespaces of a cluster in which a tenant's images may run; undefined: any. */
  readonly workloadsOf?: (namespace: string) => readonly string[] | undefined;
  /** Which tags hold what clients delete. */
  readonly isProtected: ApplyContext["isProtected"];
  readonly history: Pick<History, "note">;
}

const repositoriesAtOnce = 1_000;

export class RetentionService {
  readonly #options: RetentionOptions;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  /** Plans `policy` (namespace/name) as of now, and keeps the plan. ServiceError NOT_FOUND when no such policy is published. */
  async plan(policy: string): Promise<Plan> {
    const { database, pullsCounted, workloads } = this.#options;
    const published = this.#published(policy);
    const clock = await readClock(database);
    const clusters = await workloads.read().facts();
    const planner = createPlanner({ policy, policies: await this.#policies(), clusters, now: clock.now });
    const repositories = (await this.#all()).filter(({ name }) => planner.selects(name));
    await noteUntaggedManifests(
      database,
      repositories.filter(({ upstream }) => upstream === null).map(({ id }) => id),
    );
    const judged = await judgeAll(planner, repositories, (repository) =>
      database.transaction((snapshot) => readRepository(snapshot, repository, { counted: pullsCounted, clock }), { repeatable: true }),
    );
    const planned = planner.describe(judged, await readBlobs(database, repositories, judged));
    const plan = planDocument(policy, published.spec.action, planned, new Date(clock.now));
    await storePlan(database, plan);
    return plan;
  }

  /**
   * Deletes what the stored plan says where it is still true; what changed meanwhile stays and is in `kept`.
   * ServiceError CONFLICT when the policy only plans or is suspended, or when a limit stopped the plan and `approve` is not said.
   */
  async apply(policy: string, request: ApplyRequest, identity: string): Promise<ApplyResult> {
    const { database, pullsCounted, isProtected, workloads } = this.#options;
    const refusal = refusalOf(policy, this.#published(policy));
    if (refusal !== undefined) throw new ServiceError("CONFLICT", refusal);
    const plan = await this.#storedPlan(policy, request);
    const byName = new Map((await this.#all()).map((repository) => [repository.name, repository]));
    const context: ApplyContext = {
      database,
      pullsCounted,
      policy,
      identity,
      policies: () => this.#policies(),
      clusters: workloads.read(),
      refusal: () => refusalOf(policy, this.#find(policy)),
      isProtected,
      soFar: new AppliedSoFar({ run: request.run, policy, plan: plan.id }),
    };
    const results: Applied[] = [];
    for (const [name, entries] of groupByRepository(plan.entries.filter(({ verdict }) => verdict === "delete"))) {
      const repository = byName.get(name);
      if (repository === undefined) results.push(gone(entries));
      else if (repository.upstream === null) results.push(await applyToOwn(context, repository, entries));
      else results.push(await proposeRetirement(context, repository, entries, request.run));
    }
    const result: ApplyResult = {
      plan: plan.id,
      deleted: results.flatMap(({ deleted }) => deleted),
      kept: results.flatMap(({ kept }) => kept),
      proposals: results.flatMap(({ proposals }) => proposals),
      bytes: results.reduce((sum, { bytes }) => sum + bytes, 0),
    };
    await notePlanApplied(database, plan.id);
    if (request.run !== undefined) await noteRunApplied(database, { id: request.run, policy, applied: result });
    if (result.deleted.length + result.proposals.length > 0) this.#note(policy, identity, result);
    return result;
  }

  #note(policy: string, identity: string, { plan, deleted, bytes, proposals }: ApplyResult): void {
    const detail = { plan, deleted: deleted.length, bytes, proposals };
    this.#options.history.note({ identity, action: "prune", reference: policy, detail });
  }

  async #storedPlan(policy: string, { plan: id, approve }: ApplyRequest): Promise<Plan> {
    const stored = await findPlan(this.#options.database, policy, id);
    if (stored === undefined) {
      throw new ServiceError(
        "NOT_FOUND",
        `There is no plan ${id} of ${policy}. Plans are kept for 90 days: make one with \`npx wharfinger plan ${policy}\`.`,
      );
    }
    const { plan, appliedAt } = stored;
    if (plan.blocked === undefined) return plan;
    const { reason, message } = plan.blocked;
    if (reason !== "LimitExceeded") throw new ServiceError("CONFLICT", `Plan ${id} deletes nothing: ${message}`, { detail: plan.blocked });
    if (approve !== true) {
      throw new ServiceError("CONFLICT", `Plan ${id} was stopped: ${message}. To approve it, ${howToApprove({ id, policy })}.`, {
        detail: plan.blocked,
      });
    }
    if (appliedAt !== null) {
      throw new ServiceError(
        "CONFLICT",
        `Plan ${id} was approved and applied already, at ${appliedAt.toISOString()}. An approval is for one run: make a new plan.`,
      );
    }
    return plan;
  }

  #published(policy: string): Published<RetentionPolicySpec> {
    const found = this.#find(policy);
    if (found === undefined) throw notPublished("RetentionPolicy", policy);
    return found;
  }

  #find(policy: string): Published<RetentionPolicySpec> | undefined {
    return this.#options.configuration.current().retentionPolicies.find((published) => keyOf(published) === policy);
  }

  /** Every published policy, also those that this release could not take over: what is not understood keeps everything. */
  async #policies(): Promise<readonly PolicySource[]> {
    const { database, configuration, granted, workloadsOf } = this.#options;
    const refused = await readRefusedPolicies(database);
    const within = (namespace: string) => {
      const workloads = workloadsOf?.(namespace);
      return {
        ...(granted === undefined ? {} : { granted: (repository: string) => granted(namespace, repository) }),
        ...(workloads === undefined ? {} : { workloads }),
      };
    };
    return [
      ...configuration
        .current()
        .retentionPolicies.map((published) => ({ key: keyOf(published), spec: published.spec, ...within(published.namespace) })),
      ...refused.map((policy) => ({ key: keyOf(policy), spec: undefined, refused: policy.message, ...within(policy.namespace) })),
    ];
  }

  async #all(): Promise<readonly Repository[]> {
    const found: Repository[] = [];
    for (let after = ""; ; after = found.at(-1)?.name ?? "") {
      const page = await listRepositories(this.#options.database, { after, limit: repositoriesAtOnce });
      found.push(...page);
      if (page.length < repositoriesAtOnce) return found;
    }
  }
}

/** One repository after the other, each read as of one moment; a large one keeps the process busy for a while, so everybody else comes in between. */
async function judgeAll(
  planner: Planner,
  repositories: readonly Repository[],
  read: (repository: Repository) => Promise<RepositoryFacts>,
): Promise<readonly JudgedRepository[]> {
  const judged: JudgedRepository[] = [];
  for (const repository of repositories) {
    judged.push(planner.judge(await read(repository)));
    await setImmediate();
  }
  return judged;
}

/** Only blobs of what goes are asked for. */
async function readBlobs(
  database: Database,
  repositories: readonly Repository[],
  judged: readonly JudgedRepository[],
): Promise<FreeableBlobs> {
  const ids = new Map(repositories.map(({ id, name }) => [name, id]));
  const idOf = (name: string) => ids.get(name) ?? 0;
  const going = judged.flatMap(({ repository, condemned }) =>
    [...condemned].map((digest) => ({ repositoryId: idOf(repository.name), digest })),
  );
  const freeable = await readFreeableBlobs(database, going);
  return (name, digest) => freeable.of({ repositoryId: idOf(name), digest });
}

function keyOf({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}

/** Why the policy may not delete; undefined: it may. */
function refusalOf(policy: string, published: Published<RetentionPolicySpec> | undefined): string | undefined {
  if (published === undefined) return `RetentionPolicy ${policy} is not published any more, so nothing is deleted.`;
  if (published.spec.action !== "Delete") {
    return `RetentionPolicy ${policy} has action: Plan, so nothing is deleted. Write spec.action: Delete to let it delete what no rule keeps.`;
  }
  return published.suspend ? `RetentionPolicy ${policy} is suspended, so nothing is deleted. Take spec.suspend out first.` : undefined;
}

/** The id is the hash of what the plan says; not of the moment in which it was made. */
function planDocument(policy: string, action: Plan["action"], planned: RetentionPlan, createdAt: Date): Plan {
  const entries = planned.entries.map(wireEntry);
  return {
    id: hexOf(digestOf(JSON.stringify([policy, action, entries, planned.blocked?.reason ?? null]))).slice(0, 32),
    policy,
    action,
    createdAt: createdAt.toISOString(),
    entries,
    totals: planned.totals,
    ...(planned.blocked === undefined ? {} : { blocked: planned.blocked }),
    notes: [...planned.notes],
  };
}

function wireEntry({ repository, tag, digest, verdict, rule, reason, version, bytes }: PlannedEntry): PlanEntry {
  return { repository, ...(tag === undefined ? {} : { tag }), digest, verdict, rule, reason, version, bytes };
}

function groupByRepository(entries: readonly PlanEntry[]): ReadonlyMap<string, readonly PlanEntry[]> {
  return Map.groupBy(entries, ({ repository }) => repository);
}

function gone(entries: readonly PlanEntry[]): Applied {
  return {
    deleted: [],
    kept: entries.map((entry) => ({ ...entry, verdict: "keep", rule: "changed", reason: "the repository is gone" })),
    proposals: [],
    bytes: 0,
  };
}
