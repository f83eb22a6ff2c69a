// The audit, and what it adopts, on the wire.

import { Type, type Static } from "typebox";

import { digest } from "./schema.ts";

export const AuditRequest = Type.Object({
  deep: Type.Boolean({ description: "read and hash every object instead of a sample" }),
  repair: Type.Optional(
    Type.Boolean({ description: "delete unknown objects older than 7 days, forget cached copies whose bytes are gone, count usage again" }),
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
  truncated: Type.Optional(
    Type.Object(
      {
        found: Type.Integer({ description: "findings in all; more where one question alone has very many answers" }),
        repaired: Type.Integer({ description: "of them" }),
      },
      { description: "present when more was found than is listed; everything was checked, and repaired, all the same" },
    ),
  ),
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
    { description: "pushed blobs without bytes: sending them again mends it, by an import or a push that asks for each layer" },
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
