// Manifests as rows: finding them for a pull, locking and storing them for a push (storage.md, M1, U3).

import { failpoint } from "#failpoints";

import type { Digest } from "../../domain/digest.ts";
import type { Manifest } from "../../domain/manifest.ts";
import { statement, type Queryable } from "./database.ts";

export interface StoredManifest {
  readonly repositoryId: number;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

export interface ClaimedManifest extends StoredManifest {
  /** Blobs that it held until their bytes were let go (forget-copy.ts). */
  readonly lostBlobs: number;
}

export interface NewManifest {
  readonly repositoryId: number;
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  /** What they say. */
  readonly manifest: Manifest;
}

const columns = `m.repository AS "repositoryId", m.digest, m.media_type AS "mediaType", m.bytes`;

const byTag = statement(
  "manifest-by-tag",
  `SELECT ${columns}
   FROM repositories r
   JOIN tags t ON t.repository = r.id AND t.name = $2
   JOIN manifests m ON m.repository = r.id AND m.digest = t.digest
   WHERE r.name = $1`,
);
const byDigest = statement(
  "manifest-by-digest",
  `SELECT ${columns}
   FROM repositories r
   JOIN manifests m ON m.repository = r.id AND m.digest = $2
   WHERE r.name = $1`,
);
// Who means to push asks: "it is here" would keep lost blobs from coming back.
const lost = `(SELECT count(*) FROM manifest_blobs n
     WHERE n.repository = m.repository AND n.manifest = m.digest AND n.held IS NULL AND n.once_held) AS "lostBlobs"`;
// As for blobs: the answer comes from the row that was raised, or from one with more than half of its lease left.
const claiming = (found: string) => `WITH found AS (
     ${found}
   ), raised AS (
     UPDATE manifests t SET keep_until = now() + g.lease
     FROM found, gc_settings g
     WHERE t.repository = found.repository AND t.digest = found.digest AND found.keep_until < now() + g.lease / 2
     RETURNING t.repository, t.digest, t.media_type, t.bytes
   )
   SELECT ${columns}, ${lost} FROM raised m
   UNION ALL
   SELECT ${columns}, ${lost} FROM found m, gc_settings g WHERE m.keep_until >= now() + g.lease / 2`;
const claimByTag = statement(
  "manifest-claim-by-tag",
  claiming(`SELECT m.* FROM repositories r
     JOIN tags t ON t.repository = r.id AND t.name = $2
     JOIN manifests m ON m.repository = r.id AND m.digest = t.digest
     WHERE r.name = $1`),
);
const claimByDigest = statement(
  "manifest-claim-by-digest",
  claiming(`SELECT m.* FROM repositories r
     JOIN manifests m ON m.repository = r.id AND m.digest = $2
     WHERE r.name = $1`),
);
const lock = statement(
  "manifest-lock",
  `SELECT digest FROM manifests
   WHERE repository = $1 AND digest = ANY($2)
   ORDER BY digest
   FOR NO KEY UPDATE`,
);
const upsert = statement(
  "manifest-upsert",
  `INSERT INTO manifests (repository, digest, media_type, bytes, subject, artifact_type, annotations, untagged_since, keep_until)
   SELECT $1, $2, $3, $4, $5, $6, $7, CASE WHEN $8 THEN now() END, now() + lease FROM gc_settings
   ON CONFLICT (repository, digest) DO UPDATE SET
     media_type = excluded.media_type,
     artifact_type = excluded.artifact_type,
     pushed_at = CASE WHEN $9 THEN excluded.pushed_at ELSE manifests.pushed_at END,
     keep_until = greatest(manifests.keep_until, excluded.keep_until)`,
);
// A manifest counts as untagged when no tag and no index here names it. Referrers belong to their subject, also to one that is not here yet.
const settle = statement(
  "manifest-settle",
  `WITH judged AS (
     SELECT m.digest, m.untagged_since IS NOT NULL AS untagged,
       m.subject IS NULL
       AND NOT EXISTS (SELECT FROM tags t WHERE t.repository = m.repository AND t.digest = m.digest)
       AND NOT EXISTS (SELECT FROM manifest_children c WHERE c.repository = m.repository AND c.child = m.digest) AS loose
     FROM manifests m
     WHERE m.repository = $1 AND m.digest = ANY($2)
   )
   UPDATE manifests m SET untagged_since = CASE WHEN loose THEN now() END
   FROM judged
   WHERE m.repository = $1 AND m.digest = judged.digest AND judged.untagged <> judged.loose`,
);

export async function findManifestByTag(database: Queryable, repository: string, tag: string): Promise<StoredManifest | undefined> {
  const [row] = await database.query<StoredManifest>(byTag, [repository, tag]);
  return row;
}

export async function findManifestByDigest(database: Queryable, repository: string, digest: Digest): Promise<StoredManifest | undefined> {
  const [row] = await database.query<StoredManifest>(byDigest, [repository, digest]);
  return row;
}

/** U3 for a manifest: found by tag, with a lease that has at least half of its time left. */
export async function claimManifestByTag(database: Queryable, repository: string, tag: string): Promise<ClaimedManifest | undefined> {
  const [row] = await database.query<ClaimedManifest>(claimByTag, [repository, tag]);
  await failpoint("U3.claimed");
  return row;
}

/** U3 for a manifest: found by digest. */
export async function claimManifestByDigest(database: Queryable, repository: string, digest: Digest): Promise<ClaimedManifest | undefined> {
  const [row] = await database.query<ClaimedManifest>(claimByDigest, [repository, digest]);
  await failpoint("U3.claimed");
  return row;
}

/** Locks those of `digests` that are here, in digest order, against deletes and moves of tags. Returns them. */
export async function lockManifests(transaction: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<Digest[]> {
  return (await transaction.query<{ digest: Digest }>(lock, [repositoryId, digests])).map(({ digest }) => digest);
}

/** Stores or refreshes a manifest with a fresh lease. `pushed`: it counts as pushed now, also when it was here. */
export async function upsertManifest(
  transaction: Queryable,
  { repositoryId, digest, bytes, manifest }: NewManifest,
  options: { readonly tagged: boolean; readonly pushed: boolean },
): Promise<void> {
  const { mediaType, subject, artifactType, annotations } = manifest;
  await transaction.execute(upsert, [
    repositoryId,
    digest,
    mediaType,
    bytes,
    subject?.digest ?? null,
    artifactType ?? null,
    annotations === undefined ? null : JSON.stringify(annotations),
    !options.tagged && subject === undefined,
    options.pushed,
  ]);
}

/** Sets `untagged_since` where the last tag or parent left, clears it where one came. */
export async function settleUntagged(transaction: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<void> {
  if (digests.length > 0) await transaction.execute(settle, [repositoryId, digests]);
}
