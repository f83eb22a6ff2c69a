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

export const UnreadSnapshot = Type.Object({
  name: Type.String(),
  flaw: Type.Union([Type.Literal("Broken"), Type.Literal("Newer")], {
    description: "Broken: its manifest cannot be read. Newer: a newer Wharfinger wrote it",
  }),
});

/** GET backup: those that this version cannot restore are named too, so that nobody counts on them. */
export const ListedSnapshot = Type.Union([SnapshotView, UnreadSnapshot]);
export type ListedSnapshot = Static<typeof ListedSnapshot>;

/** POST backup streams application/x-ndjson: progress lines, then the snapshot. */
export const BackupLine = Type.Union([
  Type.Object({ progress: Type.Object({ step: Type.String(), done: Type.Integer(), total: Type.Integer() }) }),
  Type.Object({ snapshot: SnapshotView }),
]);
export type BackupLine = Static<typeof BackupLine>;
