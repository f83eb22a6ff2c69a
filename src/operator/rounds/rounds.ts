// Round after round, level-triggered: everything is looked at, what is missing is committed, and what Git says is published.

import { failpoint } from "#failpoints";

import type { Proposal } from "../../api/control/proposals.ts";
import type { ControlClient } from "../../client/control-client.ts";
import { keyString } from "../../domain/resource.ts";
import type { Logger } from "../../observability/logger.ts";
import { reasons, trailers as names } from "../../api/conditions.ts";
import { RecordError, UntrustedCommit, type RecordErrorCode } from "../../record/errors.ts";
import { parsePath, type RecordPath } from "../../record/layout.ts";
import type { PlannedCommit } from "../../record/commits.ts";
import type { Committer } from "../../record/messages.ts";
import type { GitRecord } from "../../record/repository.ts";
import { ChangePace } from "./change-pace.ts";
import type { Grants } from "./grants.ts";
import { isNewRecord } from "./history-guard.ts";
import type { Narrator } from "../narrator.ts";
import { Yielding } from "./other-installation.ts";
import type { Outcome } from "./passages.ts";
import type { HowToSay } from "../persons-word.ts";
import type { ResourceSource } from "../ports.ts";
import { servedRecord } from "./published-resources.ts";
import { Publisher } from "./publisher.ts";
import { isSuspended, type Finding } from "../reconcilers/skeleton.ts";
import { restoreLedgers } from "./restore-ledgers.ts";
import { planRound, type RoundPlan } from "./round.ts";
import { Verdicts } from "../../validation/verdicts.ts";
import { requestedAtOf } from "../runs/scheduled-policies.ts";

/** Attempts at a commit that others race. */
const commitAttempts = 5;

export interface RoundsOptions {
  readonly source: Pick<ResourceSource, "snapshot">;
  readonly record: GitRecord;
  readonly client: Pick<ControlClient, "record" | "publish" | "repositories" | "versions">;
  readonly grants: Grants;
  readonly committer: Committer;
  /** Commits that are ready as they are. */
  readonly others: () => readonly PlannedCommit[];
  readonly narrator: Pick<Narrator, "committed" | "notPublished">;
  readonly howToSay: HowToSay;
  readonly logger: Logger;
  readonly pace?: ChangePace;
  /** Milliseconds until what the registry refused is offered again. */
  readonly times?: { readonly refusedAgainAfter?: number };
}

export interface Round {
  readonly plan: RoundPlan;
  readonly outcome: Outcome;
}

export class Rounds {
  readonly #options: RoundsOptions;
  readonly #publisher: Publisher;
  readonly #verdicts = new Verdicts();
  readonly #pace: ChangePace;
  readonly #yielding = new Yielding();
  /** Requests for a look that were heard. */
  #requests = "";
  #lastProblem: string | undefined;

  constructor(options: RoundsOptions) {
    this.#options = options;
    this.#publisher = new Publisher(options);
    this.#pace = options.pace ?? new ChangePace();
  }

  /** One round. Rejects when Git could not even be read, or the registry of a new record did not answer. */
  async run(proposals: readonly Proposal[]): Promise<Round> {
    this.#hearRequests();
    const round = await this.#once(proposals);
    const published = this.#publisher.state?.revision ?? null;
    if (published === null || this.#options.record.history.has(published)) return round;
    // Another operator published what it has pushed: it is there to be fetched, or history was rewritten.
    if (!this.#options.record.askRemote()) return round;
    const again = await this.#once(proposals);
    // What the first one committed hides it from the second.
    return { ...again, plan: { ...again.plan, other: again.plan.other ?? round.plan.other } };
  }

  async #once(proposals: readonly Proposal[]): Promise<Round> {
    const { plan, commitProblem } = await this.#commit(proposals);
    return { plan, outcome: await this.#publish(plan, commitProblem) };
  }

  async #commit(proposals: readonly Proposal[]): Promise<{ plan: RoundPlan; commitProblem: Finding | undefined }> {
    const { record, narrator } = this.#options;
    await this.#refresh();
    for (let attempt = 1; ; attempt++) {
      try {
        if (record.problem === undefined) await this.#fillNewRecord();
        await this.#judgeAhead();
        const plan = this.#plan(proposals);
        if (plan.commits.length > 0) await failpoint("record.decided");
        const ids = plan.commits.length === 0 ? [] : await record.commit(plan.commits);
        ids.forEach((id, index) => narrator.committed(id, plan.commits[index]));
        this.#pace.recorded(plan.commits.flatMap(resourceOf));
        if (record.problem === undefined) for (const word of plan.removals.heard) await record.spend("removal", word);
        this.#lastProblem = undefined;
        return { plan, commitProblem: undefined };
      } catch (error) {
        if (!(error instanceof RecordError)) throw error;
        if (error.code !== "Moved" || attempt === commitAttempts)
          return { plan: { ...this.#plan(proposals), settled: [] }, commitProblem: this.#tell(error) };
        await record.refresh();
      }
    }
  }

  /** A copy of the record that is new here does not say what was published of it: the registry does. */
  async #refresh(): Promise<void> {
    const { record } = this.#options;
    await record.refresh();
    if (!record.needsAnchor) return;
    record.trustFrom((await this.#publisher.refresh()).revision);
    await record.refresh();
  }

  /** Once: it is the same until it goes. */
  #tell(error: RecordError): Finding {
    const { message } = error;
    if (message !== this.#lastProblem)
      this.#options.logger.error({ error: message }, "the record could not be committed to; what is published stays");
    this.#lastProblem = message;
    return this.#findingOf(error);
  }

  #findingOf(error: RecordError): Finding {
    const { message, code } = error;
    const way =
      error instanceof UntrustedCommit ? `, or go on with it as it is: ${this.#options.howToSay("accept-revision", error.head)}` : "";
    return { reason: ofProblem[code] ?? reasons.notRecorded, message: `${message}${way}` };
  }

  /** Whoever annotates a resource wants to see what is in Git now. */
  #hearRequests(): void {
    const { source, record } = this.#options;
    const asked = source.snapshot().resources.flatMap((resource) => {
      const at = requestedAtOf(resource.annotations);
      return at === undefined ? [] : [`${keyString(resource)} ${at}`];
    });
    const requests = asked.sort().join("\n");
    if (requests !== this.#requests) record.askRemote();
    this.#requests = requests;
  }

  /** A plan is made in one piece. */
  #judgeAhead(): Promise<void> {
    const { record, source } = this.#options;
    const resources = source.snapshot().resources.filter(({ spec }) => !isSuspended(spec));
    return this.#verdicts.ahead(resources, (resource) => ({ previous: record.view.resources.get(keyString(resource))?.spec }));
  }

  #plan(proposals: readonly Proposal[]): RoundPlan {
    const { record, source, grants, committer, others } = this.#options;
    return planRound({
      snapshot: source.snapshot(),
      view: record.view,
      history: record.history,
      grants,
      verdicts: this.#verdicts,
      mayRecord: (id) => this.#pace.mayRecord(id),
      // Administrators may: theirs are all resources of a folder, and of many clusters.
      yieldsTo: (other) => this.#yielding.to(other, record.history, new Date()),
      roomIn: (namespace) => (namespace === grants.administrators ? Infinity : this.#pace.roomIn(namespace)),
      committer,
      proposals,
      others: others(),
      removalWords: record.confirmations.removals,
      now: new Date(),
    });
  }

  /** A repository without any memory beside a registry with a revision: what was published comes back before anything else is written. */
  async #fillNewRecord(): Promise<void> {
    const { record, client, committer, logger } = this.#options;
    if (!isNewRecord(record)) return;
    const { revision } = await this.#publisher.refresh();
    if (revision === null || record.history.has(revision)) return;
    const commits = await restoreLedgers(client, committer);
    if (commits.length > 0) await record.commit(commits);
    logger.warn(
      { versions: commits.length },
      "the record is new beside a registry that has published before: its versions were written back from there",
    );
    if (record.view.head !== null) await record.confirm("accepted", record.view.head);
  }

  /** Only a HEAD that was just fetched or just pushed is published (design: record, "Publishing"). */
  async #stay(problem: RecordError): Promise<Pick<Outcome, "state" | "publishProblem">> {
    const state = await this.#publisher.refresh();
    // A remote that is away is none of a resource's business that is served as it is here; a commit that waits for a person is everybody's.
    const published = state.revision === this.#options.record.view.head && !(problem instanceof UntrustedCommit);
    return { state, publishProblem: published ? undefined : this.#findingOf(problem) };
  }

  async #publish(plan: RoundPlan, commitProblem: Finding | undefined): Promise<Outcome> {
    const { record, grants, narrator } = this.#options;
    const suspended = new Set(plan.judgements.filter(({ observed }) => isSuspended(observed.spec)).map(({ key }) => keyString(key)));
    const served = servedRecord(record.view, record.history, { grants, suspended: (key) => suspended.has(keyString(key)) });
    const everHadAccessPolicy = record.history.paths().some((path) => isAccessPolicy(parsePath(path)));
    const { view, history, installation } = record;
    const base = {
      view,
      history,
      installation,
      yieldsTo: plan.yieldsTo,
      served,
      commitProblem,
      remoteProblem: record.problem && this.#findingOf(record.problem).message,
    };
    try {
      if (record.problem !== undefined) return { ...base, ...(await this.#stay(record.problem)) };
      const { state, verdict } = await this.#publisher.publish(served.resources, { settled: plan.settled, everHadAccessPolicy });
      if (verdict.state === "good") return { ...base, state, publishProblem: undefined };
      const message = verdict.state === "waits" ? verdict.message : "the record is new";
      return { ...base, state: this.#publisher.state, publishProblem: { reason: "RevisionNotAccepted", message } };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      narrator.notPublished(error);
      const message = `recorded, not published yet: ${why}`;
      return { ...base, state: this.#publisher.state, publishProblem: { reason: "NotPublished", message } };
    }
  }
}

const ofProblem: Partial<Record<RecordErrorCode, string>> = {
  RemoteUnavailable: reasons.remoteUnavailable,
  RemoteRefused: reasons.authenticationFailed,
  PushRefused: reasons.pushRefused,
  RecordConflict: reasons.recordConflict,
  SigningFailed: reasons.signingFailed,
  SignerNotAllowed: reasons.signerNotAllowed,
};

/** The id of the resource that a commit records. */
function resourceOf({ trailers }: PlannedCommit): readonly string[] {
  return trailers.flatMap(([name, value]) => (name === names.resource ? [value] : []));
}

function isAccessPolicy(place: RecordPath | undefined): boolean {
  return place?.type === "resource" && place.key.kind === "AccessPolicy";
}
