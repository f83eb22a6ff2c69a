// `wharfinger restore-metadata`: a lost database comes back as it was when its newest snapshot was taken (storage.md, "Backup").

import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";

import type { NamedObjects } from "../blobs/named-objects.ts";
import { codeOf, type Database } from "../metadata/database.ts";
import { writeSnapshot } from "../metadata/snapshot-write.ts";
import {
  readManifest,
  readSnapshots,
  tableOf,
  timeOf,
  type SnapshotError,
  type SnapshotManifest,
  type StoredSnapshot,
} from "./snapshot-manifest.ts";
import { hashed } from "./snapshots.ts";

export interface RestoreMetadataOptions {
  readonly database: Database;
  readonly named: NamedObjects;
  /** `<installation>/<time>`, or the time alone; without it the newest whole one. */
  readonly snapshot?: string;
  readonly onTable?: (step: { readonly table: string; readonly done: number; readonly total: number }) => void;
}

/** The snapshot that was restored. Rejects with an Error that says what to do; the database is as it was then. */
export async function restoreMetadata(options: RestoreMetadataOptions): Promise<StoredSnapshot> {
  const { database, named, onTable } = options;
  const { name, manifest } = await find(options);
  const pause =
    `the database was restored from the snapshot ${name} of ${manifest.takenAt}. Nothing is deleted in the store until ` +
    "`npx wharfinger audit --adopt` has gone over what is unknown and what is missing.";
  await writeSnapshot(database, { ...manifest, pause }, async (writer) => {
    for (const [done, table] of manifest.tables.entries()) {
      onTable?.({ table: table.name, done, total: manifest.tables.length });
      await loadTable(named, name, table, (pieces) => writer.load(table, pieces));
    }
  });
  return { name, manifest };
}

async function find({ named, snapshot }: RestoreMetadataOptions): Promise<StoredSnapshot> {
  const { stored, unread } = await readSnapshots(named);
  if (snapshot === undefined) {
    const [newest] = stored;
    // An older one is not what was asked for.
    const newer = unread.find(({ name }) => newest === undefined || timeOf(name) >= timeOf(newest.name));
    if (newer !== undefined) throw unreadable(newer.error, newest);
    if (newest === undefined) throw new Error("There is no snapshot of the metadata in the store: nothing can be restored from it.");
    const installations = new Set(stored.map(({ manifest }) => manifest.installation));
    if (installations.size > 1)
      throw new Error(
        `The store has snapshots of ${installations.size} installations. Say which with --snapshot: ${stored.map(({ name }) => name).join(", ")}.`,
      );
    return newest;
  }
  const given = stored.find(({ name }) => name === snapshot || name.endsWith(`/${snapshot}`));
  if (given !== undefined) return given;
  // One that cannot be read is not among them: say so rather than "none".
  return { name: snapshot, manifest: await readManifest(named, snapshot) };
}

function unreadable(error: SnapshotError, older: StoredSnapshot | undefined): Error {
  const next = older === undefined ? "" : ` The newest that can be read is --snapshot ${older.name}, of ${older.manifest.takenAt}.`;
  return new Error(`${error.message}${next} Nothing was restored.`, { cause: error });
}

async function loadTable(
  named: NamedObjects,
  snapshot: string,
  table: SnapshotManifest["tables"][number],
  load: (pieces: AsyncIterable<Uint8Array>) => Promise<number>,
): Promise<void> {
  const hash = createHash("sha256");
  const gunzip = createGunzip();
  const broken = (what: string, cause?: unknown) =>
    new Error(
      `The snapshot ${snapshot} is not what was written: ${table.name} ${what}. Nothing was restored; take another one with --snapshot.`,
      { cause },
    );
  const [rows] = await Promise.all([
    load(gunzip as AsyncIterable<Buffer>),
    pipeline(hashed(named.get(tableOf(snapshot, table.name)), hash), gunzip),
  ]).catch((error: NodeJS.ErrnoException) => {
    if (error.code?.startsWith("Z_") === true || error.code === "ERR_STREAM_PREMATURE_CLOSE") throw broken("cannot be unpacked", error);
    if (codeOf(error) !== undefined) throw broken(`is refused by the database (${error.message})`, error);
    throw error;
  });
  if (hash.digest("hex") !== table.digest) throw broken("has another digest");
  if (rows !== table.rows) throw broken(`has ${rows} rows, and should have ${table.rows}`);
}
