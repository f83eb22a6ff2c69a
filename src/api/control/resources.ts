// Resources with their conditions on the wire.

import { Type, type Static } from "typebox";

import { record, time } from "./schema.ts";

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
