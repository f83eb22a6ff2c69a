// The versions of an image on the wire.

import { Type, type Static } from "typebox";

import { LedgerDocument } from "./record.ts";
import { SyncOutcome } from "./runs.ts";
import { digest, nullable, record, time } from "./schema.ts";

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

/** GET shadowed/<repository>: tags of upstream behind minted ones of the same name. */
export const ShadowedTags = Type.Object({
  total: Type.Integer(),
  tags: Type.Array(Type.String(), { description: "sorted, at most 20" }),
  unknown: Type.Optional(Type.String({ description: "why upstream's tags are not known; then `total` says nothing" })),
});
export type ShadowedTags = Static<typeof ShadowedTags>;
