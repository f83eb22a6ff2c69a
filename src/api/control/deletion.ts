// Deleting and restoring on the wire.

import { Type, type Static } from "typebox";

import { digest } from "./schema.ts";

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
  /**
   * purge: objects that the store has deleted, their bytes; and how much is still there: objects that it could not delete yet, and referrers that
   * another process has yet to take (at least).
   */
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
