// Plans of retention on the wire.

import { Type, type Static } from "typebox";

import { digest, time } from "./schema.ts";

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
