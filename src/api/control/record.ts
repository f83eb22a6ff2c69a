// The record on the wire: what is published, and in which state it is.

import { Type, type Static } from "typebox";

import { digest, nullable, record, time } from "./schema.ts";

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
  rootVersion: Type.Optional(Type.String({ description: "digest of the trusted root that the certificate was verified with" })),
  signed: Type.Optional(time),
  platforms: Type.Array(Type.String()),
});

export const Build = Type.Object({ version: Type.String(), digest, sourceTag: Type.String(), seen: time, evidence: Evidence });

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
  /** Why nothing can be committed at this moment, or the remote not be followed. */
  problem: Type.Optional(Type.String()),
  /** Another installation writes to this record, or did: which, and what to do about it. */
  otherInstallation: Type.Optional(Type.String()),
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
  pods: Type.Array(
    Type.Object({
      id: Type.String(),
      revision: nullable(Type.String()),
      seenAt: time,
      credentials: Type.Optional(Type.String({ description: "hash of the Secrets that it has loaded, where an operator delivers them" })),
    }),
  ),
  refused: Type.Optional(Type.Array(RefusedResource)),
  controlPlane: Type.Optional(ControlPlaneStatus),
});
export type RecordState = Static<typeof RecordState>;
