// Garbage collection on the wire.

import { Type, type Static } from "typebox";

import { nullable, time } from "./schema.ts";

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
