// Runs of jobs on the wire.

import { Type, type Static } from "typebox";

import { digest, nullable, time } from "./schema.ts";

export const RunRequest = Type.Object({
  kind: Type.Union([Type.Literal("tag-sync"), Type.Literal("prune")]),
  policy: Type.String({ description: "namespace/name" }),
  trigger: Type.Union([Type.Literal("schedule"), Type.Literal("manual")]),
  /** prune: the stopped plan that a person approved. A plan that cannot be approved is refused here, before there is a run. */
  approve: Type.Optional(Type.String()),
  pod: Type.Optional(
    Type.String({
      pattern: "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$",
      description: "name of the Pod that is the job: its token acts for this run, and for nothing once it has ended. A Pod has one run",
    }),
  ),
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
  approve: Type.Optional(Type.String({ description: "prune, to the Pod that is its job: the stopped plan that a person approved" })),
  /** The policy's spec as published. */
  spec: Type.Unknown(),
  /** tag-sync: the Upstream it names. */
  upstream: Type.Optional(Type.Object({ prefix: Type.String(), url: Type.String(), repositoryPrefix: Type.String() })),
  /** tag-sync: PEM public keys, from the Secrets that the policy names. */
  keys: Type.Optional(Type.Array(Type.Object({ name: Type.String({ description: "secret/key" }), pem: Type.String() }))),
  /** tag-sync: JSON of the trusted root that the policy names. Absent: the built-in one counts; empty: what it names is not there. */
  trustedRoot: Type.Optional(Type.String()),
  /** tag-sync: hash of the keys and the trusted root. What was refused under others is not settled. */
  anchors: Type.Optional(Type.String()),
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
  anchors: Type.Optional(
    Type.String({ description: "of the run, as its job was told: the outcomes were judged with them", maxLength: 128 }),
  ),
  state: Type.Optional(Type.Union([Type.Literal("succeeded"), Type.Literal("failed")])),
  result: Type.Optional(Type.Unknown()),
});
export type RunUpdate = Static<typeof RunUpdate>;
