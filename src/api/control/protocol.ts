// What every request and answer of the control API (/api/v1) shares.

import { Type, type Static } from "typebox";

/** A job names its run with it on /v2: its pulls come after people's, and do not count as use. */
export const runHeader = "wharfinger-run";

/** On the answer to HEAD of a manifest by whoever may push it: how many of its blobs were held here and lost their bytes. Absent when none did. */
export const lostBlobsHeader = "wharfinger-lost-blobs";

export const ErrorReply = Type.Object({
  errors: Type.Array(Type.Object({ code: Type.String(), message: Type.String(), detail: Type.Optional(Type.Unknown()) })),
});
export type ErrorReply = Static<typeof ErrorReply>;
