// What a person asked the operator for, by the annotation wharfinger.dev/requestedAt, and how it went (api.md, "Status").

import { setTimeout as sleep } from "node:timers/promises";

import { annotations, conditionTypes, finalReasons, passingReasons, reasons } from "../../api/conditions.ts";
import type { Condition, ResourceView } from "../../api/control/resources.ts";
import { formatDuration } from "../../domain/duration.ts";
import type { ResourceKey } from "../../domain/resource.ts";
import type { CustomResource } from "../../operator/kube/objects.ts";
import { CommandError } from "../failure.ts";
import type { Cluster } from "./open-cluster.ts";
import { explainRefusal } from "./refusals.ts";
import { needOf, pathOf, viewOf } from "./resource-views.ts";

export interface Requested {
  readonly key: ResourceKey;
  /** Value of the annotation. */
  readonly at: string;
  /** The resource at that moment. */
  readonly before: ResourceView;
}

export interface Following {
  /** Milliseconds. */
  readonly timeout: number;
  readonly tell: (line: string) => void;
}

interface LastRun {
  readonly id?: string;
  readonly state: "running" | "succeeded" | "failed";
  readonly finishedAt?: string;
  readonly message?: string;
}

const lookEvery = 1_000;

/** Sets the annotation and nothing else. Rejects with CommandError, also where the resource is suspended. */
export async function request(cluster: Cluster, key: ResourceKey): Promise<Requested> {
  const { kind, namespace, name } = key;
  const at = new Date().toISOString();
  const object = await cluster.client
    .send<CustomResource>({
      method: "PATCH",
      path: pathOf(kind, namespace, name),
      contentType: "application/merge-patch+json",
      body: { metadata: { annotations: { [annotations.requestedAt]: at } } },
    })
    .catch((error: unknown) => {
      throw explainRefusal(error, needOf("patch", kind, { namespace, name }), cluster);
    });
  if ((object.spec as { readonly suspend?: boolean } | undefined)?.suspend === true)
    throw new CommandError(`${kind} ${namespace}/${name} is suspended: it is looked at once its spec.suspend is false.`);
  return { key, at, before: viewOf(kind, object) };
}

/** Resolves with how it went; rejects with CommandError when it did not go well, or not in time. */
export async function follow(cluster: Cluster, requested: Requested, { timeout, tell }: Following): Promise<string> {
  const { kind, namespace, name } = requested.key;
  const until = Date.now() + timeout;
  let told = "";
  for (;;) {
    const object = await cluster.client.send<CustomResource>({ path: pathOf(kind, namespace, name) }).catch((error: unknown) => {
      throw explainRefusal(error, needOf("get", kind, { namespace, name }), cluster);
    });
    const view = viewOf(kind, object);
    const state = standing(requested, view);
    if ("done" in state) return state.done;
    if ("failed" in state) throw new CommandError(state.failed);
    if (state.now !== told) tell(state.now);
    told = state.now;
    if (Date.now() >= until) throw new CommandError(`Not done within ${formatDuration(timeout)}: ${state.now}`);
    await sleep(Math.min(lookEvery, Math.max(until - Date.now(), 0)));
  }
}

export type Standing = { readonly done: string } | { readonly failed: string } | { readonly now: string };

/** How far a request has come, by what the resource says. */
export function standing({ key, at, before }: Requested, view: ResourceView): Standing {
  const { kind, namespace, name } = key;
  const subject = `${kind} ${namespace}/${name}`;
  const ready = conditionIn(view, conditionTypes.ready);
  const details = view.status.details ?? {};
  if (!isObserved(view) || details["lastHandledReconcileAt"] !== at) {
    // Of no use to wait for: somebody has to change something first.
    if (isObserved(view) && isFinal(view)) return { failed: described(subject, ready) };
    if (lastRunOf(view)?.state === "running") return { now: `${subject}: a run is under way` };
    const last = view.status.conditions.length === 0 ? "no operator has looked at it yet" : described(subject, ready);
    return { now: `waiting for the operator (${last})` };
  }
  if (kind === "TagPolicy" || kind === "RetentionPolicy") return run(subject, view, before);
  if (conditionIn(view, conditionTypes.reconciling)?.status === "True") return { now: described(subject, ready) };
  // A Secret that was made a moment ago is with the registry within a minute or two.
  if (ready?.status === "False" && passingReasons.has(ready.reason)) return { now: described(subject, ready) };
  if (ready?.status !== "True") return { failed: described(subject, ready) };
  const reachable = conditionIn(view, conditionTypes.reachable);
  return { done: described(subject, ready) + (reachable?.status === "False" ? `, and not reachable: ${reachable.message}` : "") };
}

function run(subject: string, view: ResourceView, before: ResourceView): Standing {
  const last = lastRunOf(view);
  if (last === undefined || last.state === "running" || isSame(last, lastRunOf(before))) return { now: `${subject}: its run is under way` };
  const text = `${subject}: ${last.message ?? last.state}`;
  return last.state === "succeeded" ? { done: text } : { failed: text };
}

function lastRunOf({ status }: ResourceView): LastRun | undefined {
  return status.details?.["lastRun"] as LastRun | undefined;
}

function isSame(one: LastRun, other: LastRun | undefined): boolean {
  return one.id === other?.id && one.finishedAt === other?.finishedAt;
}

function isObserved({ generation, status }: ResourceView): boolean {
  return status.observedGeneration >= generation;
}

function isFinal(view: ResourceView): boolean {
  const ready = conditionIn(view, conditionTypes.ready);
  return conditionIn(view, conditionTypes.stalled)?.status === "True" || (ready !== undefined && finalReasons.has(ready.reason));
}

function conditionIn({ status }: ResourceView, type: string): Condition | undefined {
  return status.conditions.find((condition) => condition.type === type);
}

function described(subject: string, ready: Condition | undefined): string {
  if (ready === undefined) return `${subject}: nothing is known of it`;
  if (ready.reason === reasons.suspended) return `${subject} is suspended: ${ready.message}`;
  return `${subject} is ${ready.status === "True" ? "ready" : "not ready"}: ${ready.reason}: ${ready.message}`;
}
