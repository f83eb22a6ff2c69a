// A run from its first sign of life to the report of its end, whatever job it is.

import type { Run } from "../api/control/runs.ts";
import type { ControlClient } from "../client/control-client.ts";
import { ClientError } from "../client/errors.ts";
import { printable } from "../domain/printable.ts";
import { startHeartbeat } from "./heartbeat.ts";

export interface RunEnd<Result> {
  readonly succeeded: boolean;
  readonly message: string;
  readonly result: Result;
}

export interface ReportedRun<Result> {
  readonly control: ControlClient;
  /** Id of the run. */
  readonly run: string;
  readonly signal: AbortSignal;
  /** How far it is, said every half minute. */
  readonly progress: () => unknown;
  /** `signal` also aborts when the registry says that the run has ended. */
  readonly work: (signal: AbortSignal) => Promise<RunEnd<Result>>;
  /** What is known of the result when `work` rejects; the message is why it did. What the registry has noted of the run stays beside it. */
  readonly broken: () => Result;
  /** What the registry keeps of a result; default: all. */
  readonly reported?: (result: Result) => object;
}

/** Runs to the end and reports it to the run. */
export async function reportRun<Result extends object>(options: ReportedRun<Result>): Promise<RunEnd<Result>> {
  const { control, run, progress, work, broken, reported = (result) => result } = options;
  const heartbeat = startHeartbeat(control, run, progress);
  const signal = AbortSignal.any([options.signal, heartbeat.lost]);
  let end: RunEnd<Result>;
  let isBroken = false;
  try {
    end = await work(signal);
  } catch (error) {
    // Whatever was under way then says only that it was aborted.
    const why: unknown = signal.aborted ? signal.reason : error;
    const message = printable(why instanceof Error ? why.message : String(why), 500);
    end = { succeeded: false, message, result: broken() };
    isBroken = true;
  } finally {
    await heartbeat.stop();
  }
  const { succeeded, message, result } = end;
  try {
    const told = await control.updateRun(run, { state: succeeded ? "succeeded" : "failed", result: { ...reported(result), message } });
    if (isBroken) return { ...end, result: { ...notedOf(told), ...result } };
  } catch (error) {
    // The run was given up or the registry is away: what is done is done, and nothing more can be said.
    if (!(error instanceof ClientError)) throw error;
  }
  return end;
}

function notedOf({ result }: Run): object {
  const { message: _, ...noted } = (result ?? {}) as Readonly<Record<string, unknown>>;
  return noted;
}
