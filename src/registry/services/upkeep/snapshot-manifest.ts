// What a snapshot consists of: `backup/<installation>/<name>/manifest.json`, written last, so that a snapshot without one is no snapshot; and a
// gzipped COPY for each table beside it (storage.md, "Backup").

import { createHash } from "node:crypto";

import { Type, type Static } from "typebox";
import { Value } from "typebox/value";

import { compareNames } from "../../../domain/retention/words.ts";
import { BlobStoreError } from "../../blobs/blob-store.ts";
import type { NamedObjects } from "../../blobs/named-objects.ts";

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

/** NotFound: there is no whole snapshot of the name. Broken: it is not what was written. Newer: of a form that this version does not know. */
export class SnapshotError extends Error {
  readonly code: "NotFound" | "Broken" | "Newer";
  constructor(code: SnapshotError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SnapshotError";
    this.code = code;
  }
}

export const noneOf = (name: string) => `There is no whole snapshot ${name} in the store.`;

/** Rejects with SnapshotError, and with what the store says when it cannot be asked. */
export async function readManifest(named: NamedObjects, name: string): Promise<SnapshotManifest> {
  const broken = (cause?: unknown) => new SnapshotError("Broken", `The snapshot ${name} has a manifest that cannot be read.`, { cause });
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of named.get(manifestOf(name))) {
      pieces.push(piece);
      size += piece.byteLength;
      if (size > most) throw broken();
    }
  } catch (error) {
    if (error instanceof BlobStoreError && error.code === "NotFound") throw new SnapshotError("NotFound", noneOf(name), { cause: error });
    throw error;
  }
  const { digest, ...manifest } = parse(Buffer.concat(pieces).toString(), broken);
  if (typeof manifest["format"] === "number" && manifest["format"] > 1)
    throw new SnapshotError("Newer", `The snapshot ${name} was written by a newer Wharfinger: use that version, or another snapshot.`);
  if (!Value.Check(SnapshotManifest, manifest)) throw broken();
  if (digest !== digestOf(manifest)) throw broken();
  return manifest;
}

export interface SnapshotsFound {
  /** Newest first, as are those that cannot be read, by their names. */
  readonly stored: readonly StoredSnapshot[];
  readonly unread: readonly { readonly name: string; readonly error: SnapshotError }[];
}

/** All that have a manifest; `installation`: only of this one. Rejects when the store cannot be asked for one of them: that says nothing about it. */
export async function readSnapshots(named: NamedObjects, installation?: string): Promise<SnapshotsFound> {
  const stored: StoredSnapshot[] = [];
  const unread: { readonly name: string; readonly error: SnapshotError }[] = [];
  for (const name of await namesOfWhole(named, installation)) {
    try {
      stored.push({ name, manifest: await readManifest(named, name) });
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error;
      // Taken away since it was listed.
      if (error.code !== "NotFound") unread.push({ name, error });
    }
  }
  return {
    stored: stored.sort((a, b) => Date.parse(b.manifest.takenAt) - Date.parse(a.manifest.takenAt)),
    unread: unread.sort((a, b) => compareNames(timeOf(b.name), timeOf(a.name))),
  };
}

/** `<installation>/20261122t020000z-3f9a` → `20261122t020000z`: sorts as its time does. A name of another form counts as the newest. */
export function timeOf(name: string): string {
  return /\/(\d{8}t\d{6}z)/.exec(name)?.[1] ?? "~";
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
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch (error) {
    throw broken(error);
  }
  throw broken(undefined);
}

function digestOf(manifest: SnapshotManifest): string {
  return createHash("sha256").update(JSON.stringify(manifest)).digest("hex");
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
