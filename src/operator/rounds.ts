// The control plane's work, level-triggered: every round looks at everything and does what is missing.

import type { Proposal, RecordState, ResourceView, UpstreamView } from "../api/control.ts";
import { annotations } from "../api/conditions.ts";
import type { RetentionPolicySpec, TagPolicySpec } from "../api/kinds.ts";
import { keyString, type ResourceKey } from "../domain/resource.ts";
import type { Logger } from "../observability/logger.ts";
import { RecordError } from "../record/errors.ts";
import { parsePath, type RecordPath } from "../record/layout.ts";
import { BatchQueue } from "./batch-queue.ts";
import type { ControlPlane, ControlPlaneOptions, FirstPublish, RecordStatus } from "./control-plane.ts";
import type { Grants } from "./grants.ts";
import { isNewRecord } from "./history-guard.ts";
import { knownUsers } from "./known-users.ts";
import { Narrator } from "./narrator.ts";
import { passageOf, type Outcome } from "./passages.ts";
import type { JobKind, JobOutcome } from "./ports.ts";
import { watchProposals } from "./proposal-watch.ts";
import { servedRecord } from "./published-resources.ts";
import { Publisher } from "./publisher.ts";
import { ownReport } from "./reconcilers/all.ts";
import { isSuspended, report, type Finding } from "./reconcilers/skeleton.ts";
import { restoreLedgers } from "./restore-ledgers.ts";
import { planRound, type RoundPlan } from "./round.ts";
import { RunOutcomes } from "./run-outcomes.ts";
import { watchRuns } from "./run-watch.ts";
import { Schedules, type ScheduledPolicy } from "./schedules.ts";
import { StatusStore } from "./status-store.ts";

/** Attempts at a commit that others race. */
const commitAttempts = 5;
const upstreamInterval = 10_000;
/** Also without a sign: the registry may have lost its database, or a watch may have missed something. */
const roundInterval = 30_000;

export class Rounds implements ControlPlane {
  readonly ready: Promise<FirstPublish>;
  readonly #options: ControlPlaneOptions;
  readonly #logger: Logger;
  readonly #narrator: Narrator;
  readonly #grants: Grants;
  readonly #publisher: Publisher;
  readonly #queue: BatchQueue;
  readonly #schedules: Schedules;
  readonly #outcomes: RunOutcomes;
  readonly #statuses: StatusStore;
  readonly #abort = new AbortController();
  readonly #subscriptions: (() => void)[] = [];
  #firstPublish: (result: FirstPublish) => void = () => undefined;
  #proposals: readonly Proposal[] = [];
  #roundsDone = new Set<() => void>();
  #upstreams: readonly UpstreamView[] | undefined;
  #status: Omit<RecordStatus, "sourceProblems"> = { head: null, published: null, orphans: [], problems: [], warnings: [], waiting: [] };
  #loops: Promise<unknown>[] = [];

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
    this.#logger = options.logger;
    this.#narrator = new Narrator(options.logger);
    this.#grants = { administrators: options.administrators ?? "default", tenants: options.tenants };
    this.#publisher = new Publisher(options);
    this.#statuses = new StatusStore({ changed: (view, before) => this.#narrator.changed(view, before) });
    this.#schedules = new Schedules({ jobs: options.jobs, changed: (kind, key, outcome) => this.#ran(kind, key, outcome) });
    this.#outcomes = new RunOutcomes({
      schedules: this.#schedules,
      history: () => options.record.history,
      narrator: this.#narrator,
      committer: () => this.#committer(),
    });
    this.#queue = new BatchQueue({
      work: () => this.#round(),
      onError: (error) => this.#logger.error({ err: error }, "a round of the control plane failed; it is tried again"),
    });
    this.ready = new Promise((resolve) => (this.#firstPublish = resolve));
  }

  start(): void {
    const { source, record, secrets, client } = this.#options;
    const look = (): void => this.#queue.add("round");
    this.#subscriptions.push(source.onChange(look), record.onMove(look), secrets?.onChange(look) ?? (() => undefined));
    this.#loops = [
      watchProposals(client, { signal: this.#abort.signal, take: (proposals) => this.#take(proposals), logger: this.#logger }),
      this.#watchRuns(look),
      this.#watchUpstreams(),
      this.#lookAgain(look),
    ];
    look();
  }

  views(): readonly ResourceView[] {
    return this.#statuses.views();
  }

  record(): RecordStatus {
    return { ...this.#status, sourceProblems: this.#options.source.snapshot().problems };
  }

  requestRun(kind: JobKind, policy: string): Promise<JobOutcome> {
    const [namespace = "", name = ""] = policy.split("/");
    const key = { kind: kind === "prune" ? "RetentionPolicy" : "TagPolicy", namespace, name } as const;
    return this.#schedules.run(kind, key, "manual");
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    for (const end of this.#subscriptions) end();
    await this.#schedules.stop();
    await this.#queue.stop();
    for (const done of this.#roundsDone) done();
    await Promise.allSettled(this.#loops);
    this.#firstPublish({ revision: null, problem: "stopped before the first publish" });
  }

  /** Resolves with the keys that failed. */
  async #round(): Promise<readonly string[]> {
    const proposals = this.#proposals;
    // Who hands over proposals from here on waits for the next round: this one does not see them.
    const waiting = this.#roundsDone;
    this.#roundsDone = new Set();
    try {
      const { plan, commitProblem } = await this.#commit(proposals);
      const outcome = await this.#publish(plan, commitProblem);
      this.#conclude(plan, outcome);
      if (outcome.publishProblem === undefined) this.#forget(plan);
      const failed = commitProblem !== undefined || outcome.publishProblem !== undefined;
      if (!failed) this.#queue.wake();
      return failed || behind(outcome.state, outcome.view.head) ? ["round"] : [];
    } catch (error) {
      this.#firstPublish({ revision: null, problem: messageOf(error) });
      throw error;
    } finally {
      for (const done of waiting) done();
    }
  }

  async #commit(proposals: readonly Proposal[]): Promise<{ plan: RoundPlan; commitProblem: string | undefined }> {
    const { record } = this.#options;
    await record.refresh();
    await this.#fillNewRecord();
    for (let attempt = 1; ; attempt++) {
      const plan = await this.#plan(proposals);
      if (plan.commits.length === 0) return { plan, commitProblem: undefined };
      try {
        const ids = await record.commit(plan.commits);
        ids.forEach((id, index) => this.#narrator.committed(id, plan.commits[index]));
        return { plan, commitProblem: undefined };
      } catch (error) {
        if (!(error instanceof RecordError)) throw error;
        if (error.code !== "Moved" || attempt === commitAttempts) {
          this.#logger.error({ error: error.message }, "the record could not be committed to; what is published stays");
          return { plan: { ...plan, settled: [] }, commitProblem: error.message };
        }
        await record.refresh();
      }
    }
  }

  async #plan(proposals: readonly Proposal[]): Promise<RoundPlan> {
    const { record, source } = this.#options;
    return planRound({
      snapshot: source.snapshot(),
      view: record.view,
      history: record.history,
      grants: this.#grants,
      committer: this.#committer(),
      proposals,
      others: this.#outcomes.commits(),
      confirmedRemoval: (await record.confirmations()).removal,
      now: new Date(),
    });
  }

  /** A repository without any memory beside a registry with a revision: what was published comes back before anything else is written. */
  async #fillNewRecord(): Promise<void> {
    const { record, client } = this.#options;
    if (!(await isNewRecord(record))) return;
    const { revision } = await this.#publisher.refresh();
    if (revision === null || record.history.has(revision)) return;
    const commits = await restoreLedgers(client, this.#committer());
    if (commits.length > 0) await record.commit(commits);
    this.#logger.warn(
      { versions: commits.length },
      "the record is new beside a registry that has published before: its versions were written back from there",
    );
    if (record.view.head !== null) await record.confirm("accepted", record.view.head);
  }

  async #publish(plan: RoundPlan, commitProblem: string | undefined): Promise<Outcome> {
    const { record } = this.#options;
    const suspended = new Set(plan.judgements.filter(({ observed }) => isSuspended(observed.spec)).map(({ key }) => keyString(key)));
    const served = servedRecord(record.view, record.history, { grants: this.#grants, suspended: (key) => suspended.has(keyString(key)) });
    const everHadAccessPolicy = record.history.paths().some((path) => isAccessPolicy(parsePath(path)));
    const base = { view: record.view, history: record.history, installation: record.installation, served, commitProblem };
    try {
      const { state, verdict } = await this.#publisher.publish(served.resources, { settled: plan.settled, everHadAccessPolicy });
      if (verdict.state === "good") return { ...base, state, publishProblem: undefined };
      const message = verdict.state === "waits" ? verdict.message : "the record is new";
      return { ...base, state: this.#publisher.state, publishProblem: { reason: "RevisionNotAccepted", message } };
    } catch (error) {
      const message = `recorded, not published yet: ${messageOf(error)}`;
      this.#logger.warn({ error: messageOf(error) }, "the record could not be published; it is tried again");
      return { ...base, state: this.#publisher.state, publishProblem: { reason: "NotPublished", message } };
    }
  }

  #conclude(plan: RoundPlan, outcome: Outcome): void {
    this.#updateSchedules(plan, outcome);
    const context = {
      view: outcome.view,
      upstreams: this.#upstreams,
      secrets: this.#options.secrets,
      users: knownUsers(this.#options.secrets, this.#options.users),
      runsOf: (key: ResourceKey) => this.#schedules.stateOf(key.kind === "TagPolicy" ? "tag-sync" : "prune", key),
    };
    this.#statuses.replace(
      plan.judgements.map((judgement) => report(judgement, passageOf(judgement, outcome), ownReport(judgement, context))),
    );
    const { head } = outcome.view;
    this.#status = {
      head,
      published: outcome.state?.revision ?? null,
      orphans: plan.removals.orphans,
      problems: outcome.view.problems,
      warnings: outcome.view.warnings,
      waiting: waitingFor(plan, outcome.publishProblem, head),
    };
    this.#narrator.record(this.#status);
    this.#firstPublish({ revision: outcome.state?.revision ?? null, problem: outcome.publishProblem?.message ?? outcome.commitProblem });
  }

  /** Only what is published runs: a job asks the registry for its policy. */
  #updateSchedules(plan: RoundPlan, outcome: Outcome): void {
    if (outcome.publishProblem !== undefined) return;
    const served = new Map(outcome.served.resources.map((resource) => [keyString(resource), resource]));
    const scheduled = (kind: ResourceKey["kind"]): ScheduledPolicy[] =>
      plan.judgements.flatMap((judgement) => {
        const resource = served.get(keyString(judgement.key));
        if (judgement.key.kind !== kind || judgement.state !== "good" || resource === undefined) return [];
        const { schedule, timeZone } = resource.spec as TagPolicySpec | RetentionPolicySpec;
        const asked = judgement.observed.annotations;
        const requestedAt = asked[annotations.requestedAt] ?? asked[annotations.fluxRequestedAt];
        const approve = asked[annotations.approvePlan];
        const { revision } = resource;
        const recordedAt = outcome.history.commit(revision)?.date;
        const policy = { key: judgement.key, revision, schedule, timeZone, requestedAt };
        return [{ ...policy, ...(recordedAt === undefined ? {} : { recordedAt }), ...(approve === undefined ? {} : { approve }) }];
      });
    this.#schedules.update("tag-sync", scheduled("TagPolicy"));
    this.#schedules.update("prune", scheduled("RetentionPolicy"));
  }

  #forget({ settled }: RoundPlan): void {
    const done = new Set(settled.map(({ id }) => id));
    this.#proposals = this.#proposals.filter(({ id }) => !done.has(id));
  }

  /** Resolves when a round has looked at them. */
  #take(proposals: readonly Proposal[]): Promise<void> {
    if (this.#abort.signal.aborted) return Promise.resolve();
    this.#proposals = proposals;
    return new Promise((resolve) => {
      this.#roundsDone.add(resolve);
      this.#queue.add("round");
    });
  }

  #ran(kind: JobKind, key: ResourceKey, outcome: JobOutcome | undefined): void {
    if (outcome !== undefined) this.#outcomes.ran(kind, key, outcome);
    this.#queue.add("round");
  }

  #watchRuns(look: () => void): Promise<void> {
    const { client, record } = this.#options;
    return watchRuns(client, {
      signal: this.#abort.signal,
      told: () => record.history.lastRun,
      begin: (newest, untold) => {
        this.#outcomes.begin(newest, untold);
        look();
      },
      take: (runs) => {
        this.#outcomes.heard(runs);
        look();
      },
      logger: this.#logger,
    });
  }

  async #watchUpstreams(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      const seen = await this.#options.client.upstreams().catch(() => undefined);
      if (seen !== undefined && summary(seen) !== summary(this.#upstreams)) {
        this.#upstreams = seen;
        this.#queue.add("round");
      }
      await pause(upstreamInterval, this.#abort.signal);
    }
  }

  async #lookAgain(look: () => void): Promise<void> {
    while (!this.#abort.signal.aborted) {
      await pause(this.#options.times?.lookAgainAfter ?? roundInterval, this.#abort.signal);
      look();
    }
  }

  #committer() {
    return { installation: this.#options.record.installation, appliedBy: this.#options.appliedBy ?? "wharfinger" };
  }
}

function isAccessPolicy(place: RecordPath | undefined): boolean {
  return place?.type === "resource" && place.key.kind === "AccessPolicy";
}

function waitingFor(plan: RoundPlan, publishProblem: Finding | undefined, head: string | null): string[] {
  const waiting: string[] = [];
  if (publishProblem?.reason === "RevisionNotAccepted") waiting.push(publishProblem.message);
  if (plan.removals.waiting) {
    const named = plan.removals.removals.filter(({ present }) => present).map(({ key }) => keyString(key));
    waiting.push(
      `${named.length} resources are gone at once (${named.join(", ")}); they are served on. To remove them: npx wharfinger record confirm-removal ${head ?? ""}`,
    );
  }
  for (const { repository } of plan.deferred) waiting.push(`versions of ${repository} wait until its ledger file is valid`);
  return [...new Set(waiting)];
}

function behind(state: RecordState | undefined, head: string | null): boolean {
  return state !== undefined && state.pods.some(({ revision }) => revision !== head);
}

function summary(views: readonly UpstreamView[] | undefined): string | undefined {
  return views === undefined
    ? undefined
    : JSON.stringify(views.map(({ key, reachable, message, credentialsLoaded }) => [key, reachable, message, credentialsLoaded]));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    timer.unref();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
