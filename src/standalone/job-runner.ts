// Runs a job here and now, as the client of the registry that it would be in a pod: registers the run, does the work over HTTP, reports the end.

import { setTimeout as sleep } from "node:timers/promises";

import type { RunRequest } from "../api/control/runs.ts";
import { ControlClient } from "../client/control-client.ts";
import { ClientError } from "../client/errors.ts";
import { RegistryClient } from "../client/registry-client.ts";
import { jobs } from "../jobs/kinds.ts";
import type { Logger } from "../observability/logger.ts";
import type { JobOutcome, JobRequest } from "../operator/ports.ts";

export interface JobRunnerOptions {
  /** Of the registry's control API. */
  readonly url: string;
  /** Where its images are; default: at the same address. */
  readonly pullFrom?: string;
  readonly caFile?: string | undefined;
  readonly token?: string | undefined;
  readonly tokenFile?: string;
  readonly logger: Logger;
  /** One line for a person, as it happens; default: the log. */
  readonly progress?: (line: string) => void;
}

/** Milliseconds between two questions whether another run has ended. */
const patience = 500;

export interface InProcessJobs {
  /** Never rejects: a failure is an outcome. */
  run(request: JobRequest, signal: AbortSignal): Promise<JobOutcome>;
}

export function createJobRunner({ url, pullFrom = url, caFile, token, tokenFile, logger, progress }: JobRunnerOptions): InProcessJobs {
  const sender = { caFile, ...(token === undefined ? {} : { token }), ...(tokenFile === undefined ? {} : { tokenFile }) };
  return {
    async run({ kind, policy, trigger, approve }, signal) {
      const log = logger.child({ job: kind, policy });
      const control = new ControlClient({ url, ...sender });
      const approval = approve === undefined ? {} : { approve };
      let registry: RegistryClient | undefined;
      try {
        const context = { control, signal, progress: progress ?? ((line: string) => log.info(line)) };
        const run = await register(control, { kind, policy, trigger, ...approval }, context);
        registry = new RegistryClient({ url: pullFrom, ...sender, run, signal });
        const end = await jobs[kind]({ ...context, registry, run, ...approval });
        return { run, ...end };
      } catch (error) {
        const why = (signal.aborted ? signal.reason : error) as Error;
        return { run: "", succeeded: false, message: why.message, result: undefined };
      } finally {
        await Promise.all([control.close(), registry?.close()]);
      }
    },
  };
}

/** A run of the same policy that is under way is waited for, not disturbed; then comes ours, with eyes of its own. */
async function register(
  control: ControlClient,
  request: RunRequest,
  context: { signal: AbortSignal; progress: (line: string) => void },
): Promise<string> {
  for (let told = false; ; told = true) {
    try {
      return (await control.startRun(request)).id;
    } catch (error) {
      if (!(error instanceof ClientError) || !isUnderWay(error)) throw error;
      if (!told) context.progress(`${error.message} Waiting for it to end.`);
      await sleep(patience, undefined, { signal: context.signal });
    }
  }
}

/** POST runs names the run that is in the way; a suspended policy is a Conflict too, and has none. */
function isUnderWay({ code, detail }: ClientError): boolean {
  return code === "Conflict" && typeof detail === "object" && detail !== null && "run" in detail;
}
