// Blobs, and the right to read one in a repository, which is also the lease that keeps it while a push is on its way (storage.md, U2, U3).

import { failpoint } from "#failpoints";

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface StoredBlob {
  readonly size: number;
  readonly key: string;
}

const insert = statement(
  "blob-insert",
  `INSERT INTO blobs (digest, size, object_key, cached) VALUES ($1, $2, $3, $4)
   ON CONFLICT (digest) DO UPDATE SET size = excluded.size, cached = blobs.cached AND excluded.cached
   RETURNING object_key AS key`,
);
const link = statement(
  "blob-link",
  `INSERT INTO repository_blobs (repository, digest, keep_until)
   VALUES ($1, $2, now() + (SELECT lease FROM gc_settings))
   ON CONFLICT (repository, digest) DO UPDATE SET keep_until = greatest(repository_blobs.keep_until, excluded.keep_until)`,
);
const find = statement(
  "blob-find",
  `SELECT b.size, b.object_key AS key
   FROM repositories r
   JOIN repository_blobs l ON l.repository = r.id AND l.digest = $2
   JOIN blobs b ON b.digest = l.digest
   WHERE r.name = $1`,
);
// The answer comes from the row that the UPDATE returned, or from one with more than half of its lease left:
// a plain SELECT beside the UPDATE would still see a link that the collector has just deleted.
const claim = statement(
  "blob-claim",
  `WITH link AS (
     SELECT l.repository, l.digest, l.keep_until, g.lease
     FROM repositories r
     JOIN repository_blobs l ON l.repository = r.id AND l.digest = $2
     CROSS JOIN gc_settings g
     WHERE r.name = $1 AND r.upstream IS NULL
   ), raised AS (
     UPDATE repository_blobs t SET keep_until = now() + link.lease
     FROM link
     WHERE t.repository = link.repository AND t.digest = link.digest AND link.keep_until < now() + link.lease / 2
     RETURNING t.digest
   )
   SELECT b.size, b.object_key AS key
   FROM blobs b
   WHERE b.digest = $2
     AND (EXISTS (SELECT FROM raised) OR EXISTS (SELECT FROM link WHERE keep_until >= now() + lease / 2))`,
);
const mount = statement(
  "blob-mount",
  `INSERT INTO repository_blobs (repository, digest, keep_until)
   SELECT $1, l.digest, now() + (SELECT lease FROM gc_settings)
   FROM repositories r
   JOIN repository_blobs l ON l.repository = r.id AND l.digest = $3
   WHERE r.name = $2
   ON CONFLICT (repository, digest) DO UPDATE SET keep_until = greatest(repository_blobs.keep_until, excluded.keep_until)`,
);
const own = statement("blob-own", "UPDATE blobs SET cached = false WHERE digest = $1 AND cached");
const holders = statement(
  "blob-holders",
  `SELECT r.name
   FROM repository_blobs l
   JOIN repositories r ON r.id = l.repository
   WHERE l.digest = $1 AND r.name > $2
   ORDER BY r.name
   LIMIT $3`,
);
const lock = statement("blob-link-lock", "SELECT digest FROM repository_blobs WHERE repository = $1 AND digest = $2 FOR UPDATE");
const namedBy = statement(
  "blob-named-by",
  "SELECT manifest FROM manifest_blobs WHERE repository = $1 AND digest = $2 ORDER BY manifest LIMIT 1",
);
const unlink = statement("blob-unlink", "DELETE FROM repository_blobs WHERE repository = $1 AND digest = $2");
const origin = statement("blob-origin", "INSERT INTO blob_origins (digest, upstream) VALUES ($1, $2) ON CONFLICT DO NOTHING");

/** The key under which the bytes of `digest` are now: `key`, or that of whoever was first. `cached`: they come from an Upstream. */
export async function insertBlob(
  transaction: Queryable,
  blob: { readonly digest: Digest; readonly size: number; readonly key: string; readonly cached: boolean },
): Promise<string> {
  const [row] = await transaction.query<{ key: string }>(insert, [blob.digest, blob.size, blob.key, blob.cached]);
  return row!.key;
}

/** The right to read, with a fresh lease. */
export async function linkBlob(transaction: Queryable, repositoryId: number, digest: Digest): Promise<void> {
  await transaction.execute(link, [repositoryId, digest]);
}

/** The blob, when `repository` has the right to it. */
export async function findBlob(database: Queryable, repository: string, digest: Digest): Promise<StoredBlob | undefined> {
  const [row] = await database.query<StoredBlob>(find, [repository, digest]);
  return row;
}

/** U3: the blob of an own repository, with a lease that has at least half of its time left. */
export async function claimBlob(database: Queryable, repository: string, digest: Digest): Promise<StoredBlob | undefined> {
  const [row] = await database.query<StoredBlob>(claim, [repository, digest]);
  await failpoint("U3.claimed");
  return row;
}

/** Into an own repository. False when `from` does not have it. A blob that is collected at this moment breaks `repository_blobs_digest_fkey`. */
export async function mountBlob(transaction: Queryable, repositoryId: number, from: string, digest: Digest): Promise<boolean> {
  if ((await transaction.execute(mount, [repositoryId, from, digest])) === 0) return false;
  await transaction.execute(own, [digest]);
  return true;
}

/** Names of the repositories that have the right to a blob, bytewise sorted. */
export async function listBlobHolders(database: Queryable, digest: Digest, page: { after: string; limit: number }): Promise<string[]> {
  return (await database.query<{ name: string }>(holders, [digest, page.after, page.limit])).map(({ name }) => name);
}

/** Locks the link. False: there is none. */
export async function lockBlobLink(transaction: Queryable, repositoryId: number, digest: Digest): Promise<boolean> {
  return (await transaction.query(lock, [repositoryId, digest])).length === 1;
}

/** A manifest of the repository that names the blob. */
export async function findNamingManifest(transaction: Queryable, repositoryId: number, digest: Digest): Promise<Digest | undefined> {
  const [row] = await transaction.query<{ manifest: Digest }>(namedBy, [repositoryId, digest]);
  return row?.manifest;
}

export async function unlinkBlob(transaction: Queryable, repositoryId: number, digest: Digest): Promise<void> {
  await transaction.execute(unlink, [repositoryId, digest]);
}

/** Remembers that an Upstream delivered these bytes (upstream.md, "The right to a cached blob"). */
export async function insertBlobOrigin(transaction: Queryable, digest: Digest, upstream: string): Promise<void> {
  await transaction.execute(origin, [digest, upstream]);
}
