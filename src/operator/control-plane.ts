// The operator without its Kubernetes: sources in, Git and the registry out. What happens, and when; a round does the work.

import type { RecordState } from "../api/control/record.ts";
import type { ResourceView } from "../api/control/resources.ts";
import type { TagPolicySpec } from "../api/kinds.ts";
import type { ControlClient } from "../client/control-client.ts";
import { keyString, type ResourceKey } from "../domain/resource.ts";
import type { SecretSource } from "../domain/secrets.ts";
import type { Logger } from "../observability/logger.ts";
import type { Announce } from "../observability/obstacles.ts";
import type { PlannedCommit } from "../record/commits.ts";
import type { GitRecord } from "../record/repository.ts";
import { BatchQueue } from "./batch-queue.ts";
import { every } from "./every.ts";
import type { Grant } from "./rounds/grants.ts";
import type { KnownIssuer } from "./credentials/known-issuers.ts";
import { knownUsers, type UsersSecret } from "./credentials/known-users.ts";
import { Narrator } from "./narrator.ts";
import { metOther } from "./rounds/other-installation.ts";
import { passageOf, type Outcome } from "./rounds/passages.ts";
import { probeWishes } from "./upstreams/probe-wishes.ts";
import { byCommand, type HowToSay } from "./persons-word.ts";
import type { CredentialsDelivery, JobKind, JobOutcome, JobRunner, ResourceSource } from "./ports.ts";
import { watchProposals } from "./rounds/proposal-watch.ts";
import { ownReport } from "./reconcilers/all.ts";
import type { ReportContext } from "./reconcilers/reconciler.ts";
import { lackOf } from "./reconcilers/run-credentials.ts";
import { report, type Judgement } from "./reconcilers/skeleton.ts";
import { nothingYet, recordStatus, type RecordStatus, type RoundStatus } from "./rounds/record-status.ts";
import type { RoundPlan } from "./rounds/round.ts";
import { Rounds } from "./rounds/rounds.ts";
import { RunOutcomes } from "./runs/run-outcomes.ts";
import { watchRuns } from "./runs/run-watch.ts";
import { haltOf, scheduledPolicies } from "./runs/scheduled-policies.ts";
import { Schedules } from "./runs/schedules.ts";
import { secretsNamedBy } from "./credentials/secret-references.ts";
import { StatusStore } from "./status-store.ts";
import { unsourced } from "./rounds/unsourced.ts";
import { UpstreamProbes } from "./upstreams/upstream-probes.ts";
import { UpstreamWatch } from "./upstreams/upstream-watch.ts";
import { WaitingProposals } from "./rounds/waiting-proposals.ts";

const defaultAdministrators = "default";

export interface ControlPlaneOptions {
  readonly source: ResourceSource;
  /** Opened and closed by the caller. */
  readonly record: GitRecord;
  readonly client: ControlClient;
  readonly jobs: JobRunner;
  readonly jobsAtOnce: number;
  readonly logger: Logger;
  /** Events of the Pod that this runs in. */
  readonly announce?: Announce | undefined;
  /** Grants of the settings. */
  readonly tenants: readonly Grant[];
  /** Where `secretRef`s are looked up for the conditions. */
  readonly secrets?: SecretSource;
  /** Who brings those to the registry's processes; without it these read them in the same place. */
  readonly delivery?: CredentialsDelivery;
  /** The Secret that holds the users whom AccessPolicies name; without it nothing is said of them. */
  readonly users?: UsersSecret;
  /** Issuers that AccessPolicies may name; without them nothing is said of these. */
  readonly issuers?: readonly KnownIssuer[];
  /** The namespace that needs no grant; default: `default`, where a folder's resources are. */
  readonly administrators?: string;
  /** Field manager that the commits name. */
  readonly appliedBy?: string;
  /** How a person lets go on what waits; default: by the command line. */
  readonly howToSay?: HowToSay;
  /** Called for each commit that this control plane has made. */
  readonly committed?: (id: string, commit: PlannedCommit) => void;
  /** Called with every view and what is to be said of the record after each round, also when nothing changed. */
  readonly told?: (views: readonly ResourceView[], record: RecordStatus) => void;
  /** Milliseconds: between two looks at everything, and until what the registry refused is offered again. */
  readonly times?: { readonly lookAgainAfter?: number; readonly refusedAgainAfter?: number };
}

export interface FirstPublish {
  /** What the registry serves now. */
  readonly revision: string | null;
  /** Why it is not what Git says. */
  readonly problem: string | undefined;
}

export interface ControlPlane {
  /** Every resource with its conditions. */
  views(): readonly ResourceView[];
  record(): RecordStatus;
  /** The first publish is done, or failed: then the registry serves what it had, and it is tried again. */
  readonly ready: Promise<FirstPublish>;
  stop(): Promise<void>;
}

export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const plane = new LevelTriggered(options);
  plane.start();
  return plane;
}

/** Also without a sign: the registry may have lost its database, or a watch may have missed something. */
const roundInterval = 30_000;

class LevelTriggered implements ControlPlane {
  readonly ready: Promise<FirstPublish>;
  readonly #options: ControlPlaneOptions;
  readonly #narrator: Narrator;
  readonly #rounds: Rounds;
  readonly #queue: BatchQueue;
  readonly #schedules: Schedules;
  readonly #outcomes: RunOutcomes;
  readonly #statuses: StatusStore;
  readonly #upstreams: UpstreamWatch;
  readonly #probes: UpstreamProbes;
  readonly #proposals = new WaitingProposals();
  readonly #abort = new AbortController();
  readonly #subscriptions: (() => void)[] = [];
  #firstPublish: (result: FirstPublish) => void = () => undefined;
  #status: RoundStatus = nothingYet;
  #loops: Promise<unknown>[] = [];

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
    const { logger, record } = options;
    const committer = { installation: record.installation, appliedBy: options.appliedBy ?? "wharfinger" };
    this.#narrator = new Narrator(options);
    this.#statuses = new StatusStore({ changed: (view, before) => this.#narrator.changed(view, before) });
    this.#schedules = new Schedules({
      jobs: options.jobs,
      maxConcurrent: options.jobsAtOnce,
      changed: (kind, key, outcome) => this.#ran(kind, key, outcome),
    });
    this.#outcomes = new RunOutcomes({
      schedules: this.#schedules,
      history: () => record.history,
      narrator: this.#narrator,
      committer,
    });
    this.#upstreams = new UpstreamWatch({ client: options.client, changed: this.#look });
    this.#probes = new UpstreamProbes({
      client: options.client,
      known: () => this.#upstreams.views,
      heard: (view) => this.#upstreams.hear(view),
      answered: this.#look,
      logger,
    });
    this.#rounds = new Rounds({
      ...options,
      grants: { administrators: options.administrators ?? defaultAdministrators, tenants: options.tenants },
      committer,
      others: () => this.#outcomes.commits(),
      narrator: { committed: (id, commit) => this.#committed(id, commit), notPublished: (error) => this.#narrator.notPublished(error) },
      howToSay: options.howToSay ?? byCommand,
    });
    this.#queue = new BatchQueue({
      work: () => this.#round(),
      onError: (error) => this.#narrator.notPublished(error),
    });
    this.ready = new Promise((resolve) => (this.#firstPublish = resolve));
  }

  start(): void {
    const { source, record, secrets, delivery, client, logger, times } = this.#options;
    const { signal } = this.#abort;
    this.#subscriptions.push(source.onChange(this.#look), record.onMove(this.#look));
    for (const told of [secrets, delivery]) if (told !== undefined) this.#subscriptions.push(told.onChange(this.#look));
    this.#loops = [
      watchProposals(client, { signal, take: (proposals) => this.#take(proposals), logger }),
      this.#watchRuns(),
      this.#upstreams.run(signal),
      every(times?.lookAgainAfter ?? roundInterval, signal, this.#look),
    ];
    this.#look();
  }

  views(): readonly ResourceView[] {
    return this.#statuses.views();
  }

  record(): RecordStatus {
    return { ...this.#status, sourceProblems: this.#options.source.snapshot().problems };
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#options.record.hangUp();
    for (const end of this.#subscriptions) end();
    await this.#probes.stop();
    await this.#schedules.stop();
    await this.#queue.stop();
    this.#proposals.look().over();
    await Promise.allSettled(this.#loops);
    this.#firstPublish({ revision: null, problem: "stopped before the first publish" });
  }

  /** Something may have changed: a round is due. */
  readonly #look = (): void => this.#queue.add("round");

  /** Resolves with the keys that failed. */
  async #round(): Promise<readonly string[]> {
    const { proposals, over } = this.#proposals.look();
    try {
      const { plan, outcome } = await this.#rounds.run(proposals);
      this.#conclude(plan, outcome);
      if (outcome.publishProblem === undefined) this.#proposals.forget(plan.settled);
      const failed = outcome.commitProblem !== undefined || outcome.publishProblem !== undefined;
      return failed || behind(outcome.state, outcome.view.head) ? ["round"] : [];
    } catch (error) {
      this.#firstPublish({ revision: null, problem: error instanceof Error ? error.message : String(error) });
      throw error;
    } finally {
      over();
    }
  }

  #conclude(plan: RoundPlan, outcome: Outcome): void {
    const { secrets, delivery, howToSay = byCommand } = this.#options;
    // First: what is new is lacking from now on.
    if (delivery !== undefined) deliver(delivery, plan, outcome);
    const context = this.#context(plan, outcome);
    if (outcome.publishProblem === undefined) {
      this.#narrator.published();
      const lacks = (key: ResourceKey, spec: TagPolicySpec) => lackOf(key, spec, context)?.what;
      this.#schedules.update("tag-sync", scheduledPolicies("TagPolicy", plan.judgements, outcome, lacks));
      this.#schedules.update("prune", scheduledPolicies("RetentionPolicy", plan.judgements, outcome, lacks));
      this.#schedules.halt((key) => haltOf(key, plan.judgements, outcome));
      const there = new Set([...plan.judgements.map(({ key }) => key), ...outcome.served.resources].map(keyString));
      this.#schedules.keep((key) => there.has(keyString(key)));
    }
    // What is not published yet cannot be asked about.
    if (outcome.publishProblem === undefined) this.#probes.want(probeWishes(plan.judgements, outcome, { secrets, delivery }));
    this.#statuses.replace([
      ...plan.judgements.map((judgement) => report(judgement, passageOf(judgement, outcome), ownReport(judgement, context))),
      ...unsourced(plan, outcome, howToSay),
    ]);
    const other = plan.other && metOther(plan.other, this.#options.record);
    this.#status = { ...recordStatus(plan, outcome, howToSay), other };
    this.#options.told?.(this.views(), this.record());
    this.#narrator.record(this.#status);
    this.#firstPublish({ revision: outcome.state?.revision ?? null, problem: (outcome.publishProblem ?? outcome.commitProblem)?.message });
  }

  #context({ judgements }: RoundPlan, outcome: Outcome): ReportContext {
    const { secrets, users, delivery, issuers, administrators = defaultAdministrators } = this.#options;
    const wasReady = (judgement: Judgement) =>
      judgement.observed.wasReady === true || (judgement.state === "good" && this.#statuses.saidReady(judgement.desired));
    const ready = new Set(judgements.filter(wasReady).map(({ key }) => keyString(key)));
    return {
      view: outcome.view,
      wasReady: (key) => ready.has(keyString(key)),
      upstreams: this.#upstreams.views,
      recordedGeneration: (key) => outcome.history.memoryOf(key)?.generation,
      awaitsProbe: (key, requestedAt) => this.#awaitsProbe(key, requestedAt, outcome),
      secrets,
      delivery,
      users: knownUsers(secrets, users, delivery),
      issuers,
      administrators,
      runsOf: (key) => this.#schedules.stateOf(key.kind === "TagPolicy" ? "tag-sync" : "prune", key),
    };
  }

  /** What is not published cannot be asked about, and is not done with a request for that. */
  #awaitsProbe({ kind, namespace, name }: ResourceKey, requestedAt: string, { publishProblem }: Outcome): boolean {
    if (kind !== "Upstream") return false;
    return publishProblem !== undefined || this.#probes.awaits(`${namespace}/${name}`, requestedAt);
  }

  #committed(id: string, commit: PlannedCommit | undefined): void {
    this.#narrator.committed(id, commit);
    if (commit !== undefined) this.#options.committed?.(id, commit);
  }

  #take(proposals: Parameters<WaitingProposals["hand"]>[0]): Promise<void> {
    if (this.#abort.signal.aborted) return Promise.resolve();
    const seen = this.#proposals.hand(proposals);
    this.#look();
    return seen;
  }

  #ran(kind: JobKind, key: ResourceKey, outcome: JobOutcome | undefined): void {
    if (outcome !== undefined) this.#outcomes.ran(kind, key, outcome);
    this.#look();
  }

  #watchRuns(): Promise<void> {
    const { client, record, logger } = this.#options;
    return watchRuns(client, {
      signal: this.#abort.signal,
      told: () => record.history.lastRun,
      begin: (newest, untold) => {
        this.#outcomes.begin(newest, untold);
        this.#look();
      },
      take: (runs) => {
        this.#outcomes.heard(runs);
        this.#look();
      },
      logger,
    });
  }
}

/** What is served, and what will be. As long as the registry serves an older revision, what that one names stays too. */
function deliver(delivery: CredentialsDelivery, { judgements }: RoundPlan, { served, state, view, publishProblem }: Outcome): void {
  const coming = judgements.flatMap((judgement) =>
    judgement.state === "good" || judgement.state === "blocked" ? [{ ...judgement.key, spec: judgement.desired.spec }] : [],
  );
  delivery.want([...served.resources, ...coming].flatMap(secretsNamedBy), {
    keepOthers: state === undefined || publishProblem !== undefined || behind(state, view.head),
  });
  if (state !== undefined) delivery.heard(state.pods);
}

function behind(state: RecordState | undefined, head: string | null): boolean {
  return state !== undefined && state.pods.some(({ revision }) => revision !== head);
}
