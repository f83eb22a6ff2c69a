// Jobs and Pods of the API server, as far as they are looked at.

import { jobAnnotations, jobLabel } from "../../api/job-pods.ts";
import type { JobKind, ScheduledJob } from "../ports.ts";
import type { KubeObject } from "./objects.ts";

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

export interface JobObject extends KubeObject {
  readonly status?: { readonly conditions?: readonly Condition[] };
}

interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly running?: object;
  readonly terminated?: { readonly exitCode: number; readonly reason?: string; readonly message?: string };
}

export interface PodObject extends KubeObject {
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly conditions?: readonly Condition[];
    readonly containerStatuses?: readonly { readonly state?: ContainerState }[];
  };
}

/** What is kept of them: a list of many has to fit. */
export function keptOf<T extends KubeObject & { readonly spec?: unknown }>(object: T): T {
  return { ...object, spec: undefined };
}

export function isOurs({ metadata }: KubeObject): boolean {
  return metadata.annotations?.[jobAnnotations.policy] !== undefined && metadata.labels?.[jobLabel] !== undefined;
}

/** What its run is. */
export function jobOf({ metadata: { labels = {}, annotations = {} } }: KubeObject): ScheduledJob {
  const approve = annotations[jobAnnotations.approve];
  return {
    kind: labels[jobLabel] as JobKind,
    policy: annotations[jobAnnotations.policy] ?? "",
    trigger: annotations[jobAnnotations.trigger] === "manual" ? "manual" : "schedule",
    slot: annotations[jobAnnotations.slot] ?? "",
    ...(approve === undefined ? {} : { approve }),
  };
}

/** How a Job has ended; undefined while it goes on. */
export function endOf({
  status,
}: JobObject): { readonly succeeded: boolean; readonly reason: string; readonly message: string } | undefined {
  const found = status?.conditions?.find(({ type, status }) => status === "True" && (type === "Complete" || type === "Failed"));
  if (found === undefined) return undefined;
  return { succeeded: found.type === "Complete", reason: found.reason ?? "", message: found.message ?? "" };
}

/** In the order in which they were made. */
export function podsOf(pods: ReadonlyMap<string, PodObject>, job: KubeObject): readonly PodObject[] {
  return [...pods.values()]
    .filter(({ metadata }) => metadata.labels?.["batch.kubernetes.io/controller-uid"] === job.metadata.uid)
    .sort((a, b) => ((a.metadata.creationTimestamp ?? "") < (b.metadata.creationTimestamp ?? "") ? -1 : 1));
}

export function hasEnded({ status }: PodObject): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/** Whether a container of it runs or has run. */
export function hasRun({ status }: PodObject): boolean {
  return (status?.containerStatuses ?? []).some(({ state }) => state?.running !== undefined || state?.terminated !== undefined);
}

/** How it ended: `ended with exit code 137 (OOMKilled)`. */
export function describeEnd({ status }: PodObject): string {
  const terminated = status?.containerStatuses?.[0]?.state?.terminated;
  if (terminated === undefined) return status?.phase === "Failed" ? `failed: ${inWords(status)}` : "is gone";
  const { exitCode, reason = "", message = "" } = terminated;
  const known = reason === "" || reason === "Error" || reason === "Completed" ? "" : ` (${reason})`;
  const lastWords = message.trim().split("\n").at(-1) ?? "";
  return `ended with exit code ${exitCode}${known}${lastWords === "" ? "" : `: ${lastWords.slice(0, 500)}`}`;
}

/** Why it does not run yet, where that takes somebody to change something. */
export function obstacleOf({ status }: PodObject): string | undefined {
  const waiting = status?.containerStatuses?.find(({ state }) => state?.waiting !== undefined)?.state?.waiting;
  if (waiting?.reason !== undefined && !passing.has(waiting.reason)) return inWords(waiting);
  const scheduled = status?.conditions?.find(({ type, status }) => type === "PodScheduled" && status === "False");
  return scheduled === undefined ? undefined : inWords(scheduled);
}

const passing: ReadonlySet<string> = new Set(["ContainerCreating", "PodInitializing"]);

/** `ImagePullBackOff: Back-off pulling image "…"` */
function inWords({ reason = "", message = "" }: { readonly reason?: string; readonly message?: string }): string {
  return [reason, message.slice(0, 500)].filter((part) => part !== "").join(": ");
}
