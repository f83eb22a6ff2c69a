// Fetching ahead on the wire.

import { Type, type Static } from "typebox";

import { digest } from "./schema.ts";

export const PrefetchRequest = Type.Object({
  repository: Type.String({ description: "with its prefix" }),
  reference: Type.String({ description: "tag or digest" }),
  /** Copy these too (evidence). */
  also: Type.Optional(Type.Array(Type.String())),
});
export type PrefetchRequest = Static<typeof PrefetchRequest>;

export const PrefetchResult = Type.Object({
  digest,
  manifests: Type.Integer(),
  blobs: Type.Integer(),
  bytes: Type.Integer(),
  missing: Type.Array(digest),
});
export type PrefetchResult = Static<typeof PrefetchResult>;
