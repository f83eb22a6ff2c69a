// `--purge` of storage.md, D1: what a deletion needs besides, so that nothing of it can be restored and its bytes go at once.

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";
import { planByIndex } from "./steady-plans.ts";

export interface NamedBlob {
  readonly manifest: Digest;
  readonly digest: Digest;
}

export interface BlobUse {
  readonly digest: Digest;
  readonly repository: string;
  readonly manifest: Digest;
}

export interface TrashRow {
  readonly repository: string;
  readonly digest: Digest;
  readonly tags: readonly string[];
}

const family = statement(
  "purge-family",
  `WITH RECURSIVE family AS (
     SELECT digest, 0 AS level FROM manifests WHERE repository = $1 AND digest = $2
     UNION
     SELECT m.digest, level + 1 FROM family
     JOIN manifest_children c ON c.repository = $1 AND c.manifest = family.digest
     JOIN manifests m ON m.repository = $1 AND m.digest = c.child
     WHERE level < 8
   )
   SELECT DISTINCT digest FROM family`,
);
const dueAtOnce = statement("purge-due-at-once", "SELECT set_config('wharfinger.review_delay', '0', true)");
const named = statement(
  "purge-named",
  "SELECT manifest, digest FROM manifest_blobs WHERE repository = $1 AND manifest = ANY($2) ORDER BY manifest, digest",
);
// One manifest of each repository says enough.
const uses = statement(
  "purge-uses",
  `SELECT named.digest, r.name AS repository, n.manifest
   FROM unnest($1::text[]) AS named (digest)
   JOIN repository_blobs l ON l.digest = named.digest
   JOIN repositories r ON r.id = l.repository
   CROSS JOIN LATERAL (
     SELECT manifest FROM manifest_blobs n WHERE n.repository = l.repository AND n.digest = named.digest ORDER BY manifest LIMIT 1
   ) n
   ORDER BY named.digest, r.name`,
);
// Whoever could be restored names the digest, and its repository has a link to it, or its own trash says the manifest. What the version before put
// there says the digest in its bytes (0020-trash-names.sql).
const emptyTrash = statement(
  "purge-trash",
  `WITH naming AS MATERIALIZED (
     SELECT id, repository FROM trash WHERE names && ARRAY(SELECT digest_key(layer) FROM unnest($3::text[]) AS layer)
   ), linked AS MATERIALIZED (
     SELECT DISTINCT repository FROM repository_blobs WHERE digest = ANY($3)
   ), gone AS (
     DELETE FROM trash
     WHERE id = ANY(ARRAY(
       SELECT id FROM trash WHERE repository = $1 AND digest = ANY($2)
       UNION
       SELECT id FROM naming JOIN linked USING (repository)
       UNION
       SELECT id FROM trash older JOIN linked USING (repository)
       WHERE older.names IS NULL
         AND EXISTS (SELECT FROM unnest($3::text[]) AS layer WHERE position(convert_to(layer, 'UTF8') IN older.bytes) > 0)))
     RETURNING repository, digest, tags
   )
   SELECT r.name AS repository, gone.digest, gone.tags FROM gone JOIN repositories r ON r.id = gone.repository ORDER BY r.name, gone.digest`,
);
const endLeases = statement(
  "purge-end-leases",
  `WITH links AS (
     SELECT repository, digest FROM repository_blobs WHERE digest = ANY($1) ORDER BY repository, digest FOR UPDATE
   )
   UPDATE repository_blobs l SET keep_until = least(keep_until, now())
   FROM links WHERE l.repository = links.repository AND l.digest = links.digest
   RETURNING l.repository, l.digest, l.ctid AS place`,
);
const endReviews = statement(
  "purge-end-reviews",
  `UPDATE gc_queue q SET review_after = now()
   FROM unnest($1::bigint[], $2::text[]) AS link (repository, digest)
   WHERE q.repository = link.repository AND q.digest = link.digest AND q.review_after > now()`,
);

/** The manifest and what it leads to, as far as it is here. */
export async function readFamily(transaction: Queryable, repositoryId: number, digest: Digest): Promise<Digest[]> {
  return (await transaction.query<{ digest: Digest }>(family, [repositoryId, digest])).map((row) => row.digest);
}

/** What this transaction takes away is reviewed at once. */
export async function reviewAtOnce(transaction: Queryable): Promise<void> {
  await transaction.query(dueAtOnce);
}

export function readNamedBlobs(transaction: Queryable, repositoryId: number, manifests: readonly Digest[]): Promise<NamedBlob[]> {
  return transaction.query<NamedBlob>(named, [repositoryId, manifests]);
}

/** Who names these blobs: a manifest of each repository. */
export function readUses(transaction: Queryable, blobs: readonly Digest[]): Promise<BlobUse[]> {
  return transaction.query<BlobUse>(uses, [blobs]);
}

/** Empties the trash of `manifests` of the repository, and everybody's of what names one of `blobs`: in proportion to those, not to the trash. */
export async function purgeTrash(
  transaction: Queryable,
  purged: { readonly repositoryId: number; readonly manifests: readonly Digest[]; readonly blobs: readonly Digest[] },
): Promise<TrashRow[]> {
  await planByIndex(transaction);
  return transaction.query<TrashRow>(emptyTrash, [purged.repositoryId, purged.manifests, purged.blobs]);
}

export interface Link {
  readonly repository: number;
  readonly digest: Digest;
  /** Where its row is as long as it is locked. */
  readonly place: string;
}

/** Ends every lease of these blobs and every review that waits for later. Returns their links, locked. */
export async function endHolds(transaction: Queryable, blobs: readonly Digest[]): Promise<Link[]> {
  const links = await transaction.query<Link>(endLeases, [blobs]);
  await transaction.execute(endReviews, [links.map(({ repository }) => repository), links.map(({ digest }) => digest)]);
  return links;
}
