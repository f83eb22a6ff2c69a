// The control API (/api/v1) on the wire: what the registry validates and the client reads. TypeBox schemas, so that type, check and OpenAPI are one.

import { Type, type Static, type TSchema } from "typebox";

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const time = Type.String({ description: "RFC 3339" });
const digest = Type.String({ pattern: "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$" });
const record = <T extends TSchema>(schema: T) => Type.Record(Type.String(), schema);

/** A job names its run with it on /v2: its pulls come after people's, and do not count as use. */
export const runHeader = "wharfinger-run";

// ------------------------------------------------------------------------------------------------------------- errors

export const ErrorReply = Type.Object({
  errors: Type.Array(Type.Object({ code: Type.String(), message: Type.String(), detail: Type.Optional(Type.Unknown()) })),
});
export type ErrorReply = Static<typeof ErrorReply>;

// ------------------------------------------------------------------------------------------------------------- record

export const RecordedResource = Type.Object({
  kind: Type.Union([Type.Literal("Upstream"), Type.Literal("TagPolicy"), Type.Literal("RetentionPolicy"), Type.Literal("AccessPolicy")]),
  namespace: Type.String(),
  name: Type.String(),
  generation: Type.Integer(),
  /** Commit that last changed this resource's file. */
  revision: Type.String(),
  /** Defaults filled in, valid: the registry checks it again. */
  spec: Type.Unknown(),
  /** `spec.suspend` never is recorded; it travels beside. Suspended policies mint and delete nothing, their keep rules count. */
  suspend: Type.Boolean(),
});
export type RecordedResource = Static<typeof RecordedResource>;

const Evidence = Type.Object({
  type: Type.Union([Type.Literal("SLSAProvenance"), Type.Literal("SPDX"), Type.Literal("CycloneDX"), Type.Literal("Apko")]),
  attestation: digest,
  predicateType: Type.String(),
  key: Type.Optional(Type.Object({ fingerprint: Type.String(), name: Type.String() })),
  issuer: Type.Optional(Type.String()),
  subject: Type.Optional(Type.String()),
  logIndex: Type.Optional(Type.Integer()),
  signed: Type.Optional(time),
  platforms: Type.Array(Type.String()),
});
const Build = Type.Object({ version: Type.String(), digest, sourceTag: Type.String(), seen: time, evidence: Evidence });
const Decision = Type.Object({
  digest: Type.Optional(digest),
  by: Type.String(),
  commit: Type.Optional(Type.String()),
  reason: Type.Optional(Type.String()),
});

export const LedgerDocument = Type.Object({
  image: Type.String(),
  builds: Type.Array(Build),
  tags: record(digest),
  pinned: record(Decision),
  retired: record(Decision),
});
export type LedgerDocument = Static<typeof LedgerDocument>;

/** PUT record. Refused with 409 unless `base` is the published revision (null: nothing published yet). */
export const PublishRequest = Type.Object({
  revision: Type.String(),
  base: nullable(Type.String()),
  /** The whole effective configuration. */
  resources: Type.Array(RecordedResource),
  /** Ledgers that changed since the base; null: the file is gone. Key: repository with its prefix. */
  ledgers: record(nullable(LedgerDocument)),
  /** Of those ledgers: the commit that last changed the file, and the one that brought each build (by its digest), where an operator wrote it. */
  ledgerCommits: Type.Optional(record(Type.Object({ changed: Type.String(), builds: record(Type.String()) }))),
  /** Proposals that this revision contains, or that were refused. */
  settled: Type.Array(Type.Object({ id: Type.String(), refused: Type.Optional(Type.String({ description: "why" })) })),
  /** The record's history has an AccessPolicy, be it removed since: deleting the last one reopens nothing. */
  everHadAccessPolicy: Type.Optional(Type.Boolean()),
});
export type PublishRequest = Static<typeof PublishRequest>;

/** A resource of the published revision that the registry could not take over; the others are served. */
export const RefusedResource = Type.Object({
  kind: Type.String(),
  namespace: Type.String(),
  name: Type.String(),
  /** As in conditions: PrefixInUse, HostInUse, Invalid. */
  reason: Type.String(),
  message: Type.String(),
});
export type RefusedResource = Static<typeof RefusedResource>;

/** What the control plane sees in Git; there where it runs in the same process. */
export const ControlPlaneStatus = Type.Object({
  head: nullable(Type.String()),
  /** Files that no resource stands behind: `upstream default/chainguard`. */
  orphans: Type.Array(Type.String()),
  /** Files that do not validate: they are served as of the last commit in which they did. */
  problems: Type.Array(Type.Object({ file: Type.String(), line: Type.Optional(Type.Integer()), message: Type.String() })),
  /** Fields of valid files that are kept and ignored: typing mistakes, or fields of a newer release. */
  warnings: Type.Array(Type.Object({ file: Type.String(), line: Type.Optional(Type.Integer()), message: Type.String() })),
  /** What waits for a person, and what the person has to do. */
  waiting: Type.Array(Type.String()),
  /** Documents of the source that are no resources at all: malformed YAML, an unknown kind, a name that is there twice. */
  sourceProblems: Type.Array(Type.Object({ source: Type.String(), line: Type.Optional(Type.Integer()), message: Type.String() })),
});
export type ControlPlaneStatus = Static<typeof ControlPlaneStatus>;

export const RecordState = Type.Object({
  apiVersion: Type.String(),
  revision: nullable(Type.String()),
  publishedAt: nullable(time),
  /** Document versions every live pod reads. */
  documentVersions: Type.Array(Type.Integer()),
  pods: Type.Array(Type.Object({ id: Type.String(), revision: nullable(Type.String()), seenAt: time })),
  refused: Type.Optional(Type.Array(RefusedResource)),
  controlPlane: Type.Optional(ControlPlaneStatus),
});
export type RecordState = Static<typeof RecordState>;

// ---------------------------------------------------------------------------------------------------------- resources

export const Condition = Type.Object({
  type: Type.String(),
  status: Type.Union([Type.Literal("True"), Type.Literal("False"), Type.Literal("Unknown")]),
  reason: Type.String(),
  message: Type.String(),
  lastTransitionTime: time,
  observedGeneration: Type.Integer(),
});
export type Condition = Static<typeof Condition>;

/** A resource with its conditions, as `kubectl get` would show it. */
export const ResourceView = Type.Object({
  kind: Type.String(),
  namespace: Type.String(),
  name: Type.String(),
  generation: Type.Integer(),
  /** Where it was read: `file.yaml:12`. */
  source: Type.Optional(Type.String()),
  spec: Type.Unknown(),
  status: Type.Object({
    observedGeneration: Type.Integer(),
    recordedGeneration: Type.Optional(Type.Integer()),
    revision: Type.Optional(Type.String()),
    conditions: Type.Array(Condition),
    /** The kind's own fields: images, tags, lastRun, nextRun … */
    details: Type.Optional(record(Type.Unknown())),
  }),
});
export type ResourceView = Static<typeof ResourceView>;

// --------------------------------------------------------------------------------------------------------------- runs

export const RunRequest = Type.Object({
  kind: Type.Union([Type.Literal("tag-sync"), Type.Literal("prune")]),
  policy: Type.String({ description: "namespace/name" }),
  trigger: Type.Union([Type.Literal("schedule"), Type.Literal("manual")]),
  /** prune: the stopped plan that a person approved. A plan that cannot be approved is refused here, before there is a run. */
  approve: Type.Optional(Type.String()),
});
export type RunRequest = Static<typeof RunRequest>;

/** How a run settled one digest at one source tag of one image. */
export const SyncOutcome = Type.Object({
  repository: Type.String({ description: "as upstream writes it" }),
  sourceTag: Type.String(),
  digest,
  /** Minted, or the name of the failure: SignatureMissing, SubjectMismatch, VersionRefused … */
  outcome: Type.String(),
  message: Type.Optional(Type.String()),
  /** Seconds until it is worth another look; absent: finished under this generation. */
  retryAfter: Type.Optional(Type.Integer()),
});
export type SyncOutcome = Static<typeof SyncOutcome>;

/** GET runs/<id>: all a tag-sync run needs to know. */
export const Run = Type.Object({
  id: Type.String(),
  kind: Type.Union([Type.Literal("tag-sync"), Type.Literal("prune")]),
  policy: Type.String(),
  trigger: Type.String(),
  state: Type.Union([Type.Literal("running"), Type.Literal("succeeded"), Type.Literal("failed")]),
  startedAt: time,
  finishedAt: nullable(time),
  progress: Type.Optional(Type.Unknown()),
  result: Type.Optional(Type.Unknown()),
  generation: Type.Integer(),
  /** The policy's spec as published. */
  spec: Type.Unknown(),
  /** tag-sync: the Upstream it names. */
  upstream: Type.Optional(Type.Object({ prefix: Type.String(), url: Type.String(), repositoryPrefix: Type.String() })),
  /** tag-sync: PEM public keys, from the Secrets that the policy names. */
  keys: Type.Optional(Type.Array(Type.Object({ name: Type.String({ description: "secret/key" }), pem: Type.String() }))),
  /** tag-sync: settled digests (and those not yet due again) under this generation. */
  settled: Type.Optional(Type.Array(SyncOutcome)),
});
export type Run = Static<typeof Run>;

/** GET runs: a run that has ended, whoever started it. */
export const FinishedRun = Type.Object({
  id: Type.String(),
  kind: Type.Union([Type.Literal("tag-sync"), Type.Literal("prune")]),
  policy: Type.String({ description: "namespace/name" }),
  trigger: Type.String(),
  succeeded: Type.Boolean(),
  startedAt: time,
  finishedAt: time,
  generation: Type.Integer(),
  result: Type.Optional(Type.Unknown()),
  /** prune: the plan of the policy that a limit stopped and that waits, as of now, until it is applied or replaced. */
  waitingPlan: Type.Optional(Type.String()),
});
export type FinishedRun = Static<typeof FinishedRun>;

/** PATCH runs/<id>: progress while it runs, `state` and `result` when it ends. */
export const RunUpdate = Type.Object({
  progress: Type.Optional(Type.Unknown()),
  outcomes: Type.Optional(Type.Array(SyncOutcome)),
  state: Type.Optional(Type.Union([Type.Literal("succeeded"), Type.Literal("failed")])),
  result: Type.Optional(Type.Unknown()),
});
export type RunUpdate = Static<typeof RunUpdate>;

// ---------------------------------------------------------------------------------------------------------- proposals

export const MintProposal = Type.Object({
  kind: Type.Literal("mint"),
  run: Type.String(),
  /** As upstream writes it: chainguard/nginx. */
  repository: Type.String(),
  build: Build,
  /** Tag names from the policy's templates, suffix included. */
  tags: Type.Array(Type.String()),
  onRebuild: Type.Union([Type.Literal("Newest"), Type.Literal("First")]),
  /** Manifests (attestations and what carries them) to keep with the version, as (digest) in the proxied repository. */
  evidenceManifests: Type.Array(digest),
});
export type MintProposal = Static<typeof MintProposal>;

export const RetireProposal = Type.Object({
  kind: Type.Literal("retire"),
  run: Type.Optional(Type.String()),
  /** With its prefix: cgr/chainguard/nginx. */
  repository: Type.String(),
  tags: Type.Array(Type.Object({ tag: Type.String(), digest, reason: Type.String() })),
});
export type RetireProposal = Static<typeof RetireProposal>;

export const ProposalRequest = Type.Union([MintProposal, RetireProposal]);
export type ProposalRequest = Static<typeof ProposalRequest>;

export const Proposal = Type.Object({
  id: Type.String(),
  policy: Type.String(),
  /** With its prefix. */
  repository: Type.String(),
  /** host/repository as upstream writes it, for mint. */
  image: Type.Optional(Type.String()),
  body: ProposalRequest,
  state: Type.Union([Type.Literal("waiting"), Type.Literal("published"), Type.Literal("refused")]),
  reason: nullable(Type.String()),
  revision: nullable(Type.String()),
});
export type Proposal = Static<typeof Proposal>;

// ----------------------------------------------------------------------------------------------------------- versions

/** GET versions/<repository>: why does a tag point there. */
export const VersionsView = Type.Object({
  repository: Type.String(),
  policy: nullable(Type.String()),
  /** Commit that last changed the ledger's file. */
  revision: Type.String(),
  /** Commit that brought each build, by its digest; a build that a person wrote into the file is not among them. */
  commits: record(Type.String()),
  ledger: LedgerDocument,
  /** What was refused, and why (newest first, at most 20). */
  refused: Type.Array(SyncOutcome),
  /** Versions in service whose copy is not here and could not be fetched; absent when there are none. */
  notCopied: Type.Optional(Type.Array(Type.Object({ digest, tags: Type.Array(Type.String()), message: Type.String(), retryAt: time }))),
});
export type VersionsView = Static<typeof VersionsView>;

// ---------------------------------------------------------------------------------------------------------- retention

export const PlanEntry = Type.Object({
  repository: Type.String(),
  /** Absent for an untagged manifest. */
  tag: Type.Optional(Type.String()),
  digest,
  verdict: Type.Union([Type.Literal("keep"), Type.Literal("delete")]),
  /** Name of the rule that decided: a keep rule's name, `inUse`, `untagged`, `none` … with its policy when it is another one. */
  rule: Type.String(),
  /** In words. */
  reason: Type.String(),
  /** A version tag: deleting means a proposal to retire. */
  version: Type.Boolean(),
  /** Bytes that come free when this entry goes, with what goes before it in the plan. */
  bytes: Type.Integer(),
});
export type PlanEntry = Static<typeof PlanEntry>;

export const Plan = Type.Object({
  id: Type.String({ description: "hash of the plan" }),
  policy: Type.String(),
  action: Type.Union([Type.Literal("Plan"), Type.Literal("Delete")]),
  createdAt: time,
  entries: Type.Array(PlanEntry),
  totals: Type.Object({ kept: Type.Integer(), deleted: Type.Integer(), bytes: Type.Integer() }),
  /** Why nothing may be deleted now: limits, silent clusters, missing statistics. */
  blocked: Type.Optional(Type.Object({ reason: Type.String(), message: Type.String() })),
  /** Remarks: `inUse asks nothing: no cluster is configured`. */
  notes: Type.Array(Type.String()),
});
export type Plan = Static<typeof Plan>;

export const ApplyRequest = Type.Object({ plan: Type.String(), run: Type.Optional(Type.String()), approve: Type.Optional(Type.Boolean()) });
export type ApplyRequest = Static<typeof ApplyRequest>;

export const ApplyResult = Type.Object({
  plan: Type.String(),
  deleted: Type.Array(PlanEntry),
  /** Entries that are no longer true, with the reason they stayed. */
  kept: Type.Array(PlanEntry),
  /** Version tags proposed to retire: ids of the proposals. */
  proposals: Type.Array(Type.String()),
  bytes: Type.Integer(),
});
export type ApplyResult = Static<typeof ApplyResult>;

// ------------------------------------------------------------------------------------------------- what an admin does

export const PrefetchRequest = Type.Object({
  repository: Type.String({ description: "with its prefix" }),
  reference: Type.String({ description: "tag or digest" }),
  /** Copy these too (evidence). */
  also: Type.Optional(Type.Array(Type.String())),
});
export type PrefetchRequest = Static<typeof PrefetchRequest>;
export const PrefetchResult = Type.Object({
  digest,
  manifests: Type.Integer(),
  blobs: Type.Integer(),
  bytes: Type.Integer(),
  missing: Type.Array(digest),
});
export type PrefetchResult = Static<typeof PrefetchResult>;

export const DeleteRequest = Type.Object({
  repository: Type.String(),
  tag: Type.Optional(Type.String()),
  digest: Type.Optional(digest),
  /** For a leaked secret: nothing can be restored, and the bytes go at once. Also with a tag it is the image that goes, with all its tags. */
  purge: Type.Optional(Type.Boolean()),
});
export type DeleteRequest = Static<typeof DeleteRequest>;
export const DeleteResult = Type.Object({
  repository: Type.String(),
  deleted: Type.Array(Type.Object({ digest, tags: Type.Array(Type.String()) })),
  /** purge: what was in the trash and named the same layers. */
  trash: Type.Array(Type.Object({ repository: Type.String(), digest, tags: Type.Array(Type.String()) })),
  /** purge: children and layers that stay, and what needs them: `team-b/app@sha256:…`, `the tag v1-amd64`. */
  kept: Type.Array(Type.Object({ digest, holders: Type.Array(Type.String()) })),
  /** purge: objects that the store has deleted, their bytes, and those that it could not delete yet. */
  swept: Type.Integer(),
  bytes: Type.Integer(),
  waiting: Type.Integer(),
});
export type DeleteResult = Static<typeof DeleteResult>;

export const RestoreRequest = Type.Object({ repository: Type.String(), tag: Type.Optional(Type.String()), digest: Type.Optional(digest) });
export type RestoreRequest = Static<typeof RestoreRequest>;
export const RestoreResult = Type.Object({
  repository: Type.String(),
  restored: Type.Array(Type.Object({ digest, tags: Type.Array(Type.String()) })),
  /** What cannot come back: blobs already collected, tags that point elsewhere now. */
  gone: Type.Array(Type.String()),
});
export type RestoreResult = Static<typeof RestoreResult>;

export const AuditRequest = Type.Object({
  deep: Type.Boolean({ description: "read and hash every object instead of a sample" }),
  repair: Type.Optional(
    Type.Boolean({ description: "delete unknown objects older than 7 days, forget cached copies whose bytes are gone" }),
  ),
});
export type AuditRequest = Static<typeof AuditRequest>;
const AuditFinding = Type.Object({
  invariant: Type.Integer(),
  subject: Type.String(),
  message: Type.String(),
  repaired: Type.Optional(Type.String({ description: "what was done about it" })),
});
export const AuditReport = Type.Object({
  deep: Type.Boolean(),
  checked: Type.Object({
    repositories: Type.Integer(),
    manifests: Type.Integer(),
    blobs: Type.Integer(),
    objects: Type.Integer(),
    bytes: Type.Integer(),
    hashed: Type.Integer({ description: "blobs that were read and hashed" }),
  }),
  findings: Type.Array(AuditFinding),
});
export type AuditReport = Static<typeof AuditReport>;
/** POST audit streams application/x-ndjson: progress lines, then one report line. */
export const AuditLine = Type.Union([
  Type.Object({ progress: Type.Object({ step: Type.String(), done: Type.Integer(), total: Type.Integer() }) }),
  Type.Object({ report: AuditReport }),
]);
export type AuditLine = Static<typeof AuditLine>;

export const AdoptReport = Type.Object({
  objects: Type.Integer({ description: "whole objects in the store" }),
  adopted: Type.Array(Type.Object({ digest, key: Type.String() }), {
    description: "unknown objects that have the bytes of a blob that had lost them",
  }),
  forgotten: Type.Array(digest, { description: "cached blobs without bytes: the next pull fetches them again" }),
  lost: Type.Array(
    Type.Object({
      digest,
      images: Type.Array(Type.String(), { description: "repository:tag, or repository@digest where no tag leads to it" }),
    }),
    { description: "pushed blobs without bytes: pushing the image again mends it" },
  ),
  unknown: Type.Object(
    {
      objects: Type.Integer(),
      bytes: Type.Integer(),
      keys: Type.Array(Type.String(), { description: "the first thousand" }),
    },
    { description: "objects that nothing here names; audit --repair deletes those older than 7 days" },
  ),
});
export type AdoptReport = Static<typeof AdoptReport>;
/** POST adopt streams application/x-ndjson: progress lines, then one report line. */
export const AdoptLine = Type.Union([
  Type.Object({ progress: Type.Object({ step: Type.String(), done: Type.Integer(), total: Type.Integer() }) }),
  Type.Object({ report: AdoptReport }),
]);
export type AdoptLine = Static<typeof AdoptLine>;

/** Why nothing is deleted in the store: metadata/gc-pauses.ts. */
export const GcPauseReason = Type.Union([
  Type.Literal("brake"),
  Type.Literal("database-behind"),
  Type.Literal("store-behind"),
  Type.Literal("foreign-marker"),
]);
export type GcPauseReason = Static<typeof GcPauseReason>;

export const GcStatus = Type.Object({
  queue: Type.Integer({ description: "links and references that wait for a look" }),
  due: Type.Integer({ description: "of the queue, those whose time has come" }),
  oldestDueSeconds: nullable(Type.Number()),
  uploading: Type.Integer(),
  live: Type.Integer(),
  doomed: Type.Integer({ description: "objects that nothing names any more; nothing comes back from here" }),
  doomedBytes: Type.Integer(),
  oldestDoomedSeconds: nullable(Type.Number()),
  swept: Type.Integer({ description: "objects whose deletion is under way, or is repeated once" }),
  sweptLately: Type.Integer({ description: "objects swept within the last 24 hours" }),
  sweptLatelyBytes: Type.Integer(),
  paused: Type.Array(Type.Object({ reason: GcPauseReason, since: time, detail: Type.String() }), {
    description: "why nothing is deleted in the store at the moment; empty: it is",
  }),
});
export type GcStatus = Static<typeof GcStatus>;

/** `resumed` false: the brake did not hold. */
export const GcResumed = Type.Object({ resumed: Type.Boolean(), ...GcStatus.properties });
export type GcResumed = Static<typeof GcResumed>;

export const SnapshotView = Type.Object({
  name: Type.String({ description: "<installation>/<time>, as restore-metadata takes it" }),
  takenAt: time,
  reason: Type.Union([Type.Literal("schedule"), Type.Literal("migration"), Type.Literal("command")]),
  program: Type.String({ description: "version that wrote it" }),
  schema: Type.String({ description: "the newest migration that its schema had seen" }),
  rows: Type.Integer(),
  bytes: Type.Integer({ description: "in the store, compressed" }),
});
export type SnapshotView = Static<typeof SnapshotView>;
/** POST backup streams application/x-ndjson: progress lines, then the snapshot. */
export const BackupLine = Type.Union([
  Type.Object({ progress: Type.Object({ step: Type.String(), done: Type.Integer(), total: Type.Integer() }) }),
  Type.Object({ snapshot: SnapshotView }),
]);
export type BackupLine = Static<typeof BackupLine>;

export const StorageUsage = Type.Object({
  stored: Type.Integer({ description: "bytes of all blobs, each once" }),
  named: Type.Integer({ description: "bytes, counted for each repository that has them: what it would be without sharing" }),
  unreferenced: Type.Integer({ description: "bytes that no manifest names, waiting for the collector or for their lease" }),
  doomed: Type.Integer({ description: "bytes that wait to be swept" }),
});
export type StorageUsage = Static<typeof StorageUsage>;

export const RepositoryView = Type.Object({
  name: Type.String(),
  kind: Type.Union([Type.Literal("own"), Type.Literal("proxied")]),
  tags: Type.Integer(),
  manifests: Type.Integer(),
  bytes: Type.Integer(),
});
export type RepositoryView = Static<typeof RepositoryView>;

export const UpstreamView = Type.Object({
  key: Type.String({ description: "namespace/name" }),
  prefix: Type.String(),
  url: Type.String(),
  hosts: Type.Array(Type.String()),
  reachable: Type.Union([Type.Literal("True"), Type.Literal("False"), Type.Literal("Unknown")]),
  message: Type.String(),
  rateLimit: Type.Optional(Type.Object({ limit: Type.Integer(), remaining: Type.Integer(), resetsAt: Type.Optional(time) })),
  credentialsLoaded: Type.Boolean(),
});
export type UpstreamView = Static<typeof UpstreamView>;

export const ActivityEntry = Type.Object({
  at: time,
  identity: Type.String(),
  action: Type.String(),
  repository: nullable(Type.String()),
  reference: nullable(Type.String()),
  detail: Type.Optional(Type.Unknown()),
});
export type ActivityEntry = Static<typeof ActivityEntry>;
