// The control API as typed calls: what operator, jobs, reporters and the CLI use. The shapes are those of src/api/control.

import type { ActivityEntry } from "../api/control/activity.ts";
import type { AdoptLine, AuditLine, AuditRequest } from "../api/control/audit.ts";
import type { BackupLine, ListedSnapshot } from "../api/control/backup.ts";
import type { RepositoryView, UpstreamView } from "../api/control/contents.ts";
import type { DeleteRequest, DeleteResult, RestoreRequest, RestoreResult } from "../api/control/deletion.ts";
import type { GcResumed, GcStatus } from "../api/control/gc.ts";
import type { PrefetchRequest, PrefetchResult } from "../api/control/prefetch.ts";
import type { Proposal, ProposalRequest } from "../api/control/proposals.ts";
import type { PublishRequest, RecordState } from "../api/control/record.ts";
import type { ResourceView } from "../api/control/resources.ts";
import type { ApplyRequest, ApplyResult, Plan } from "../api/control/retention.ts";
import type { FinishedRun, Run, RunRequest, RunUpdate } from "../api/control/runs.ts";
import type { ShadowedTags, VersionsView } from "../api/control/versions.ts";
import type { WorkloadReport, WorkloadsHeard } from "../api/control/workloads.ts";
import { Transport, type Exchange, type TransportOptions } from "./transport.ts";

export interface WaitOptions {
  /** Long poll: how many seconds the registry may hold the answer back until there is something to say. */
  readonly waitSeconds?: number;
  readonly signal?: AbortSignal;
}

/** Upstream is asked meanwhile: whoever has to end does not wait for it. */
type Waiting = Pick<WaitOptions, "signal">;

type Patience = Pick<Exchange, "timeout" | "signal">;

/** Milliseconds for what takes as long as there is content: large images, large repositories. */
const longWork = 3_600_000;

/** Milliseconds for an upstream's list, for which the registry waits a minute. */
const listing = 90_000;

/** Every call rejects with ClientError. */
export class ControlClient {
  readonly #transport: Transport;

  constructor(options: Pick<TransportOptions, "url" | "caFile" | "token" | "tokenFile" | "issueToken" | "dial">) {
    this.#transport = new Transport(options);
  }

  record(): Promise<RecordState> {
    return this.#get("record");
  }

  /** ClientError Conflict when `base` is not the published revision. */
  publish(request: PublishRequest): Promise<RecordState> {
    return this.#call("PUT", "record", request);
  }

  resources(): Promise<ResourceView[]> {
    return this.#get("resources");
  }

  startRun(request: RunRequest): Promise<Run> {
    return this.#call("POST", "runs", request);
  }

  run(id: string): Promise<Run> {
    return this.#get(`runs/${encodeURIComponent(id)}`);
  }

  updateRun(id: string, update: RunUpdate): Promise<Run> {
    return this.#call("PATCH", `runs/${encodeURIComponent(id)}`, update);
  }

  /**
   * Runs that ended after the run `after`, in the order of their ends, some at a time; without `after`, or when the registry does not know it
   * (any more), the last one of each policy. With `waitSeconds` the answer is held back while there are none.
   */
  finishedRuns(options: WaitOptions & { readonly after?: string; readonly kind?: Run["kind"] } = {}): Promise<FinishedRun[]> {
    const { after, kind } = options;
    const query = new URLSearchParams({ ...(after === undefined ? {} : { after }), ...(kind === undefined ? {} : { kind }) });
    return this.#wait("runs", options, query);
  }

  propose(request: ProposalRequest): Promise<Proposal> {
    return this.#call("POST", "proposals", request);
  }

  /** The proposals that wait to be committed; with `waitSeconds` the answer is held back while there are none. */
  waitingProposals(options: WaitOptions = {}): Promise<Proposal[]> {
    return this.#wait("proposals", options);
  }

  /** One proposal; with `waitSeconds` the answer is held back while it is still waiting. */
  proposal(id: string, options: WaitOptions = {}): Promise<Proposal> {
    return this.#wait(`proposals/${encodeURIComponent(id)}`, options);
  }

  /** `repository` with its prefix. */
  versions(repository: string): Promise<VersionsView> {
    return this.#get(`versions/${repository}`);
  }

  /** Tags of upstream behind minted ones; upstream may have to be asked. `repository` with its prefix. */
  shadowedTags(repository: string, options: Waiting = {}): Promise<ShadowedTags> {
    return this.#get(`shadowed/${repository}`, { timeout: listing, ...options });
  }

  /** `policy`: namespace/name. */
  plan(policy: string): Promise<Plan> {
    return this.#call("POST", `retention/${policy}/plan`, {}, { timeout: longWork });
  }

  apply(policy: string, request: ApplyRequest): Promise<ApplyResult> {
    return this.#call("POST", `retention/${policy}/apply`, request, { timeout: longWork });
  }

  /** What `cluster` uses. */
  reportWorkloads(cluster: string, report: WorkloadReport): Promise<WorkloadsHeard> {
    return this.#call("PUT", `workloads/${encodeURIComponent(cluster)}`, report);
  }

  prefetch(request: PrefetchRequest, options: Waiting = {}): Promise<PrefetchResult> {
    return this.#call("POST", "prefetch", request, { timeout: longWork, ...options });
  }

  delete(request: DeleteRequest): Promise<DeleteResult> {
    return this.#call("POST", "delete", request, { timeout: longWork });
  }

  restore(request: RestoreRequest): Promise<RestoreResult> {
    return this.#call("POST", "restore", request);
  }

  audit(request: AuditRequest): AsyncGenerator<AuditLine> {
    return this.#lines("audit", request);
  }

  adopt(): AsyncGenerator<AdoptLine> {
    return this.#lines("adopt", {});
  }

  snapshots(): Promise<ListedSnapshot[]> {
    return this.#get("backup");
  }

  backup(): AsyncGenerator<BackupLine> {
    return this.#lines("backup", {});
  }

  gc(): Promise<GcStatus> {
    return this.#get("gc");
  }

  /** Releases the brake of the collector. */
  resumeGc(): Promise<GcResumed> {
    return this.#call("POST", "gc/resume", {});
  }

  repositories(): Promise<RepositoryView[]> {
    return this.#get("repositories");
  }

  upstreams(): Promise<UpstreamView[]> {
    return this.#get("upstreams");
  }

  /** Asks upstream, for which the registry waits half a minute. `upstream`: namespace/name. */
  async probe(upstream: string, options: Waiting = {}): Promise<UpstreamView> {
    const answer = await this.#transport.send({ method: "POST", path: `/api/v1/upstreams/${upstream}/probe`, ...options });
    return parse<UpstreamView>(answer.body);
  }

  activity(): Promise<ActivityEntry[]> {
    return this.#get("activity");
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  async *#lines<T>(path: string, request: object): AsyncGenerator<T> {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify(request);
    for await (const line of this.#transport.lines({ method: "POST", path: `/api/v1/${path}`, headers, body })) {
      yield JSON.parse(line) as T;
    }
  }

  async #get<T>(path: string, patience: Patience = {}): Promise<T> {
    const answer = await this.#transport.send({ method: "GET", path: `/api/v1/${path}`, ...patience });
    return parse<T>(answer.body);
  }

  async #wait<T>(path: string, options: WaitOptions, query = new URLSearchParams()): Promise<T> {
    const seconds = options.waitSeconds ?? 0;
    if (seconds > 0) query.set("wait", String(seconds));
    const answer = await this.#transport.send({
      method: "GET",
      path: `/api/v1/${path}${query.size === 0 ? "" : `?${query.toString()}`}`,
      timeout: (seconds + 30) * 1000,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    return parse<T>(answer.body);
  }

  async #call<T>(method: "POST" | "PUT" | "PATCH", path: string, body: unknown, patience: Patience = {}): Promise<T> {
    const answer = await this.#transport.send({
      method,
      path: `/api/v1/${path}`,
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      ...patience,
    });
    return parse<T>(answer.body);
  }
}

function parse<T>(body: Uint8Array): T {
  return JSON.parse(new TextDecoder().decode(body)) as T;
}
