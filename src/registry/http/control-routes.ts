// The routes of /api/v1 as a table: what fastify serves and what the OpenAPI document says come from the same rows.

import { Type, type Static, type TSchema } from "typebox";

import { ActivityEntry } from "../../api/control/activity.ts";
import { AdoptLine, AuditLine, AuditRequest } from "../../api/control/audit.ts";
import { BackupLine, ListedSnapshot } from "../../api/control/backup.ts";
import { RepositoryView, StorageUsage, UpstreamView } from "../../api/control/contents.ts";
import { DeleteRequest, DeleteResult, RestoreRequest, RestoreResult } from "../../api/control/deletion.ts";
import { GcResumed, GcStatus } from "../../api/control/gc.ts";
import { PrefetchRequest, PrefetchResult } from "../../api/control/prefetch.ts";
import { Proposal, ProposalRequest } from "../../api/control/proposals.ts";
import { PublishRequest, RecordState } from "../../api/control/record.ts";
import { ResourceView } from "../../api/control/resources.ts";
import { ApplyRequest, ApplyResult, Plan } from "../../api/control/retention.ts";
import { FinishedRun, Run, RunRequest, RunUpdate } from "../../api/control/runs.ts";
import { ShadowedTags, VersionsView } from "../../api/control/versions.ts";
import { WorkloadReport, WorkloadsHeard } from "../../api/control/workloads.ts";
import type { Right, Role, Subject } from "../../domain/control-access.ts";
import { isRepositoryName } from "../../domain/reference.ts";
import { nameMessage } from "../../domain/v2-path.ts";
import { ServiceError } from "../services/errors.ts";
import type { Write } from "../services/writability.ts";
import type { ControlServices, Patience } from "./control-ports.ts";

export interface ControlRequest<Body = unknown> {
  /** Parts of the path, decoded. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Of the route's `query`, checked. */
  readonly query: Readonly<Record<string, string>>;
  readonly body: Body;
  /** `admin`, `user:ci`, `run:<id>`: for history and logs. */
  readonly caller: string;
  readonly role: Role;
  /** Whether the caller may pull the repository, by its canonical name. */
  readonly mayPull: (repository: string) => boolean;
  /** One name for one repository; undefined when nobody serves it. */
  readonly nameOf: (repository: string) => string | undefined;
  readonly patience: Patience;
}

export interface ControlRoute {
  readonly method: "GET" | "POST" | "PUT" | "PATCH";
  /** OpenAPI form, below /api/v1/. A parameter at the end may span segments. */
  readonly path: string;
  readonly summary: string;
  /** What its caller must be. */
  readonly who: Right;
  /** What a request is about, for rights that reach no further than what is the caller's own. */
  readonly about?: (request: ControlRequest) => Subject;
  readonly body?: TSchema;
  readonly bodyLimit?: number;
  /** Parameters of the query, by name; none is required. */
  readonly query?: Readonly<Record<string, TSchema>>;
  /** Takes `?wait=<seconds>`. */
  readonly waits?: boolean;
  /** What it does to the database; by default a GET nothing, others add to it. */
  readonly writes?: Write | "Nothing";
  readonly answer: TSchema;
  /** The answer is an iteration of lines, not one document. */
  readonly lines?: boolean;
  readonly handle: (request: ControlRequest, services: ControlServices) => unknown;
}

type TypedRoute<Body extends TSchema> = Omit<ControlRoute, "body" | "about" | "handle"> & {
  readonly body: Body;
  readonly about?: (request: ControlRequest<Static<Body>>) => Subject;
  readonly handle: (request: ControlRequest<Static<Body>>, services: ControlServices) => unknown;
};

/** A route with a body: fastify has checked it against the schema when `handle` is called. */
function withBody<Body extends TSchema>({ about, handle, ...route }: TypedRoute<Body>): ControlRoute {
  const typed = (request: ControlRequest) => request as ControlRequest<Static<Body>>;
  return {
    ...route,
    ...(about === undefined ? {} : { about: (request: ControlRequest) => about(typed(request)) }),
    handle: (request, services) => handle(typed(request), services),
  };
}

const megabyte = 1024 * 1024;
const list = (schema: TSchema) => Type.Array(schema);

function parameter(request: ControlRequest, name: string): string {
  return request.parameters[name] ?? "";
}

const policyOf = (request: ControlRequest) => `${parameter(request, "namespace")}/${parameter(request, "name")}`;

/** `own`: the run of the Pod that asks. Its job cannot be told the id: the Pod is there before the run is registered. */
function runOf(request: ControlRequest): string {
  const id = parameter(request, "id");
  return id === "own" && request.role.kind === "run" ? request.role.run.id : id;
}

export const controlRoutes: readonly ControlRoute[] = [
  {
    method: "GET",
    path: "record",
    summary: "The published revision, and each pod's",
    who: "operator",
    answer: RecordState,
    handle: (_, { record }) => record.state(),
  },
  withBody({
    method: "PUT",
    path: "record",
    summary: "Publish a revision on the base it names; 409 when another one is published",
    who: "operator",
    body: PublishRequest,
    bodyLimit: 64 * megabyte,
    answer: RecordState,
    handle: ({ body, caller }, { record }) => record.publish(body, caller),
  }),
  {
    method: "GET",
    path: "resources",
    summary: "Each resource with its conditions (standalone: there is no API server)",
    who: "admin",
    answer: list(ResourceView),
    handle: (_, { resources }) => resources(),
  },
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
  {
    method: "GET",
    path: "proposals",
    summary: "Versions found or to be retired that wait to be committed",
    who: "operator",
    waits: true,
    answer: list(Proposal),
    handle: ({ patience }, { proposals }) => proposals.waiting(patience),
  },
  withBody({
    method: "POST",
    path: "proposals",
    summary: "Propose a version, or to retire some",
    who: "tag-sync",
    about: ({ body }) => ({ run: body.run ?? "" }),
    body: ProposalRequest,
    answer: Proposal,
    handle: ({ body }, { proposals }) => proposals.propose(body),
  }),
  {
    method: "GET",
    path: "proposals/{id}",
    summary: "One proposal; with wait, once it is settled",
    who: "proposal",
    waits: true,
    answer: Proposal,
    handle: readProposal,
  },
  {
    method: "GET",
    path: "versions/{repository}",
    summary: "The ledger of an image with its evidence: why does this tag point there",
    who: "reader",
    answer: VersionsView,
    handle: readVersions,
  },
  {
    method: "GET",
    path: "shadowed/{repository}",
    summary: "Tags of upstream that nobody gets, because a minted one of the same name wins; upstream may be asked, in a few requests",
    who: "tag-sync",
    about: (request) => ({ repository: request.nameOf(parameter(request, "repository")) ?? "" }),
    answer: ShadowedTags,
    handle: readShadowed,
  },
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
  withBody({
    method: "POST",
    path: "prefetch",
    summary: "Bring an image in before it is needed",
    who: "tag-sync",
    about: ({ body, nameOf }) => ({ repository: nameOf(body.repository) ?? "" }),
    body: PrefetchRequest,
    answer: PrefetchResult,
    handle: ({ body }, { prefetch }) => prefetch(body),
  }),
  withBody({
    method: "POST",
    path: "delete",
    summary: "Delete a tag or a manifest; with purge its bytes as well, at once and for good",
    who: "admin",
    writes: "TakeAway",
    body: DeleteRequest,
    answer: DeleteResult,
    handle: ({ body, caller }, services) => services.delete(body, caller),
  }),
  withBody({
    method: "POST",
    path: "restore",
    summary: "Bring back what was deleted and not collected yet",
    who: "admin",
    body: RestoreRequest,
    answer: RestoreResult,
    handle: ({ body, caller }, { restore }) => restore(body, caller),
  }),
  withBody({
    method: "POST",
    path: "audit",
    writes: "Nothing",
    summary: "Check the invariants of storage; lines of progress, then the report",
    who: "admin",
    body: AuditRequest,
    answer: AuditLine,
    lines: true,
    handle: ({ body, patience }, { audit }) => audit(body, patience.signal),
  }),
  {
    method: "POST",
    path: "adopt",
    summary:
      "After a restore: go over what is missing and what is unknown in the store, then let the collector go on; lines of progress, then the report",
    who: "admin",
    answer: AdoptLine,
    lines: true,
    handle: ({ patience, caller }, { adopt }) => adopt(patience.signal, caller),
  },
  {
    method: "GET",
    path: "backup",
    summary: "Snapshots of the metadata in the store, newest first",
    who: "admin",
    answer: list(ListedSnapshot),
    handle: (_, { backup }) => backup.list(),
  },
  {
    method: "POST",
    path: "backup",
    summary: "Take a snapshot of the metadata now; lines of progress, then the snapshot",
    who: "admin",
    answer: BackupLine,
    lines: true,
    handle: (_, { backup }) => backup.now(),
  },
  {
    method: "GET",
    path: "gc",
    summary: "What the collector has before it",
    who: "admin",
    answer: GcStatus,
    handle: (_, { gc }) => gc.status(),
  },
  {
    method: "POST",
    path: "gc/resume",
    summary: "Release the brake: what is doomed by now may be deleted for good",
    who: "admin",
    writes: "TakeAway",
    answer: GcResumed,
    handle: ({ caller }, { gc }) => gc.resume(caller),
  },
  {
    method: "GET",
    path: "repositories",
    summary: "The repositories that the caller may pull",
    who: "reader",
    answer: list(RepositoryView),
    handle: ({ mayPull }, { repositories }) => repositories(mayPull),
  },
  {
    method: "GET",
    path: "usage",
    summary: "Bytes of all repositories: stored, shared, and what comes free",
    who: "admin",
    answer: StorageUsage,
    handle: (_, { usage }) => usage(),
  },
  {
    method: "GET",
    path: "upstreams",
    summary: "The registries behind this one, and how they are",
    who: "operator",
    answer: list(UpstreamView),
    handle: (_, { upstreams }) => upstreams(),
  },
  {
    method: "GET",
    path: "activity",
    summary: "What changed, newest first",
    who: "admin",
    answer: list(ActivityEntry),
    handle: (_, { activity }) => activity(),
  },
];

/** What a person approved goes by way of the registry: nothing of a resource is in a Pod. */
async function readRun(request: ControlRequest, { runs }: ControlServices): Promise<Run> {
  const run = await runs.get(runOf(request));
  const { role } = request;
  const approve = role.kind === "run" ? role.run.approved : undefined;
  return approve === undefined ? run : { ...run, approve };
}

function aboutApply(request: ControlRequest<ApplyRequest>): Subject {
  const { plan, run = "", approve } = request.body;
  return { policy: policyOf(request), run, ...(approve === true ? { approves: plan } : {}) };
}

/** A run reads what is proposed of its kind for repositories of its policy: the same thing that somebody proposed before is answered to it too. */
async function readProposal(request: ControlRequest, { proposals }: ControlServices): Promise<Proposal> {
  const { role, patience } = request;
  const id = parameter(request, "id");
  if (role.kind !== "run") return proposals.get(id, patience);
  const found = await proposals.get(id, { ...patience, waitSeconds: 0 });
  const kind = role.run.kind === "tag-sync" ? "mint" : "retire";
  // The words for what is not there: nobody else's proposals show.
  if (found.body.kind !== kind || !role.run.covers(found.repository)) throw new ServiceError("NOT_FOUND", `There is no proposal ${id}.`);
  return found.state === "waiting" ? proposals.get(id, patience) : found;
}

async function readShadowed(request: ControlRequest, { shadowed }: ControlServices): Promise<ShadowedTags> {
  const written = parameter(request, "repository");
  if (!isRepositoryName(written)) throw new ServiceError("INVALID", nameMessage);
  const name = request.nameOf(written);
  if (name === undefined) throw new ServiceError("NOT_FOUND", `There are no versions of ${written}.`);
  return shadowed(name);
}

async function readVersions(request: ControlRequest, { versions }: ControlServices): Promise<VersionsView> {
  const written = parameter(request, "repository");
  if (!isRepositoryName(written)) throw new ServiceError("INVALID", nameMessage);
  // The same words whether there is no ledger or the caller may not see it.
  const none = new ServiceError("NOT_FOUND", `There are no versions of ${written}.`);
  const name = request.nameOf(written);
  if (name === undefined || !request.mayPull(name)) throw none;
  try {
    return await versions(name);
  } catch (error) {
    throw error instanceof ServiceError && error.code === "NOT_FOUND" ? none : error;
  }
}
