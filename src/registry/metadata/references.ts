// What manifests name. `held` is the digest again, as a foreign key: what holds cannot be taken away.

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface BlobReference {
  readonly digest: Digest;
  readonly size: number;
}

export interface ChildReference {
  readonly digest: Digest;
  readonly platform?: unknown;
}

const missingBlobs = `SELECT digest FROM unnest($2::text[]) AS digest
   WHERE NOT EXISTS (SELECT FROM repository_blobs l WHERE l.repository = $1 AND l.digest = digest.digest)`;
const missing = statement(
  "reference-missing",
  `${missingBlobs}
   UNION ALL
   SELECT digest FROM unnest($3::text[]) AS digest
   WHERE NOT EXISTS (SELECT FROM manifests m WHERE m.repository = $1 AND m.digest = digest.digest)`,
);
// An index that names what is not here, and a manifest that somebody may wait for, must not miss each other's uncommitted row.
const turn = statement(
  "reference-turn",
  `SELECT CASE WHEN $2 THEN pg_advisory_xact_lock(key) ELSE pg_advisory_xact_lock_shared(key) END
   FROM hashtextextended('children of ' || $1::bigint, 0) AS key`,
);
// As of the children: the blob that is on its way is linked under a shared lock, by a trigger (0010-repository-usage.sql).
const turnOnBlobs = statement("reference-turn-blobs", "SELECT pg_advisory_xact_lock(hashtextextended('blobs of ' || $1::bigint, 0))");
const insertChildren = statement(
  "reference-insert-children",
  `INSERT INTO manifest_children (repository, manifest, child, platform, held)
   SELECT $1, $2, child, platform::json, held
   FROM unnest($3::text[], $4::text[], $5::text[]) AS named (child, platform, held)
   ORDER BY child COLLATE "C"
   ON CONFLICT (repository, manifest, child) DO UPDATE SET held = excluded.held
   WHERE manifest_children.held IS NULL AND excluded.held IS NOT NULL`,
);
const insertBlobs = statement(
  "reference-insert-blobs",
  `INSERT INTO manifest_blobs (repository, manifest, digest, size, held)
   SELECT $1, $2, digest, size, held
   FROM unnest($3::text[], $4::bigint[], $5::text[]) AS named (digest, size, held)
   ORDER BY digest COLLATE "C"
   ON CONFLICT (repository, manifest, digest) DO UPDATE SET held = excluded.held
   WHERE manifest_blobs.held IS NULL AND excluded.held IS NOT NULL`,
);
const holdWaiting = statement(
  "reference-hold-waiting",
  "UPDATE manifest_children SET held = child WHERE repository = $1 AND child = $2 AND held IS NULL",
);

/** Constraints whose breach means that something a manifest names is not here. */
export const referenceConstraints: ReadonlySet<string> = new Set(["manifest_blobs_held", "manifest_children_held"]);

/** Those of these blobs and manifests that the repository does not have. */
export async function findMissing(
  transaction: Queryable,
  repositoryId: number,
  named: { readonly blobs: readonly Digest[]; readonly manifests: readonly Digest[] },
): Promise<ReadonlySet<Digest>> {
  if (named.blobs.length + named.manifests.length === 0) return new Set();
  const rows = await transaction.query<{ digest: Digest }>(missing, [repositoryId, named.blobs, named.manifests]);
  return new Set(rows.map(({ digest }) => digest));
}

/**
 * Before any row is locked: who stores an index of `absent` children waits for all that are storing manifests in this repository, and they wait
 * for it. What was looked up before may be here now.
 */
export async function takeTurnOnChildren(transaction: Queryable, repositoryId: number, absent: boolean): Promise<void> {
  await transaction.query(turn, [repositoryId, absent]);
}

/** Before any row is locked: who stores a manifest whose blobs are absent waits for all that are linking blobs in this repository, and they wait for it. */
export async function takeTurnOnBlobs(transaction: Queryable, repositoryId: number): Promise<void> {
  await transaction.query(turnOnBlobs, [repositoryId]);
}

/** What an index names; `holds` says for which a foreign key is set. */
export async function insertChildReferences(
  transaction: Queryable,
  manifest: { readonly repositoryId: number; readonly digest: Digest },
  children: readonly ChildReference[],
  holds: (digest: Digest) => boolean,
): Promise<void> {
  if (children.length === 0) return;
  await transaction.execute(insertChildren, [
    manifest.repositoryId,
    manifest.digest,
    children.map(({ digest }) => digest),
    children.map(({ platform }) => (platform === undefined ? null : JSON.stringify(platform))),
    children.map(({ digest }) => (holds(digest) ? digest : null)),
  ]);
}

export async function insertBlobReferences(
  transaction: Queryable,
  manifest: { readonly repositoryId: number; readonly digest: Digest },
  blobs: readonly BlobReference[],
  holds: (digest: Digest) => boolean,
): Promise<void> {
  if (blobs.length === 0) return;
  await transaction.execute(insertBlobs, [
    manifest.repositoryId,
    manifest.digest,
    blobs.map(({ digest }) => digest),
    blobs.map(({ size }) => size),
    blobs.map(({ digest }) => (holds(digest) ? digest : null)),
  ]);
}

/** Indexes that were pushed before this child hold it from now on. */
export async function holdWaitingChildren(transaction: Queryable, repositoryId: number, digest: Digest): Promise<void> {
  await transaction.execute(holdWaiting, [repositoryId, digest]);
}
