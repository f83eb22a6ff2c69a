// Reading the trash: what a restore can bring back (storage.md, D1). Deletes write it, the collector empties it.

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";
import { planByIndex } from "./steady-plans.ts";

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
// Whoever refers to a digest names it, or says it in its tag; the reader of the bytes sees how it is meant. What the version before put there says it
// in its bytes (0020-trash-names.sql).
const naming = statement(
  "trash-naming",
  `WITH naming AS MATERIALIZED (
     SELECT id FROM trash WHERE names && ARRAY(SELECT digest_key(subject) FROM unnest($2::text[]) AS subject)
   )
   ${trashed}
   WHERE repository = $1 AND NOT digest = ANY($2)
     AND id = ANY(ARRAY(
       SELECT id FROM naming
       UNION
       SELECT id FROM trash other
       WHERE repository = $1
         AND EXISTS (
           SELECT FROM unnest($2::text[]) AS subject
           WHERE EXISTS (SELECT FROM unnest(other.tags) AS name WHERE starts_with(name, replace(subject, ':', '-')))
              OR (other.names IS NULL AND position(convert_to(subject, 'UTF8') IN other.bytes) > 0))))
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

/** Manifests in the trash that name one of `digests`, or do so by a `sha256-<hex>` tag. */
export async function findTrashedNaming(
  transaction: Queryable,
  repositoryId: number,
  digests: readonly Digest[],
): Promise<TrashedManifest[]> {
  if (digests.length === 0) return [];
  await planByIndex(transaction);
  return transaction.query<TrashedManifest>(naming, [repositoryId, digests]);
}

/** Those of `digests` that the repository has. */
export async function findPresent(database: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<ReadonlySet<Digest>> {
  const rows = await database.query<{ digest: Digest }>(here, [repositoryId, digests]);
  return new Set(rows.map(({ digest }) => digest));
}
