// One Job, from its first Pod to its outcome: each Pod gets its run at the registry, each run its end, whatever becomes of the Pod.
// Level-triggered: it looks at what is there, again and again, so it makes no difference whether this process made the Job.

import { setTimeout as sleep } from "node:timers/promises";

import type { ControlClient } from "../../client/control-client.ts";
import { ClientError } from "../../client/errors.ts";
import { formatDuration } from "../../domain/duration.ts";
import type { Logger } from "../../observability/logger.ts";
import { RunHalted, type JobOutcome, type ScheduledJob } from "../ports.ts";
import type { EventDraft } from "./events.ts";
import { describeEnd, endOf, hasEnded, hasRun, obstacleOf, podsOf, type JobObject, type PodObject } from "./job-objects.ts";

export interface JobRunOptions {
  readonly job: ScheduledJob;
  readonly made: JobObject;
  readonly control: ControlClient;
  /** As it is now; undefined: it is gone. Rejects when that is not known. */
  readonly find: (made: JobObject) => Promise<JobObject | undefined>;
  readonly pods: () => ReadonlyMap<string, PodObject>;
  /** Why no Pod was made of it. Never rejects. */
  readonly refusal: (made: JobObject) => Promise<string>;
  /** Ends it and its Pods. Never rejects. */
  readonly remove: (made: JobObject) => Promise<void>;
  /** Resolves with the next change of a Job or a Pod. */
  readonly changed: (signal: AbortSignal) => Promise<void>;
  /** An event of the policy. */
  readonly say: (event: EventDraft) => void;
  /** Milliseconds, as in the settings. */
  readonly startWithin: number;
  readonly deadline: number;
  readonly logger: Logger;
}

interface Registered {
  readonly run: string;
  ended: boolean;
}

/** Milliseconds between two looks where nothing changes, and after one that failed. */
const lookAgainAfter = 2_000;
/** Milliseconds for which an end waits for a registry that does not answer. */
const patience = 10_000;

export class JobRun {
  readonly #options: JobRunOptions;
  /** By Pod. */
  readonly #runs = new Map<string, Registered>();
  readonly #since = performance.now();
  /** Why a Pod has no run yet. */
  #problem: string | undefined;
  #started = false;
  #warned = false;
  /** Why it was ended, once it was: all that is left is to hear what became of its run. */
  #concluded: string | undefined;
  #endingSince: number | undefined;

  constructor(options: JobRunOptions) {
    this.#options = options;
  }

  /** Undefined when `signal` ends the wait; RunHalted ends the Job. */
  async follow(signal: AbortSignal): Promise<JobOutcome | undefined> {
    for (;;) {
      if (signal.aborted && !(signal.reason instanceof RunHalted)) return undefined;
      // From before the look: what changes during it is looked at too.
      const wait = new AbortController();
      const changed = this.#options.changed(wait.signal);
      try {
        if (signal.aborted) await this.#conclude((signal.reason as RunHalted).message, "JobStopped");
        const outcome = this.#concluded === undefined ? await this.#look() : await this.#outcome(this.#concluded);
        if (outcome !== undefined) return outcome;
      } catch (error) {
        this.#options.logger.debug({ error: String(error) }, `Job ${this.#name} could not be looked at; it is tried again`);
      }
      const ended = signal.aborted ? wait.signal : AbortSignal.any([signal, wait.signal]);
      await Promise.race([changed, sleep(lookAgainAfter, undefined, { signal: ended }).catch(() => undefined)]);
      wait.abort();
    }
  }

  get #name(): string {
    return this.#options.made.metadata.name;
  }

  async #look(): Promise<JobOutcome | undefined> {
    const { find, made, pods } = this.#options;
    const job = await find(made);
    if (job === undefined) return this.#give(`Job ${this.#name} was deleted before it had ended`);
    const found = podsOf(pods(), job);
    for (const pod of found) {
      const refused = await this.#register(pod);
      if (refused !== undefined) return this.#give(refused);
      if (hasEnded(pod)) await this.#endRun(pod.metadata.name, describeEnd(pod));
    }
    const end = endOf(job);
    if (end !== undefined) return this.#over(end, found);
    for (const pod of this.#runs.keys()) {
      if (!found.some(({ metadata }) => metadata.name === pod)) await this.#endRun(pod, "is gone");
    }
    this.#started ||= found.some(hasRun);
    return this.#started ? undefined : this.#notStarted(found);
  }

  /** Undefined: it has its run, or gets it later. Otherwise why the registry wants none. */
  async #register({ metadata: { name: pod, deletionTimestamp } }: PodObject): Promise<string | undefined> {
    if (this.#runs.has(pod) || deletionTimestamp !== undefined) return undefined;
    const { control, job } = this.#options;
    const { kind, policy, trigger, approve } = job;
    try {
      const { id } = await control.startRun({ kind, policy, trigger, pod, ...(approve === undefined ? {} : { approve }) });
      this.#runs.set(pod, { run: id, ended: false });
      this.#problem = undefined;
      return undefined;
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      const { podHas, run } = (error.detail ?? {}) as { readonly podHas?: string; readonly run?: string };
      // It has reported its end meanwhile, or to an operator before this one.
      if (podHas !== undefined) this.#runs.set(pod, { run: podHas, ended: true });
      this.#problem = podHas === undefined ? error.message : undefined;
      // A registry that is away for a moment may have heard by then how it went.
      if (error.temporary && error.status !== 500) throw error;
      const final = error.code === "NotFound" || error.code === "Invalid" || (error.code === "Conflict" && run === undefined);
      return final && podHas === undefined ? `Job ${this.#name} was not wanted by the registry: ${error.message}` : undefined;
    }
  }

  /** What a Pod that ended without a word leaves behind is told for it: its token is worth nothing from then on, and the next run may begin. */
  async #endRun(pod: string, how: string): Promise<void> {
    const registered = this.#runs.get(pod);
    if (registered !== undefined) await this.#close(registered, `Pod ${pod} ${how}; it had not said how its run went`);
  }

  async #close(registered: Registered, message: string): Promise<void> {
    if (registered.ended) return;
    await this.#options.control.updateRun(registered.run, { state: "failed", result: { message } }).catch(unlessEnded);
    registered.ended = true;
  }

  async #over({ succeeded, reason, message }: NonNullable<ReturnType<typeof endOf>>, pods: readonly PodObject[]): Promise<JobOutcome> {
    const { deadline } = this.#options;
    const last = pods.findLast(hasEnded);
    if (succeeded || reason === "PodFailurePolicy") {
      for (const registered of this.#runs.values()) await this.#close(registered, `Job ${this.#name} ended without a word of its run`);
      return this.#outcome(undefined);
    }
    if (reason === "DeadlineExceeded")
      return this.#give(
        `Job ${this.#name} had not ended after ${formatDuration(deadline)} (jobs.deadline) and was stopped${this.#because()}`,
      );
    const how = last === undefined ? `${reason}: ${message}` : `Pod ${last.metadata.name} ${describeEnd(last)}`;
    return this.#give(`Job ${this.#name} failed: ${how}${this.#because()}`);
  }

  async #notStarted(pods: readonly PodObject[]): Promise<JobOutcome | undefined> {
    const { startWithin, made, refusal } = this.#options;
    const [pod] = pods;
    const obstacle = pod === undefined ? undefined : obstacleOf(pod);
    const late = performance.now() - this.#since > startWithin;
    if (obstacle !== undefined && !this.#warned) {
      this.#warned = true;
      this.#options.say({
        type: "Warning",
        reason: "JobNotStarted",
        note: `Pod ${pod?.metadata.name ?? ""} of Job ${this.#name}: ${obstacle}`,
      });
    }
    if (!late) return undefined;
    const why =
      pod === undefined ? `it got no Pod: ${await refusal(made)}` : `Pod ${pod.metadata.name}: ${obstacle ?? "it gives no reason"}`;
    return this.#give(`Job ${this.#name} did not start within ${formatDuration(startWithin)} (jobs.startWithin); ${why}`);
  }

  /** It fails for a reason that its process does not know: everybody hears the same sentence. */
  async #give(sentence: string): Promise<JobOutcome> {
    await this.#conclude(sentence, "JobFailed");
    return this.#outcome(sentence);
  }

  async #conclude(sentence: string, reason: "JobFailed" | "JobStopped"): Promise<void> {
    if (this.#concluded !== undefined) return;
    const { remove, made, say } = this.#options;
    // Before its process can say less.
    try {
      for (const registered of this.#runs.values()) await this.#close(registered, sentence);
    } catch (error) {
      if (!this.#isLate()) throw error;
    }
    this.#concluded = sentence;
    await remove(made);
    say({ type: "Warning", reason, note: sentence });
  }

  /** What the last run says, or `sentence` where we know better. */
  async #outcome(sentence: string | undefined): Promise<JobOutcome> {
    const { control } = this.#options;
    const last = [...this.#runs.values()].at(-1)?.run;
    if (last === undefined)
      return {
        run: "",
        succeeded: false,
        message: sentence ?? `Job ${this.#name} ended without a run${this.#because()}`,
        result: undefined,
      };
    const known = await control.run(last).catch((error: unknown) => {
      // By the id of its run it would be old news when the registry tells it, with what the run did.
      if (sentence === undefined || !this.#isLate()) throw error;
      return undefined;
    });
    if (known === undefined) return { run: "", succeeded: false, message: sentence ?? "", result: undefined };
    const { state, result } = known;
    const { message } = (result ?? {}) as { readonly message?: unknown };
    const said = typeof message === "string" ? message : state;
    const succeeded = state === "succeeded";
    return { run: last, succeeded, message: succeeded ? said : (sentence ?? said), result };
  }

  /** Whether the registry was asked long enough how the end of a Job is to be told: it hears of it by itself, and what is to be deleted must go. */
  #isLate(): boolean {
    this.#endingSince ??= performance.now();
    return performance.now() - this.#endingSince > patience;
  }

  #because(): string {
    return this.#problem === undefined ? "" : `; ${this.#problem}`;
  }
}

function unlessEnded(error: unknown): void {
  if (!(error instanceof ClientError) || error.code !== "Conflict") throw error;
}
