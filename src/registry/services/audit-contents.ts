// The deep part of the audit: every manifest read again and compared with what the tables say, every object read and hashed.

import { algorithmOf, digestOf, finishDigest, startDigest, type Digest } from "../../domain/digest.ts";
import { blobsOf, childrenOf, ManifestError, parseManifest, type Manifest } from "../../domain/manifest.ts";
import type { NameTest } from "../../domain/glob.ts";
import { BlobStoreError, type BlobReader } from "../blobs/blob-store.ts";
import {
  findBlobRow,
  findManifestToAudit,
  listBlobs,
  listManifests,
  readAuditCounts,
  type AuditedManifest,
  type BlobRow,
} from "../metadata/audit.ts";
import type { AuditContext, AuditedStore, AuditFinding, AuditStep } from "./audit-step.ts";

/** A manifest has at most 4 MiB: a page stays under 128 MiB. */
const manifestsAtOnce = 32;
const blobsAtOnce = 200;
const bufferSize = 1024 * 1024;

export async function* auditManifests({ database, mayMissBlobs = () => false }: AuditContext): AsyncGenerator<AuditStep> {
  const { manifests: total } = await readAuditCounts(database);
  let done = 0;
  for (let after = { repositoryId: 0, digest: "" }; ;) {
    const page = await listManifests(database, { after, limit: manifestsAtOnce });
    const last = page.at(-1);
    if (last === undefined) break;
    for (const manifest of page) {
      if (judgeManifest(manifest, mayMissBlobs).length === 0) continue;
      const again = await findManifestToAudit(database, manifest.repositoryId, manifest.digest);
      for (const finding of again === undefined ? [] : judgeManifest(again, mayMissBlobs)) yield { finding };
    }
    done += page.length;
    after = last;
    yield { step: "manifests", done, total: Math.max(done, total) };
  }
  yield { checked: { manifests: done } };
}

function judgeManifest(row: AuditedManifest, mayMissBlobs: NameTest): readonly AuditFinding[] {
  const finding = (invariant: number, message: string): AuditFinding => ({
    invariant,
    subject: `${row.repository}@${row.digest}`,
    message,
  });
  const hashed = digestOf(row.bytes, algorithmOf(row.digest));
  if (hashed !== row.digest) return [finding(1, `has bytes that hash to ${hashed}`)];
  const manifest = read(row);
  if (typeof manifest === "string") return [finding(1, `cannot be read: ${manifest}`)];
  const blobs = blobsOf(manifest);
  const children = childrenOf(manifest).map(({ digest }) => digest);
  const held = new Set(row.heldBlobs);
  const linked = new Set(row.linkedBlobs);
  const mayMiss = mayMissBlobs(row.repository);
  const unheld = row.own ? blobs.filter(({ digest, required }) => required && !held.has(digest) && (!mayMiss || linked.has(digest))) : [];
  const subject = manifest.subject?.digest ?? null;
  return [
    ...compare(
      "names the blobs",
      blobs.map(({ digest }) => digest),
      row.blobs,
    ).map((message) => finding(1, message)),
    ...compare("names the children", children, row.children).map((message) => finding(1, message)),
    ...unheld.map(({ digest }) => finding(1, `needs the blob ${digest}, and nothing holds it`)),
    ...(subject === row.subject ? [] : [finding(5, `has the subject ${subject ?? "none"}, and is listed with ${row.subject ?? "none"}`)]),
  ];
}

function read(row: AuditedManifest): Manifest | string {
  try {
    return parseManifest(row.bytes, row.mediaType);
  } catch (error) {
    if (error instanceof ManifestError) return error.message;
    throw error;
  }
}

function compare(what: string, said: readonly Digest[], rows: readonly Digest[]): readonly string[] {
  const difference = new Set(said).symmetricDifference(new Set(rows));
  if (difference.size === 0) return [];
  return [`${what} ${[...difference].sort().slice(0, 3).join(", ")} in its bytes or in the tables, not in both`];
}

export async function* auditBlobs(context: AuditContext): AsyncGenerator<AuditStep> {
  const { database, signal } = context;
  const { blobs: total } = await readAuditCounts(database);
  const buffer = Buffer.allocUnsafe(bufferSize);
  let done = 0;
  let bytes = 0;
  for (let after = ""; ;) {
    const page = await listBlobs(database, { after, limit: blobsAtOnce });
    const last = page.at(-1);
    if (last === undefined) break;
    for (const row of page) {
      signal.throwIfAborted();
      const message = (await hashOf(context.store, row, buffer)) && (await lookAgain(context, row, buffer));
      if (message !== undefined) yield { finding: { invariant: 1, subject: row.digest, message } };
      bytes += row.size;
      yield { step: "blobs", done: ++done, total: Math.max(done, total) };
    }
    after = last.digest;
  }
  yield { checked: { blobs: done, bytes } };
}

/** A second look: the blob may have gone since, or come back under another key. */
async function lookAgain({ database, store }: AuditContext, { digest }: BlobRow, buffer: Buffer): Promise<string | undefined> {
  const row = await findBlobRow(database, digest);
  return row === undefined ? undefined : hashOf(store, row, buffer);
}

/** What is wrong with the bytes; undefined: they are what the digest says. Objects that are not in the store are reported by `auditStore`. */
async function hashOf(store: AuditedStore, { digest, key }: BlobRow, buffer: Buffer): Promise<string | undefined> {
  let reader: BlobReader | undefined;
  try {
    reader = await store.open(key);
    const algorithm = algorithmOf(digest);
    const hash = startDigest(algorithm);
    for (let position = 0; position < reader.size;) {
      const count = await reader.read(buffer, position);
      hash.update(buffer.subarray(0, count));
      position += count;
    }
    const found = finishDigest(hash, algorithm);
    return found === digest ? undefined : `has bytes under ${key} that hash to ${found}`;
  } catch (error) {
    if (!(error instanceof BlobStoreError)) throw error;
    return error.code === "NotFound" ? undefined : `cannot be read: ${error.message}`;
  } finally {
    await reader?.close();
  }
}
