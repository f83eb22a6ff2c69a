// Reading the trash: what a restore can bring back (storage.md, D1). Deletes write it, the collector empties it.

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface TrashedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** Tags that went with it, in all its rows. */
  readonly tags: readonly string[];
}

const byTag = statement(
  "trash-by-tag",
  "SELECT digest FROM trash WHERE repository = $1 AND tags @> ARRAY[$2::text] ORDER BY id DESC LIMIT 1",
);
const trashed = `SELECT DISTINCT ON (digest) digest, media_type AS "mediaType", bytes,
     ARRAY(SELECT DISTINCT name FROM trash other, unnest(other.tags) AS name
           WHERE other.repository = t.repository AND other.digest = t.digest ORDER BY name) AS tags
   FROM trash t`;
const byDigest = statement("trash-by-digest", `${trashed} WHERE repository = $1 AND digest = ANY($2) ORDER BY digest, id DESC`);
// Whoever refers to a digest says it in its bytes or in its tag; the reader of the bytes sees how it is meant.
const naming = statement(
  "trash-naming",
  `${trashed}
   WHERE repository = $1 AND NOT digest = ANY($2)
     AND EXISTS (
       SELECT FROM unnest($2::text[]) AS subject
       WHERE position(convert_to(subject, 'UTF8') IN t.bytes) > 0
          OR EXISTS (SELECT FROM unnest(t.tags) AS name WHERE starts_with(name, replace(subject, ':', '-'))))
   ORDER BY digest, id DESC`,
);
const here = statement("trash-here", "SELECT digest FROM manifests WHERE repository = $1 AND digest = ANY($2)");

/** What the tag pointed at when it was deleted last. */
export async function findTrashedTag(database: Queryable, repositoryId: number, tag: string): Promise<Digest | undefined> {
  const [row] = await database.query<{ digest: Digest }>(byTag, [repositoryId, tag]);
  return row?.digest;
}

export async function findTrashed(database: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<TrashedManifest[]> {
  return digests.length === 0 ? [] : database.query<TrashedManifest>(byDigest, [repositoryId, digests]);
}

/** Manifests in the trash that mention one of `digests`, in their bytes or by a `sha256-<hex>` tag. */
export async function findTrashedNaming(database: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<TrashedManifest[]> {
  return digests.length === 0 ? [] : database.query<TrashedManifest>(naming, [repositoryId, digests]);
}

/** Those of `digests` that the repository has. */
export async function findPresent(database: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<ReadonlySet<Digest>> {
  const rows = await database.query<{ digest: Digest }>(here, [repositoryId, digests]);
  return new Set(rows.map(({ digest }) => digest));
}
