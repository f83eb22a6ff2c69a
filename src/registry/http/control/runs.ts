// Runs of jobs.

import { Type } from "typebox";

import { FinishedRun, Run, RunRequest, RunUpdate } from "../../../api/control/runs.ts";
import type { ControlServices } from "./control-ports.ts";
import { list, megabyte, parameter, withBody, type ControlRequest, type ControlRoute } from "./route.ts";

export const runRoutes: readonly ControlRoute[] = [
  withBody({
    method: "POST",
    path: "runs",
    summary: "Register a run of a policy's job",
    who: "operator",
    body: RunRequest,
    answer: Run,
    handle: ({ body }, { runs }) => runs.start(body),
  }),
  {
    method: "GET",
    path: "runs",
    summary: "Runs that have ended after another one, in that order; without `after` the last one of each policy",
    who: "operator",
    query: {
      after: Type.String({
        pattern: "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        description: "id of the run that was heard last; one that is not known (any more) is as if left out",
      }),
      kind: Type.Union([Type.Literal("tag-sync"), Type.Literal("prune")], { description: "only runs of this kind" }),
    },
    waits: true,
    answer: list(FinishedRun),
    handle: ({ query, patience }, { runs }) => runs.finished(query, patience),
  },
  {
    method: "GET",
    path: "runs/{id}",
    summary: "A run, with all that its job needs to know; `own`: the run of the Pod that asks",
    who: "run",
    about: (request) => ({ run: runOf(request) }),
    answer: Run,
    handle: readRun,
  },
  withBody({
    method: "PATCH",
    path: "runs/{id}",
    summary: "Progress of a run, and its result when it ends",
    who: "run",
    about: (request) => ({ run: runOf(request) }),
    body: RunUpdate,
    bodyLimit: 16 * megabyte,
    answer: Run,
    handle: (request, { runs }) => runs.update(runOf(request), request.body),
  }),
];

/** What a person approved goes by way of the registry: nothing of a resource is in a Pod. */
async function readRun(request: ControlRequest, { runs }: ControlServices): Promise<Run> {
  const run = await runs.get(runOf(request));
  const { role } = request;
  const approve = role.kind === "run" ? role.run.approved : undefined;
  return approve === undefined ? run : { ...run, approve };
}

/** `own`: the run of the Pod that asks. Its job cannot be told the id: the Pod is there before the run is registered. */
function runOf(request: ControlRequest): string {
  const id = parameter(request, "id");
  return id === "own" && request.role.kind === "run" ? request.role.run.id : id;
}
