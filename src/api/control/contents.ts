// What is stored and fronted, on the wire.

import { Type, type Static } from "typebox";

import { time } from "./schema.ts";

export const StorageUsage = Type.Object({
  stored: Type.Integer({ description: "bytes of all blobs, each once" }),
  named: Type.Integer({ description: "bytes, counted for each repository that has them: what it would be without sharing" }),
  unreferenced: Type.Integer({ description: "bytes that no manifest names, waiting for the collector or for their lease" }),
  doomed: Type.Integer({ description: "bytes that wait to be swept" }),
});
export type StorageUsage = Static<typeof StorageUsage>;

export const RepositoryView = Type.Object({
  name: Type.String(),
  kind: Type.Union([Type.Literal("own"), Type.Literal("proxied")]),
  tags: Type.Integer(),
  manifests: Type.Integer(),
  bytes: Type.Integer(),
});
export type RepositoryView = Static<typeof RepositoryView>;

export const UpstreamView = Type.Object({
  key: Type.String({ description: "namespace/name" }),
  prefix: Type.String(),
  url: Type.String(),
  hosts: Type.Array(Type.String()),
  generation: Type.Integer({ description: "Of the Upstream that this is said of" }),
  reachable: Type.Union([Type.Literal("True"), Type.Literal("False"), Type.Literal("Unknown")]),
  message: Type.String(),
  reason: Type.Optional(Type.String({ description: "Why it is not reachable: Unreachable, EgressRefused or AuthenticationFailed" })),
  heardAt: Type.Optional({
    ...time,
    description: "When the process that answers here last asked upstream. Others may have heard something else since: the newest counts",
  }),
  rateLimit: Type.Optional(Type.Object({ limit: Type.Integer(), remaining: Type.Integer(), resetsAt: Type.Optional(time) })),
  credentialsLoaded: Type.Boolean(),
});
export type UpstreamView = Static<typeof UpstreamView>;
