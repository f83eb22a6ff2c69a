// What RetentionPolicies delete, and what clusters use of it.

import { ApplyRequest, ApplyResult, Plan } from "../../../api/control/retention.ts";
import { WorkloadReport, WorkloadsHeard } from "../../../api/control/workloads.ts";
import type { Subject } from "../../../domain/control-access.ts";
import { megabyte, parameter, withBody, type ControlRequest, type ControlRoute } from "./route.ts";

const policyOf = (request: ControlRequest) => `${parameter(request, "namespace")}/${parameter(request, "name")}`;

export const retentionRoutes: readonly ControlRoute[] = [
  {
    method: "POST",
    path: "retention/{namespace}/{name}/plan",
    summary: "What a RetentionPolicy would keep and delete, with reasons",
    who: "prune",
    about: (request) => ({ policy: policyOf(request) }),
    answer: Plan,
    handle: (request, { retention }) => retention.plan(policyOf(request)),
  },
  withBody({
    method: "POST",
    path: "retention/{namespace}/{name}/apply",
    summary: "Delete what a plan says, entry by entry, where it is still true",
    who: "prune",
    about: aboutApply,
    writes: "TakeAway",
    body: ApplyRequest,
    answer: ApplyResult,
    handle: (request, { retention }) => retention.apply(policyOf(request), request.body, request.caller),
  }),
  withBody({
    method: "PUT",
    path: "workloads/{cluster}",
    summary: "What a cluster uses, so that retention keeps it",
    who: "reporter",
    about: (request) => ({ cluster: parameter(request, "cluster") }),
    body: WorkloadReport,
    bodyLimit: 32 * megabyte,
    answer: WorkloadsHeard,
    handle: (request, { workloads }) => workloads.report(parameter(request, "cluster"), request.body),
  }),
];

function aboutApply(request: ControlRequest<ApplyRequest>): Subject {
  const { plan, run = "", approve } = request.body;
  return { policy: policyOf(request), run, ...(approve === true ? { approves: plan } : {}) };
}
