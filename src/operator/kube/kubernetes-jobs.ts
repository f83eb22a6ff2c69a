// Jobs of policies as Jobs of Kubernetes, in the operator's own namespace (design: operator, "Jobs").

import { setTimeout as sleep } from "node:timers/promises";

import { jobLabel } from "../../api/job-pods.ts";
import type { ControlClient } from "../../client/control-client.ts";
import type { ResourceKey } from "../../domain/resource.ts";
import type { Logger } from "../../observability/logger.ts";
import { jobManifest } from "../manifests/job.ts";
import type { PodSettings } from "../manifests/pod-settings.ts";
import { policyOf, type JobOutcome, type JobRunner, type ScheduledJob, type UnfinishedJob } from "../ports.ts";
import { refusedList } from "./cluster-source.ts";
import { KubeError } from "./errors.ts";
import type { EventDraft } from "./events.ts";
import { Informer, type InformerTimes } from "./informer.ts";
import { endOf, isOurs, jobOf, keptOf, type JobObject, type PodObject } from "./job-objects.ts";
import { JobRun } from "./job-run.ts";
import type { KubeClient } from "./kube-client.ts";
import { fieldManager, paths } from "./objects.ts";

export interface KubernetesJobsOptions {
  readonly client: KubeClient;
  /** As the operator. */
  readonly control: ControlClient;
  readonly namespace: string;
  readonly settings: PodSettings;
  /** PEM of who signed the registry's certificate, for a Pod that is made now; undefined: somebody whom Node knows. */
  readonly authority?: () => Promise<string | undefined>;
  /** An event of a policy. */
  readonly say: (policy: ResourceKey, event: EventDraft) => void;
  readonly logger: Logger;
  readonly times?: Partial<InformerTimes>;
}

/** Milliseconds until a Job that an API server could not take is sent again. */
const sendAgainAfter = 1_000;

/** What there is to tell at once, or the Job that is to be followed. */
type Made = { readonly job: JobObject } | { readonly outcome: JobOutcome | undefined };

export class KubernetesJobs implements JobRunner {
  readonly #options: KubernetesJobsOptions;
  readonly #jobs: Informer<JobObject>;
  readonly #pods: Informer<PodObject>;
  /** uids of Jobs that were deleted here, as long as the watch shows them. */
  readonly #removed = new Set<string>();
  #started = false;

  constructor(options: KubernetesJobsOptions) {
    this.#options = options;
    const { client, namespace, logger, times } = options;
    const shared = { client, logger, labelSelector: jobLabel, keep: keptOf, ...(times === undefined ? {} : { times }) };
    this.#jobs = new Informer<JobObject>({ ...shared, path: paths.jobs(namespace) });
    this.#pods = new Informer<PodObject>({ ...shared, path: paths.pods(namespace) });
  }

  start(): void {
    this.#started = true;
    this.#jobs.start();
    this.#pods.start();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#jobs.stop(), this.#pods.stop()]);
  }

  /** Why Jobs cannot be seen; empty when they can. */
  problems(): readonly string[] {
    const { namespace } = this.#options;
    const lists = [
      ["jobs", this.#jobs],
      ["pods", this.#pods],
    ] as const;
    return lists.flatMap(([plural, { problem }]) => (problem === undefined ? [] : [refusedList(plural, namespace, problem)]));
  }

  staleness(): readonly { readonly path: string; readonly staleFor: number }[] {
    const watched = this.#started ? [this.#jobs, this.#pods] : [];
    return watched.map(({ path, staleFor }) => ({ path, staleFor }));
  }

  async unfinished(): Promise<readonly UnfinishedJob[]> {
    await this.#jobs.answered;
    return this.#unfinished().map((object) => ({ job: jobOf(object), startedAt: object.metadata.creationTimestamp ?? "" }));
  }

  async run(job: ScheduledJob, signal: AbortSignal): Promise<JobOutcome | undefined> {
    if (signal.aborted) return undefined;
    const ended = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    await Promise.race([Promise.all([this.#jobs.synced, this.#pods.synced]), ended]);
    const made = await this.#make(job, signal);
    const { control, logger, settings, say } = this.#options;
    if ("outcome" in made) {
      if (made.outcome !== undefined) say(policyOf(job), { type: "Warning", reason: "JobFailed", note: made.outcome.message });
      return made.outcome;
    }
    const outcome = await new JobRun({
      job: jobOf(made.job),
      made: made.job,
      control,
      find: (known) => this.#find(known),
      pods: () => this.#pods.items,
      refusal: (known) => this.#refusal(known),
      remove: (known) => this.#remove(known),
      changed: (until) => this.#changed(until),
      say: (event) => say(policyOf(job), event),
      startWithin: settings.startWithin,
      deadline: settings.deadline,
      logger,
    }).follow(signal);
    if (outcome !== undefined) await this.#tidy(job);
    return outcome;
  }

  /** The one that is under way, whoever made it; else a new one. */
  async #make(job: ScheduledJob, signal: AbortSignal): Promise<Made> {
    const { client, namespace, settings, authority = async () => undefined, logger } = this.#options;
    const underWay = this.#unfinished().find((object) => isSame(jobOf(object), job));
    if (underWay !== undefined) return { job: underWay };
    const trusted = await authority().catch((error: unknown) => error as Error);
    if (trusted instanceof Error) return failed(`no Job could be made: ${trusted.message}`);
    const body = jobManifest(job, { ...settings, authority: trusted }, namespace);
    const { name } = body.metadata;
    while (!signal.aborted) {
      try {
        const made = await client.send<JobObject>({ method: "POST", path: paths.jobs(namespace), query: { fieldManager }, body });
        logger.info(`${job.kind} ${job.policy}: Job ${name}`);
        return { job: made };
      } catch (error) {
        if (!(error instanceof KubeError)) throw error;
        if (error.reason === "AlreadyExists") {
          const adopted = await this.#adopt(name, job).catch(() => undefined);
          if (adopted !== undefined) return adopted;
        } else if (error.status !== 0 && error.status < 500 && !error.busy)
          return failed(`Job ${namespace}/${name} could not be made: ${error.message}`);
        logger.debug({ error: String(error) }, `Job ${namespace}/${name} could not be made; it is tried again`);
      }
      await sleep(sendAgainAfter, undefined, { signal }).catch(() => undefined);
    }
    return { outcome: undefined };
  }

  /** Another operator wanted the same. What has ended is not run once more: who ran it has told of it. Undefined: it goes, or is gone. */
  async #adopt(name: string, job: ScheduledJob): Promise<Made | undefined> {
    const { namespace } = this.#options;
    const found = await this.#get(name);
    if (found === undefined || found.metadata.deletionTimestamp !== undefined) return undefined;
    if (!isOurs(found) || !isSame(jobOf(found), job))
      return failed(`there is a Job ${namespace}/${name} that is not ours, where one of this policy is to be: delete it`);
    return endOf(found) === undefined ? { job: found } : { outcome: undefined };
  }

  #unfinished(): readonly JobObject[] {
    const shown = [...this.#jobs.items.values()];
    for (const uid of this.#removed) if (!shown.some(({ metadata }) => metadata.uid === uid)) this.#removed.delete(uid);
    return shown.filter(
      (object) =>
        isOurs(object) &&
        endOf(object) === undefined &&
        object.metadata.deletionTimestamp === undefined &&
        !this.#removed.has(object.metadata.uid ?? ""),
    );
  }

  async #find({ metadata: { name, uid } }: JobObject): Promise<JobObject | undefined> {
    const seen = this.#jobs.items.get(name);
    // A watch may be behind: what it does not show is asked for.
    const found = seen?.metadata.uid === uid ? seen : await this.#get(name);
    return found?.metadata.uid === uid && found?.metadata.deletionTimestamp === undefined ? found : undefined;
  }

  async #get(name: string): Promise<JobObject | undefined> {
    const { client, namespace } = this.#options;
    try {
      return await client.send<JobObject>({ path: `${paths.jobs(namespace)}/${name}` });
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return undefined;
      throw error;
    }
  }

  async #remove({ metadata: { name, uid } }: JobObject): Promise<void> {
    const { client, namespace, logger } = this.#options;
    const body = { propagationPolicy: "Background", ...(uid === undefined ? {} : { preconditions: { uid } }) };
    try {
      await client.send({ method: "DELETE", path: `${paths.jobs(namespace)}/${name}`, body });
      // A watch may be behind.
      if (uid !== undefined) this.#removed.add(uid);
    } catch (error) {
      if (error instanceof KubeError && (error.status === 404 || error.status === 409)) return;
      logger.warn({ error: String(error) }, `Job ${namespace}/${name} could not be deleted; it goes by itself`);
    }
  }

  /** The Job controller says it in an event alone. */
  async #refusal({ metadata: { uid } }: JobObject): Promise<string> {
    const { client, namespace } = this.#options;
    try {
      const fieldSelector = `involvedObject.uid=${uid ?? ""},reason=FailedCreate`;
      const path = `/api/v1/namespaces/${namespace}/events`;
      const { items } = await client.send<{ readonly items: readonly { readonly message?: string }[] }>({ path, query: { fieldSelector } });
      return items.at(-1)?.message ?? "no event says why; is the Job controller running?";
    } catch (error) {
      return `its events could not be read (${(error as Error).message})`;
    }
  }

  async #changed(until: AbortSignal): Promise<void> {
    const change = Promise.withResolvers<void>();
    const ends = [this.#jobs.onChange(change.resolve), this.#pods.onChange(change.resolve)];
    until.addEventListener("abort", () => change.resolve(), { once: true });
    await change.promise;
    for (const end of ends) end();
  }

  /** Old ones of the policy; those of others go by their own end. */
  async #tidy(job: ScheduledJob): Promise<void> {
    const { succeeded, failed } = this.#options.settings.history;
    const ended = [...this.#jobs.items.values()]
      .filter((object) => isOurs(object) && endOf(object) !== undefined && isSame(jobOf(object), job))
      .sort((a, b) => ((a.metadata.creationTimestamp ?? "") < (b.metadata.creationTimestamp ?? "") ? 1 : -1));
    const [good, bad] = [true, false].map((wanted) => ended.filter((object) => endOf(object)?.succeeded === wanted));
    for (const old of [...(good ?? []).slice(succeeded), ...(bad ?? []).slice(failed)]) await this.#remove(old);
  }
}

function failed(message: string): Made {
  return { outcome: { run: "", succeeded: false, message, result: undefined } };
}

function isSame(left: ScheduledJob, right: ScheduledJob): boolean {
  return left.kind === right.kind && left.policy === right.policy;
}
