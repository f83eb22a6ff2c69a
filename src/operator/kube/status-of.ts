// A view of the control plane as the `status` of its resource, beside the status that is there: what did not change keeps its times, and what is
// equal is not written.

import { isDeepStrictEqual } from "node:util";

import { conditionTypes, reasons } from "../../api/conditions.ts";
import type { Condition, ResourceView } from "../../api/control/resources.ts";
import { adviceInCluster } from "../../domain/advice.ts";

export interface ResourceStatus {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
  readonly [field: string]: unknown;
}

/** As the resource definitions have it. */
const longestMessage = 32_768;

/** Conditions of others may stand beside ours. */
const ours: ReadonlySet<string> = new Set(Object.values(conditionTypes));

/** `there`: the status in the cluster. A process that has just started knows no times; the cluster does. */
export function statusOf({ status }: ResourceView, there: ResourceStatus | undefined): ResourceStatus {
  const { conditions, details, ...shared } = status;
  return { ...details, ...shared, conditions: conditions.map((condition) => withTime(condition, conditionOf(condition.type, there))) };
}

function withTime(condition: Condition, before: Condition | undefined): Condition {
  // Operator or registry have just started and ask in a moment: what was said of the same spec before stays as long.
  const isNews = before?.observedGeneration !== condition.observedGeneration || before.reason === reasons.notAsked;
  if (condition.reason === reasons.notAsked && !isNews) return before;
  const lastTransitionTime = before?.status === condition.status ? before.lastTransitionTime : condition.lastTransitionTime;
  const message = adviceInCluster(condition.message).slice(0, longestMessage).toWellFormed();
  return { ...condition, message, lastTransitionTime: lastTransitionTime.replace(/\.\d+Z$/, "Z") };
}

export function conditionOf(type: string, status: ResourceStatus | undefined): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

/** Whether a write would change nothing. */
export function sameStatus(wanted: ResourceStatus, there: ResourceStatus | undefined): boolean {
  return there !== undefined && isDeepStrictEqual(comparable(wanted), comparable(there));
}

function comparable({ conditions = [], ...fields }: ResourceStatus): unknown {
  return {
    ...fields,
    conditions: Object.fromEntries(conditions.filter(({ type }) => ours.has(type)).map((condition) => [condition.type, condition])),
  };
}
