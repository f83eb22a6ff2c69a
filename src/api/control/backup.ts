// Snapshots of the metadata on the wire.

import { Type, type Static } from "typebox";

import { time } from "./schema.ts";

export const SnapshotView = Type.Object({
  name: Type.String({ description: "<installation>/<time>, as restore-metadata takes it" }),
  takenAt: time,
  reason: Type.Union([Type.Literal("schedule"), Type.Literal("migration"), Type.Literal("command")]),
  program: Type.String({ description: "version that wrote it" }),
  schema: Type.String({ description: "the newest migration that its schema had seen" }),
  rows: Type.Integer(),
  bytes: Type.Integer({ description: "in the store, compressed" }),
});
export type SnapshotView = Static<typeof SnapshotView>;

/** POST backup streams application/x-ndjson: progress lines, then the snapshot. */
export const BackupLine = Type.Union([
  Type.Object({ progress: Type.Object({ step: Type.String(), done: Type.Integer(), total: Type.Integer() }) }),
  Type.Object({ snapshot: SnapshotView }),
]);
export type BackupLine = Static<typeof BackupLine>;
