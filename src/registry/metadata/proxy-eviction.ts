// What of an Upstream is cached, how long nobody asked for it, and what pins it (design: upstream.md, "Eviction").

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface CachedManifestRow {
  readonly repositoryId: number;
  readonly digest: Digest;
  readonly subject: Digest | null;
  readonly children: readonly Digest[];
  readonly tags: readonly string[];
  /** Milliseconds since it was fetched or last pulled. */
  readonly idle: number;
  /** A version tag, its evidence, a waiting proposal or a cluster's last report names it. */
  readonly pinned: boolean;
}

export interface CachedBlobRow {
  readonly repositoryId: number;
  readonly manifest: Digest;
  readonly digest: Digest;
  readonly size: number;
}

const manifests = statement(
  "eviction-manifests",
  `WITH used AS (
     SELECT DISTINCT substring(i.image FROM 'sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$') AS digest
     FROM workload_images i JOIN workload_reports r ON r.cluster = i.cluster
     WHERE i.last_seen IS NULL OR i.last_seen >= coalesce(r.taken_at, '-infinity')
   )
   SELECT m.repository AS "repositoryId", m.digest, m.subject,
     ARRAY(SELECT c.child FROM manifest_children c WHERE c.repository = m.repository AND c.manifest = m.digest) AS children,
     ARRAY(SELECT t.name FROM tags t WHERE t.repository = m.repository AND t.digest = m.digest) AS tags,
     (extract(epoch FROM now() - greatest(m.pushed_at, (
       SELECT max(p.last_at) FROM pulls p WHERE p.repository = m.repository AND p.digest = m.digest
     ))) * 1000)::float8 AS idle,
     EXISTS (SELECT FROM ledger l WHERE l.repository = m.repository AND l.digest = m.digest)
       OR EXISTS (SELECT FROM ledger_evidence e WHERE e.repository = m.repository AND e.held = m.digest)
       OR EXISTS (SELECT FROM proposal_pins p WHERE p.repository = m.repository AND p.held = m.digest)
       OR EXISTS (SELECT FROM used WHERE used.digest = m.digest) AS pinned
   FROM manifests m
   JOIN repositories r ON r.id = m.repository
   WHERE r.upstream = $1`,
);
const blobs = statement(
  "eviction-blobs",
  `SELECT n.repository AS "repositoryId", n.manifest, n.digest, b.size
   FROM repositories r
   JOIN manifest_blobs n ON n.repository = r.id
   JOIN repository_blobs l ON l.repository = n.repository AND l.digest = n.digest
   JOIN blobs b ON b.digest = l.digest
   WHERE r.upstream = $1`,
);
const counted = statement(
  "eviction-counted-for",
  `SELECT (extract(epoch FROM now() - created_at) * 1000)::float8 AS age FROM installation`,
);
// Due at once: the collector looks at what this transaction takes away in its next round.
const dueAtOnce = statement("eviction-due-at-once", `SELECT set_config('wharfinger.review_delay', '0', true)`);
const named = statement(
  "eviction-named-blobs",
  "SELECT DISTINCT digest FROM manifest_blobs WHERE repository = $1 AND manifest = ANY($2) ORDER BY digest",
);
const endLeases = statement(
  "eviction-end-leases",
  `UPDATE repository_blobs l SET keep_until = now()
   WHERE l.repository = $1 AND l.digest = ANY($2) AND l.keep_until > now()
     AND NOT EXISTS (SELECT FROM manifest_blobs n WHERE n.repository = l.repository AND n.digest = l.digest)`,
);
// The review that waits for the end of the lease would hold the bytes that long. The collector locks only rows that are due.
const reviewNow = statement(
  "eviction-review-now",
  `UPDATE gc_queue q SET review_after = now()
   WHERE q.repository = $1 AND q.digest = ANY($2) AND q.review_after > now()
     AND NOT EXISTS (SELECT FROM manifest_blobs n WHERE n.repository = q.repository AND n.digest = q.digest)`,
);

export function listCachedManifests(database: Queryable, upstream: string): Promise<CachedManifestRow[]> {
  return database.query<CachedManifestRow>(manifests, [upstream]);
}

/** The blobs that are stored of these manifests. */
export function listCachedBlobs(database: Queryable, upstream: string): Promise<CachedBlobRow[]> {
  return database.query<CachedBlobRow>(blobs, [upstream]);
}

/** Milliseconds for which pulls have been counted here. */
export async function pullsCountedFor(database: Queryable): Promise<number> {
  const [row] = await database.query<{ age: number }>(counted);
  return row?.age ?? 0;
}

/** In the transaction that deletes these manifests, before it does: the collector is due at once. Returns the blobs that they name. */
export async function prepareEviction(transaction: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<Digest[]> {
  await transaction.query(dueAtOnce);
  return (await transaction.query<{ digest: Digest }>(named, [repositoryId, digests])).map(({ digest }) => digest);
}

/** After the deletion: blobs that no manifest names any longer have no lease. */
export async function finishEviction(transaction: Queryable, repositoryId: number, blobs: readonly Digest[]): Promise<void> {
  await transaction.execute(endLeases, [repositoryId, blobs]);
  await transaction.execute(reviewNow, [repositoryId, blobs]);
}
