// What a suspended write to a bucket is continued with, stored with the session. Etags are kept here and never asked from the service again:
// a writer that lost its session may still send a part, and completing must then fail instead of taking its bytes.

import { Type, type Static } from "typebox";
import { Value } from "typebox/value";

import { BlobStoreError, type SuspendedAt } from "./blob-store.ts";

const Part = Type.Object({ etag: Type.String(), size: Type.Integer() });
const State = Type.Object({
  offset: Type.Integer(),
  /** The multipart upload, from the first part on. */
  upload: Type.Optional(Type.Object({ key: Type.String(), id: Type.String() })),
  parts: Type.Array(Part),
  /** What is behind the parts and too small to be one: an object of its own. */
  tail: Type.Optional(Type.Object({ key: Type.String(), size: Type.Integer() })),
});

export type S3Part = Static<typeof Part>;
export type S3State = Static<typeof State>;

export function formatState(state: S3State): string {
  return JSON.stringify(state);
}

export function parseState({ offset, state }: SuspendedAt): S3State {
  const parsed: unknown = JSON.parse(state);
  if (!Value.Check(State, parsed) || parsed.offset !== offset) {
    throw new BlobStoreError("NotFound", "This upload was begun with another kind of store. Start a new one.");
  }
  return parsed;
}
