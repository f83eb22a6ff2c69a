// What a snapshot consists of: `backup/<installation>/<name>/manifest.json`, written last, so that a snapshot without one is no snapshot; and a
// gzipped COPY for each table beside it (storage.md, "Backup").

import { createHash } from "node:crypto";

import { Type, type Static } from "typebox";
import { Value } from "typebox/value";

import { BlobStoreError } from "../blobs/blob-store.ts";
import type { NamedObjects } from "../blobs/named-objects.ts";

const Table = Type.Object({
  name: Type.String({ pattern: "^[a-z][a-z0-9_]*$" }),
  columns: Type.Array(Type.String()),
  rows: Type.Integer(),
  /** Of the object, compressed. */
  bytes: Type.Integer(),
  digest: Type.String({ pattern: "^[0-9a-f]{64}$", description: "sha256 of the object" }),
});

const SnapshotManifest = Type.Object({
  format: Type.Literal(1),
  installation: Type.String(),
  takenAt: Type.String(),
  reason: Type.Union([Type.Literal("schedule"), Type.Literal("migration"), Type.Literal("command")]),
  program: Type.String(),
  migrations: Type.Array(Type.String()),
  /** Those that others refer to come first. */
  tables: Type.Array(Table),
  sequences: Type.Array(Type.Object({ name: Type.String(), value: Type.String() })),
});
export type SnapshotManifest = Static<typeof SnapshotManifest>;
export type SnapshotReason = SnapshotManifest["reason"];

/** Bytes of a manifest that is still read: there are some dozens of tables. */
const most = 4 * 1024 * 1024;

export interface StoredSnapshot {
  /** `<installation>/<time>`. */
  readonly name: string;
  readonly manifest: SnapshotManifest;
}

export const manifestOf = (name: string) => `backup/${name}/manifest.json`;
export const tableOf = (name: string, table: string) => `backup/${name}/${table}.copy.gz`;

export async function writeManifest(named: NamedObjects, name: string, manifest: SnapshotManifest): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify({ ...manifest, digest: digestOf(manifest) }, null, 2)}\n`);
  await named.put(manifestOf(name), once(bytes));
}

/** Rejects with an Error that says what is wrong with it. */
export async function readManifest(named: NamedObjects, name: string): Promise<SnapshotManifest> {
  const broken = (cause?: unknown) => new Error(`The snapshot ${name} has a manifest that cannot be read; take another one.`, { cause });
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of named.get(manifestOf(name))) {
      pieces.push(piece);
      size += piece.byteLength;
      if (size > most) throw broken();
    }
  } catch (error) {
    if (error instanceof BlobStoreError && error.code === "NotFound")
      throw new Error(`There is no whole snapshot ${name} in the store. \`wharfinger backup list\` names those that are there.`, {
        cause: error,
      });
    throw error;
  }
  const { digest, ...manifest } = parse(Buffer.concat(pieces).toString(), broken);
  if (!Value.Check(SnapshotManifest, manifest)) throw broken();
  if (digest !== digestOf(manifest)) throw broken();
  return manifest;
}

/** Whole ones, newest first; `installation`: only of this one. Those that cannot be read are left out. */
export async function listSnapshots(named: NamedObjects, installation?: string): Promise<StoredSnapshot[]> {
  const found: StoredSnapshot[] = [];
  for (const name of await namesOfWhole(named, installation)) {
    const manifest = await readManifest(named, name).catch(() => undefined);
    if (manifest !== undefined) found.push({ name, manifest });
  }
  return found.sort((a, b) => Date.parse(b.manifest.takenAt) - Date.parse(a.manifest.takenAt));
}

async function namesOfWhole(named: NamedObjects, installation: string | undefined): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const object of named.list(installation === undefined ? "backup/" : `backup/${installation}/`)) {
    const name = /^backup\/([^/]+\/[^/]+)\/manifest\.json$/.exec(object.name)?.[1];
    if (name !== undefined && object.finished) names.push(name);
  }
  return names;
}

function parse(text: string, broken: (cause: unknown) => Error): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw broken(error);
  }
}

function digestOf(manifest: SnapshotManifest): string {
  return createHash("sha256").update(JSON.stringify(manifest)).digest("hex");
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
