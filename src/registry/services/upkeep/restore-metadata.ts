// `wharfinger restore-metadata`: a lost database comes back as it was when its newest snapshot was taken (storage.md, "Backup").

import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";

import { BlobStoreError } from "../../blobs/blob-store.ts";
import type { NamedObjects } from "../../blobs/named-objects.ts";
import { codeOf, type Database } from "../../metadata/database.ts";
import { NewerSchemaError } from "../../metadata/migrate.ts";
import { writeSnapshot } from "../../metadata/snapshot-write.ts";
import { listOthers } from "./listed-snapshots.ts";
import {
  noneOf,
  readSnapshots,
  SnapshotError,
  tableOf,
  timeOf,
  type SnapshotManifest,
  type SnapshotsFound,
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
  const found = await readSnapshots(options.named);
  let chosen: StoredSnapshot | undefined;
  try {
    chosen = choose(found, options.snapshot);
    await load(options, chosen);
    return chosen;
  } catch (error) {
    if (!(error instanceof SnapshotError) && !(error instanceof NewerSchemaError)) throw error;
    const refused = chosen?.name ?? found.unread.find((unread) => unread.error === error)?.name;
    throw new Error(`${error.message} Nothing was restored. ${listOthers(found, refused)}`, { cause: error });
  }
}

async function load({ database, named, onTable }: RestoreMetadataOptions, { name, manifest }: StoredSnapshot): Promise<void> {
  const pause =
    `the database was restored from the snapshot ${name} of ${manifest.takenAt}. Nothing is deleted in the store until ` +
    "`npx wharfinger audit --adopt` has gone over what is unknown and what is missing.";
  await writeSnapshot(database, { ...manifest, pause }, async (writer) => {
    for (const [done, table] of manifest.tables.entries()) {
      onTable?.({ table: table.name, done, total: manifest.tables.length });
      await loadTable(named, name, table, (pieces) => writer.load(table, pieces));
    }
  });
}

/** Throws SnapshotError for one that cannot be taken. */
function choose(found: SnapshotsFound, snapshot: string | undefined): StoredSnapshot {
  const { stored, unread } = found;
  if (snapshot !== undefined) {
    const isMeant = ({ name }: { readonly name: string }) => name === snapshot || name.endsWith(`/${snapshot}`);
    const given = stored.find(isMeant);
    if (given !== undefined) return given;
    throw unread.find(isMeant)?.error ?? new SnapshotError("NotFound", noneOf(snapshot));
  }
  const [newest] = stored;
  // An older one is not what was asked for.
  const newer = unread.find(({ name }) => newest === undefined || timeOf(name) >= timeOf(newest.name));
  if (newer !== undefined) throw newer.error;
  if (newest === undefined) throw new Error("There is no snapshot of the metadata in the store: nothing can be restored from it.");
  const installations = new Set(stored.map(({ manifest }) => manifest.installation));
  if (installations.size > 1) throw new Error(`The store has snapshots of ${installations.size} installations. ${listOthers(found)}`);
  return newest;
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
    new SnapshotError("Broken", `The snapshot ${snapshot} is not what was written: ${table.name} ${what}.`, { cause });
  const [rows] = await Promise.all([
    load(gunzip as AsyncIterable<Buffer>),
    pipeline(hashed(named.get(tableOf(snapshot, table.name)), hash), gunzip),
  ]).catch((error: NodeJS.ErrnoException) => {
    if (error.code?.startsWith("Z_") === true || error.code === "ERR_STREAM_PREMATURE_CLOSE") throw broken("cannot be unpacked", error);
    if (error instanceof BlobStoreError && error.code === "NotFound") throw broken("is not in the store", error);
    if (codeOf(error) !== undefined) throw broken(`is refused by the database (${error.message})`, error);
    throw error;
  });
  if (hash.digest("hex") !== table.digest) throw broken("has another digest");
  if (rows !== table.rows) throw broken(`has ${rows} rows, and should have ${table.rows}`);
}
