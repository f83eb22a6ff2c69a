// What the routes of the control API need from the services: one narrow interface each. services-wiring.ts wires them.

import type { ActivityEntry } from "../../../api/control/activity.ts";
import type { AdoptLine, AuditLine, AuditRequest } from "../../../api/control/audit.ts";
import type { BackupLine, ListedSnapshot } from "../../../api/control/backup.ts";
import type { RepositoryView, StorageUsage, UpstreamView } from "../../../api/control/contents.ts";
import type { DeleteRequest, DeleteResult, RestoreRequest, RestoreResult } from "../../../api/control/deletion.ts";
import type { GcResumed, GcStatus } from "../../../api/control/gc.ts";
import type { PrefetchRequest, PrefetchResult } from "../../../api/control/prefetch.ts";
import type { Proposal, ProposalRequest } from "../../../api/control/proposals.ts";
import type { PublishRequest, RecordState } from "../../../api/control/record.ts";
import type { ResourceView } from "../../../api/control/resources.ts";
import type { ApplyRequest, ApplyResult, Plan } from "../../../api/control/retention.ts";
import type { FinishedRun, Run, RunRequest, RunUpdate } from "../../../api/control/runs.ts";
import type { ShadowedTags, VersionsView } from "../../../api/control/versions.ts";
import type { WorkloadReport, WorkloadsHeard } from "../../../api/control/workloads.ts";

/** Long poll: the answer may be held back this long until there is something to say, and not longer than `signal` lives. */
export interface Patience {
  readonly waitSeconds: number;
  readonly signal: AbortSignal;
}

export interface RecordPort {
  state(): Promise<RecordState>;
  /** ServiceError CONFLICT when `base` is not the published revision. */
  publish(request: PublishRequest, identity: string): Promise<RecordState>;
}

export interface RunsPort {
  start(request: RunRequest): Promise<Run>;
  get(id: string): Promise<Run>;
  update(id: string, update: RunUpdate): Promise<Run>;
  finished(query: { readonly after?: string; readonly kind?: Run["kind"] }, patience: Patience): Promise<readonly FinishedRun[]>;
}

export interface ProposalsPort {
  propose(request: ProposalRequest): Promise<Proposal>;
  waiting(patience: Patience): Promise<readonly Proposal[]>;
  get(id: string, patience: Patience): Promise<Proposal>;
}

export interface RetentionPort {
  /** `policy`: namespace/name. */
  plan(policy: string): Promise<Plan>;
  apply(policy: string, request: ApplyRequest, identity: string): Promise<ApplyResult>;
}

export interface WorkloadsPort {
  /** ServiceError NOT_FOUND when no such cluster is configured. */
  report(cluster: string, report: WorkloadReport): Promise<WorkloadsHeard>;
}

export interface GcPort {
  status(): Promise<GcStatus>;
  /** Releases the brake. */
  resume(identity: string): Promise<GcResumed>;
}

export interface ControlServices {
  readonly record: RecordPort;
  readonly resources: () => readonly ResourceView[];
  readonly runs: RunsPort;
  readonly proposals: ProposalsPort;
  readonly retention: RetentionPort;
  readonly workloads: WorkloadsPort;
  /** ServiceError NOT_FOUND when the repository has no ledger. */
  readonly versions: (repository: string) => Promise<VersionsView>;
  /** `repository` with its prefix. */
  readonly shadowed: (repository: string) => Promise<ShadowedTags>;
  readonly prefetch: (request: PrefetchRequest) => Promise<PrefetchResult>;
  readonly delete: (request: DeleteRequest, identity: string) => Promise<DeleteResult>;
  readonly restore: (request: RestoreRequest, identity: string) => Promise<RestoreResult>;
  readonly audit: (request: AuditRequest, signal: AbortSignal) => AsyncIterable<AuditLine>;
  readonly adopt: (signal: AbortSignal, identity: string) => AsyncIterable<AdoptLine>;
  readonly backup: { list(): Promise<readonly ListedSnapshot[]>; now(): AsyncIterable<BackupLine> };
  readonly gc: GcPort;
  readonly repositories: (mayPull: (repository: string) => boolean) => Promise<readonly RepositoryView[]>;
  readonly usage: () => Promise<StorageUsage>;
  /** `upstream`: namespace/name. ServiceError NOT_FOUND when it is not published. */
  readonly probe: (upstream: string) => Promise<UpstreamView>;
  readonly upstreams: () => Promise<readonly UpstreamView[]>;
  readonly activity: () => Promise<readonly ActivityEntry[]>;
}
