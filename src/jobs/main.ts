// A job in its Pod: it is somebody by its token alone, and learns from the registry which run is its own (design: access.md, "Control API").

import { setTimeout as sleep } from "node:timers/promises";

import type { Run } from "../api/control/runs.ts";
import { ControlClient } from "../client/control-client.ts";
import { ClientError } from "../client/errors.ts";
import { RegistryClient } from "../client/registry-client.ts";
import { jobs } from "./kinds.ts";
import type { RunEnd } from "./reported-run.ts";

export interface PodJobOptions {
  readonly kind: Run["kind"];
  /** namespace/name */
  readonly policy: string;
  /** Of the registry's control API. */
  readonly url: string;
  /** Where its images are. */
  readonly pullFrom: string;
  /** Whom both addresses' certificates are trusted from; undefined: whom Node knows. */
  readonly caFile: string | undefined;
  /** Read for each request: the kubelet replaces it. */
  readonly tokenFile: string;
  readonly signal: AbortSignal;
  /** One line for a person, as it happens. */
  readonly progress: (line: string) => void;
}

export interface PodJobEnd extends RunEnd<object> {
  /** The registry has heard how it ended. */
  readonly told: boolean;
}

/** Milliseconds between two questions for the run, and how long it is asked for: an operator may be taking over from another one meanwhile. */
const askAgainAfter = 1_000;
const patience = 5 * 60_000;

/** Rejects with an Error when no run came, or one that is not this job's. */
export async function runPodJob({ kind, policy, url, pullFrom, caFile, tokenFile, signal, progress }: PodJobOptions): Promise<PodJobEnd> {
  const control = new ControlClient({ url, caFile, tokenFile });
  let registry: RegistryClient | undefined;
  try {
    const { approve, ...run } = await ownRun(control, { signal, progress });
    if (run.kind !== kind || run.policy !== policy)
      throw new Error(`The run of this Pod, ${run.id}, is ${run.kind} ${run.policy}, and not ${kind} ${policy}.`);
    registry = new RegistryClient({ url: pullFrom, caFile, tokenFile, run: run.id, signal });
    const end = await jobs[kind]({ control, registry, run: run.id, ...(approve === undefined ? {} : { approve }), signal, progress });
    return { ...end, told: end.succeeded || (await hasEnded(control)) };
  } finally {
    await Promise.all([control.close(), registry?.close()]);
  }
}

/** The Pod is there before its run is registered. */
async function ownRun(control: ControlClient, { signal, progress }: Pick<PodJobOptions, "signal" | "progress">): Promise<Run> {
  const deadline = performance.now() + patience;
  for (let told = ""; ;) {
    try {
      return await control.run("own");
    } catch (error) {
      if (!(error instanceof ClientError) || !mayPass(error) || performance.now() > deadline) throw error;
      if (error.message !== told) progress(`${error.message} Asking again.`);
      told = error.message;
    }
    await sleep(askAgainAfter, undefined, { signal });
  }
}

/** Keys of a cluster are looked up again within half a minute. */
function mayPass({ code, temporary }: ClientError): boolean {
  return temporary || code === "Refused" || code === "Unauthorized";
}

/** With its run the token of a Pod ends. */
async function hasEnded(control: ControlClient): Promise<boolean> {
  return control.run("own").then(
    () => false,
    (error: unknown) => error instanceof ClientError && error.code === "Refused",
  );
}
