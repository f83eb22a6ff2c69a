// What lies under the names: every manifest read again and compared with what the tables say, every object (or some) read and hashed.

import { randomBytes } from "node:crypto";

import { algorithmOf, digestOf, type Digest } from "../../../domain/digest.ts";
import { blobsOf, childrenOf, ManifestError, parseManifest, type Manifest } from "../../../domain/manifest.ts";
import type { NameTest } from "../../../domain/glob.ts";
import { BlobStoreError } from "../../blobs/blob-store.ts";
import {
  findBlobRow,
  findManifestToAudit,
  listBlobs,
  listManifests,
  readAuditCounts,
  type AuditedManifest,
  type BlobRow,
} from "../../metadata/audit.ts";
import { mendCopy } from "./audit-repair.ts";
import type { AuditContext, AuditFinding, AuditStep } from "./audit-step.ts";
import { digestsOfObject } from "./stored-object.ts";

/** A manifest has at most 4 MiB: a page stays under 128 MiB. */
const manifestsAtOnce = 32;
const blobsAtOnce = 200;
/** Of an audit that is not deep. */
const sampleBlobs = 100;
const sampleBytes = 1024 ** 3;

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
  // Every audit reports these, a deep one once.
  const lost = new Set(row.lostBlobs);
  const mayMiss = mayMissBlobs(row.repository);
  const isUnheld = (digest: Digest) => !held.has(digest) && !lost.has(digest) && (!mayMiss || linked.has(digest));
  const unheld = row.own ? blobs.filter(({ digest, required }) => required && isUnheld(digest)) : [];
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

/** Reads and hashes every blob. */
export async function* auditBlobs(context: AuditContext): AsyncGenerator<AuditStep> {
  const { database } = context;
  const { blobs: total } = await readAuditCounts(database);
  let done = 0;
  let bytes = 0;
  for (let after = ""; ;) {
    const page = await listBlobs(database, { after, limit: blobsAtOnce });
    const last = page.at(-1);
    if (last === undefined) break;
    for (const row of page) {
      yield* hashBlob(context, row);
      bytes += row.size;
      yield { step: "blobs", done: ++done, total: Math.max(done, total) };
    }
    after = last.digest;
  }
  yield { checked: { blobs: done, bytes, hashed: done } };
}

/** Reads and hashes some blobs from a random place on: digests are spread evenly, so that everybody's turn comes. */
export async function* auditSample(context: AuditContext): AsyncGenerator<AuditStep> {
  const from = `sha256:${randomBytes(32).toString("hex")}`;
  const behind = await listBlobs(context.database, { after: from, limit: sampleBlobs });
  const first = await listBlobs(context.database, { after: "", limit: sampleBlobs - behind.length });
  const sample = [...behind, ...first.filter(({ digest }) => digest <= from)];
  let hashed = 0;
  let left = sampleBytes;
  for (const row of sample) {
    if (row.size > left) continue;
    yield* hashBlob(context, row);
    left -= row.size;
    yield { step: "sample", done: ++hashed, total: sample.length };
  }
  yield { checked: { hashed } };
}

async function* hashBlob(context: AuditContext, row: BlobRow): AsyncGenerator<AuditStep> {
  context.signal.throwIfAborted();
  const { digest } = row;
  if ((await flawOf(context, row)) === undefined) return;
  // A second look: the blob may have gone since, or come back under another key.
  const again = await findBlobRow(context.database, digest);
  const flaw = again && (await flawOf(context, again));
  if (again === undefined || flaw === undefined) return;
  const mend = flaw.readable && again.cached ? { mend: () => mendCopy(context, { digest, key: again.key }) } : {};
  yield { finding: { invariant: 1, subject: digest, message: flaw.message }, ...mend };
}

/** What is wrong with the bytes; undefined: they are what the digest says. Objects that are not in the store are reported by `auditStore`. */
async function flawOf(
  { store, signal }: AuditContext,
  { digest, key }: BlobRow,
): Promise<{ readonly message: string; readonly readable: boolean } | undefined> {
  try {
    const [found] = await digestsOfObject(store, key, new Set([algorithmOf(digest)]), signal);
    return found === digest ? undefined : { message: `has bytes under ${key} that hash to ${found}`, readable: true };
  } catch (error) {
    if (!(error instanceof BlobStoreError)) throw error;
    return error.code === "NotFound" ? undefined : { message: `cannot be read: ${error.message}`, readable: false };
  }
}
