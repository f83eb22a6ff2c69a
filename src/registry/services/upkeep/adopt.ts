// `wharfinger audit --adopt`: after database or store were restored, one goes over the other (storage.md, "Backup"). Nothing is deleted in the store.
//
// 1. The store is listed; live objects that it does not have are missing.
// 2. Objects that no blob here has are hashed where their size is that of a blob that misses its bytes, or that an own manifest held until they
//    were let go. The right ones are adopted: an image that was deleted, collected and pushed again since the backup is one.
// 3. What is still missing is let go: cached copies are fetched again by the next pull, pushed ones are named, and a push brings them back. (Were
//    they kept, a client that pushes would be told that they exist, and nothing would ever mend the image.)
// 4. Marker and database count on together, and the collector goes on.
// Whatever else the store has is counted and left alone: `audit --repair` deletes what is older than 7 days.

import type { AdoptLine, AdoptReport } from "../../../api/control/audit.ts";
import type { Digest } from "../../../domain/digest.ts";
import type { Logger } from "../../../observability/logger.ts";
import type { BlobStore } from "../../blobs/blob-store.ts";
import { appendActivity } from "../../metadata/activity.ts";
import { adoptForBlob, adoptForManifests, findUnheldBlobs, imagesOfBlob, type WantedBlob } from "../../metadata/adoption.ts";
import { findObjects, listLiveObjects } from "../../metadata/audit.ts";
import type { Database } from "../../metadata/database.ts";
import { letGoOfBytes } from "../../metadata/forget-copy.ts";
import { blobInObject, isStored } from "./stored-object.ts";
import type { Marker } from "./marker.ts";

export interface AdoptOptions {
  readonly database: Database;
  readonly store: Pick<BlobStore, "list" | "open">;
  readonly marker: Pick<Marker, "setAnew">;
  readonly signal: AbortSignal;
  /** Who asked. */
  readonly identity: string;
  readonly logger: Logger;
}

interface MissingBlob extends WantedBlob {
  /** Where its bytes are not. */
  readonly key: string;
}

const pageSize = 1_000;
const listedKeys = 1_000;

/** Progress, then the report as the last line. Ended early it has changed nothing that is wrong, and the collector is paused as before. */
export async function* adopt(options: AdoptOptions): AsyncGenerator<AdoptLine> {
  const { database, marker, logger, identity } = options;
  // About 150 bytes an object.
  const stored = new Map<string, number>();
  for await (const { key, size, finished } of options.store.list()) {
    options.signal.throwIfAborted();
    if (finished) stored.set(key, size);
    if (stored.size % pageSize === 0) yield progress("store", stored.size, stored.size);
  }
  const objects = stored.size;
  const missing = new Map<Digest, MissingBlob>();
  for await (const { gone, seen } of compare(options, stored)) {
    for (const blob of gone) missing.set(blob.digest, blob);
    yield progress("database", seen, seen);
  }
  // What is left in `stored` is no blob's here; what is on its way out is not looked at.
  const uploading = await leaveKnown(options, stored);
  const report: AdoptReport = { objects, adopted: [], forgotten: [], lost: [], unknown: { objects: 0, bytes: 0, keys: [] } };
  const wanted = await wantedBySize(options, missing);
  let done = 0;
  const total = stored.size;
  for (const [key, size] of stored) {
    options.signal.throwIfAborted();
    const digest = await claim(options, { key, size }, { wanted, missing });
    if (digest === undefined && uploading.has(key)) continue;
    if (digest === undefined) {
      report.unknown.objects++;
      report.unknown.bytes += size;
      if (report.unknown.keys.length < listedKeys) report.unknown.keys.push(key);
    } else report.adopted.push({ digest, key });
    if (++done % 100 === 0) yield progress("unknown objects", done, total);
  }
  for (const [index, { digest, key }] of [...missing.values()].entries()) {
    options.signal.throwIfAborted();
    yield progress("missing blobs", index, missing.size);
    const images = await imagesOfBlob(database, digest);
    if (!(await letGoOfBytes(database, digest, key))) continue;
    // An own repository names it no more, or never did: what still links it is upstream's.
    if (images.length === 0) report.forgotten.push(digest);
    else report.lost.push({ digest, images });
  }
  const numbers = { adopted: report.adopted.length, forgotten: report.forgotten.length, unknown: report.unknown.objects };
  for (const { digest, images } of report.lost)
    logger.error({ digest, images }, "bytes that were pushed are lost; push these images again");
  await appendActivity(database, { identity, action: "adopt", detail: { ...numbers, lost: report.lost.slice(0, listedKeys) } });
  await marker.setAnew();
  logger.info({ ...numbers, lost: report.lost.length }, "went over what was unknown and what was missing");
  yield { report };
}

/** Takes what the database knows as live out of `stored`; yields the blobs whose bytes are not there. */
async function* compare(
  { database, store, signal }: AdoptOptions,
  stored: Map<string, number>,
): AsyncGenerator<{ readonly gone: readonly MissingBlob[]; readonly seen: number }> {
  let seen = 0;
  for (let after = ""; ;) {
    signal.throwIfAborted();
    const rows = await listLiveObjects(database, { after, limit: pageSize });
    const last = rows.at(-1);
    if (last === undefined) return;
    const gone: MissingBlob[] = [];
    for (const { key } of rows) {
      // What came after the listing is there now.
      if (stored.delete(key) || (await isStored(store, key))) continue;
      const row = (await findObjects(database, [key])).get(key);
      if (row?.state !== "live" || row.digest === null) continue;
      gone.push({ digest: row.digest, size: row.size ?? 0, key });
    }
    seen += rows.length;
    yield { gone, seen };
    after = last.key;
  }
}

/** Takes away what the database has doomed. Returns the keys that it takes for being written. */
async function leaveKnown({ database, signal }: AdoptOptions, stored: Map<string, number>): Promise<ReadonlySet<string>> {
  const uploading = new Set<string>();
  const keys = [...stored.keys()];
  for (let from = 0; from < keys.length; from += pageSize) {
    signal.throwIfAborted();
    for (const { key, state } of (await findObjects(database, keys.slice(from, from + pageSize))).values()) {
      if (state === "uploading") uploading.add(key);
      else if (state !== "live") stored.delete(key);
    }
  }
  return uploading;
}

async function wantedBySize(
  { database }: AdoptOptions,
  missing: ReadonlyMap<Digest, MissingBlob>,
): Promise<Map<number, Map<Digest, WantedBlob>>> {
  const bySize = new Map<number, Map<Digest, WantedBlob>>();
  for (const blob of [...(await findUnheldBlobs(database)), ...missing.values()]) {
    const same = bySize.get(blob.size) ?? new Map<Digest, WantedBlob>();
    bySize.set(blob.size, same.set(blob.digest, blob));
  }
  return bySize;
}

/** The blob that has its bytes in this object from now on. */
async function claim(
  { database, store, signal }: AdoptOptions,
  { key, size }: { readonly key: string; readonly size: number },
  { wanted, missing }: { readonly wanted: Map<number, Map<Digest, WantedBlob>>; readonly missing: Map<Digest, MissingBlob> },
): Promise<Digest | undefined> {
  const candidates = wanted.get(size);
  if (candidates === undefined || candidates.size === 0) return undefined;
  const blob = await blobInObject(store, key, [...candidates.values()], signal);
  if (blob === undefined) return undefined;
  const lost = missing.get(blob.digest);
  const adopted =
    lost === undefined ? await adoptForManifests(database, blob, key) : await adoptForBlob(database, blob, { lost: lost.key, key });
  if (!adopted) return undefined;
  candidates.delete(blob.digest);
  missing.delete(blob.digest);
  return blob.digest;
}

function progress(step: string, done: number, total: number): AdoptLine {
  return { progress: { step, done, total } };
}
