// Snapshots of the metadata in the store: written, and the old ones taken away (storage.md, "Backup"). Memory does not grow with the database: each
// table is a stream from COPY through gzip into the store.

import { createHash, randomBytes, type Hash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

import type { NamedObjects } from "../../blobs/named-objects.ts";
import type { Database } from "../../metadata/database.ts";
import { readSnapshot, type SnapshotSource, type SnapshotTable } from "../../metadata/snapshot-read.ts";
import {
  manifestOf,
  readSnapshots,
  tableOf,
  timeOf,
  writeManifest,
  type SnapshotManifest,
  type SnapshotReason,
  type StoredSnapshot,
} from "./snapshot-manifest.ts";

export interface SnapshotOptions {
  readonly database: Database;
  readonly named: NamedObjects;
  /** Version of the program. */
  readonly version: string;
  readonly reason: SnapshotReason;
  /** Called before each table. */
  readonly onTable?: (step: { readonly table: string; readonly done: number; readonly total: number }) => void;
}

/** Half of what was begun is left alone for this long, milliseconds: its writer may live. */
const mayBeWriting = 24 * 3_600_000;

/** Resolves when it is whole and durable. What a failure leaves behind is no snapshot, and goes with a later `pruneSnapshots`. */
export function takeSnapshot(options: SnapshotOptions): Promise<StoredSnapshot> {
  const { database, named, version, reason, onTable } = options;
  return readSnapshot(database, async (source) => {
    const name = `${source.installation}/${stampOf(source.takenAt)}`;
    const tables: SnapshotManifest["tables"] = [];
    for (const table of source.tables) {
      onTable?.({ table: table.name, done: tables.length, total: source.tables.length });
      tables.push(await writeTable(named, tableOf(name, table.name), source, table));
    }
    const manifest: SnapshotManifest = {
      format: 1,
      installation: source.installation,
      takenAt: source.takenAt,
      reason,
      program: version,
      migrations: [...source.migrations],
      tables,
      sequences: [...(await source.sequences())],
    };
    await writeManifest(named, name, manifest);
    return { name, manifest };
  });
}

/**
 * Keeps the newest `keep` of this installation, what is newer than the oldest of them, and what a newer version wrote. Others' are not touched:
 * they may be all that is left of a lost database. Rejects, and nothing is deleted, when one that is there cannot be read.
 */
export async function pruneSnapshots(named: NamedObjects, installation: string, keep: number): Promise<void> {
  // Listed before anything is read: what is finished meanwhile counts as being written.
  const found = await objectsOf(named, installation);
  const { stored, unread } = await readSnapshots(named, installation);
  const oldest = stored.at(keep - 1);
  const broken = unread.filter(({ name, error }) => error.code === "Broken" && oldest !== undefined && timeOf(name) < timeOf(oldest.name));
  const unfinished = [...found].filter(([, { whole, newest }]) => !whole && Date.now() - newest >= mayBeWriting).map(([name]) => name);
  for (const name of [...[...stored.slice(keep), ...broken].map((snapshot) => snapshot.name), ...unfinished]) {
    const names = found.get(name)?.names ?? [];
    // First what makes it a snapshot: half of one must never be taken for whole.
    await named.delete(names.filter((object) => object === manifestOf(name)));
    await named.delete(names.filter((object) => object !== manifestOf(name)));
  }
}

interface SnapshotObjects {
  readonly names: readonly string[];
  /** It has a manifest. */
  readonly whole: boolean;
  /** When one of them was written last. */
  readonly newest: number;
}

/** By the name of the snapshot. */
async function objectsOf(named: NamedObjects, installation: string): Promise<ReadonlyMap<string, SnapshotObjects>> {
  const found = new Map<string, SnapshotObjects>();
  for await (const { name, modified, finished } of named.list(`backup/${installation}/`)) {
    const snapshot = name.split("/").slice(1, 3).join("/");
    const { names = [], whole = false, newest = 0 } = found.get(snapshot) ?? {};
    found.set(snapshot, {
      names: [...names, name],
      whole: whole || (finished && name === manifestOf(snapshot)),
      newest: Math.max(newest, modified.getTime()),
    });
  }
  return found;
}

async function writeTable(
  named: NamedObjects,
  object: string,
  source: SnapshotSource,
  table: SnapshotTable,
): Promise<SnapshotManifest["tables"][number]> {
  const { pieces, rows } = source.read(table);
  const gzip = createGzip();
  const hash = createHash("sha256");
  const [bytes] = await Promise.all([named.put(object, hashed(gzip, hash)), pipeline(pieces, gzip)]);
  return { name: table.name, columns: [...table.columns], rows: rows(), bytes, digest: hash.digest("hex") };
}

export async function* hashed(pieces: AsyncIterable<Uint8Array>, hash: Hash): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    hash.update(piece);
    yield piece;
  }
}

/** 2026-11-22T02:00:00Z → 20261122t020000z-3f9a: two of one second are two. */
function stampOf(time: string): string {
  const digits = new Date(time).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  return `${digits.toLowerCase()}-${randomBytes(2).toString("hex")}`;
}
