// Resources as `kubectl get` and `kubectl describe` would show them.

import type { Condition, ResourceView } from "../../api/control/resources.ts";
import { conditionTypes } from "../../api/conditions.ts";
import { bad, good, table } from "../output.ts";
import { renderDetails } from "./details.ts";

export function renderResources(views: readonly ResourceView[]): string {
  if (views.length === 0) return "No resources.";
  const rows = views.map((view) => {
    const ready = find(view, conditionTypes.ready);
    return [view.kind, view.namespace, view.name, colour(ready), ready?.reason ?? "", revision(view), messageOf(view)];
  });
  return table(["KIND", "NAMESPACE", "NAME", "READY", "REASON", "REVISION", "MESSAGE"], rows);
}

export function renderResource(view: ResourceView): string {
  const { status } = view;
  const conditions = status.conditions.map((condition) => [
    condition.type,
    colour(condition),
    condition.reason,
    condition.lastTransitionTime,
    condition.message,
  ]);
  return [
    `${view.kind} ${view.namespace}/${view.name}`,
    `  generation ${view.generation}${status.recordedGeneration === undefined ? "" : `, recorded ${status.recordedGeneration}`}${status.revision === undefined ? "" : ` at ${revision(view)}`}`,
    ...(view.source === undefined ? [] : [`  from ${view.source}`]),
    "",
    table(["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"], conditions),
    ...(status.details === undefined ? [] : ["", renderDetails(status.details)]),
  ].join("\n");
}

const find = (view: ResourceView, type: string) => view.status.conditions.find((condition) => condition.type === type);

/** That of Ready; before it what is wrong although the resource is served: an upstream that nobody reaches, images without a version. */
function messageOf(view: ResourceView): string {
  const ready = find(view, conditionTypes.ready);
  const besides = view.status.conditions.filter(
    (condition) => ready?.status === "True" && isBad(condition) && condition.reason !== ready.reason && condition.type !== ready.type,
  );
  const served = besides.reduce((whole, { message }) => whole.replace(`; ${message}`, () => ""), ready?.message ?? ""); // which may end with it
  return [...besides.map(({ type, status, message }) => `${type} is ${status}: ${message}`), served].join("; ");
}

const revision = (view: ResourceView) => (view.status.revision ?? "").slice(0, 7);

/** Stalled, Reconciling and the like are bad news when they are true; the others when they are not. */
const abnormal = new Set<string>([
  conditionTypes.stalled,
  conditionTypes.reconciling,
  conditionTypes.overridden,
  conditionTypes.rateLimited,
  conditionTypes.shadowed,
  conditionTypes.workloadsUnknown,
]);

function colour(condition: Condition | undefined): string {
  if (condition === undefined) return "Unknown";
  if (condition.status === "Unknown") return condition.status;
  return isBad(condition) ? bad(condition.status) : good(condition.status);
}

function isBad({ type, status }: Condition): boolean {
  return status === (abnormal.has(type) ? "True" : "False");
}
