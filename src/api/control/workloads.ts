// What a cluster uses, on the wire: sent by `wharfinger report` (retention.md, `inUse`).

import { Type, type Static } from "typebox";

import { time } from "./schema.ts";

/** Different images of one report. */
export const maxImages = 100_000;
/** Letters of an image's name: host, repository, tag and digest have room twice. */
export const maxImageName = 1_024;
/** Anything else in a Pod names no image that could be pulled. */
export const imageNamePattern = "^[!-~]+$";

const namespace = Type.String({ pattern: "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" });

export const ReportedImage = Type.Object({
  image: Type.String({
    pattern: imageNamePattern,
    maxLength: maxImageName,
    description: "as the cluster writes it, or a container's `imageID`",
  }),
  firstSeen: Type.Optional(time),
  lastSeen: Type.Optional(Type.String({ description: "RFC 3339; absent: in use at `takenAt`" })),
});
export type ReportedImage = Static<typeof ReportedImage>;

export const WorkloadReport = Type.Object({
  takenAt: Type.String({ description: "RFC 3339; when the reporter began to look" }),
  scope: Type.Union([Type.Literal("Cluster"), Type.Array(namespace, { minItems: 1, maxItems: 10_000 })], {
    description: "what the reporter looks at: the whole cluster, or these namespaces",
  }),
  complete: Type.Boolean({
    description: "`images` is everything in use in `scope` at `takenAt`; false: its images count, and the last whole report stays the last",
  }),
  problem: Type.Optional(Type.String({ maxLength: 1_000, description: "why it is not complete, where it should be; plans say so" })),
  images: Type.Array(ReportedImage, { maxItems: maxImages }),
});
export type WorkloadReport = Static<typeof WorkloadReport>;

export const WorkloadsHeard = Type.Object({
  cluster: Type.String(),
  images: Type.Integer({ description: "different images of this report" }),
  reportedAt: Type.Union([time, Type.Null()], { description: "the moment of the newest whole report; null: there was none" }),
});
export type WorkloadsHeard = Static<typeof WorkloadsHeard>;
