// Questions and changes of `audit --adopt`: bytes that the database does not know, for blobs that lost theirs (storage.md, "Backup").

import type { Digest } from "../../domain/digest.ts";
import { statement, type Database, type Queryable } from "./database.ts";

/** Bytes that are looked for. */
export interface WantedBlob {
  readonly digest: Digest;
  /** As a manifest states it: a push does not compare it with the blob. */
  readonly size: number;
}

// What manifests of own repositories held until its bytes were let go. What was absent when they were pushed is no claim: anybody can name a digest.
// Nor does anybody's `size` count against another's: each is tried, and the hash decides.
const unheld = statement(
  "adopt-unheld",
  `SELECT DISTINCT n.digest, n.size
   FROM manifest_blobs n JOIN repositories r ON r.id = n.repository
   WHERE r.upstream IS NULL AND n.held IS NULL AND n.once_held
     AND NOT EXISTS (SELECT FROM repository_blobs l WHERE l.repository = n.repository AND l.digest = n.digest)`,
);
// What is being uploaded is left to its writer; one that was silent for so long was, in the restored database's view, never finished.
const enliven = statement(
  "adopt-object",
  `INSERT INTO objects (key, state, ever_live, size) VALUES ($1, 'live', true, $2)
   ON CONFLICT (key) DO UPDATE SET state = 'live', ever_live = true, size = excluded.size, touched_at = now()
   WHERE objects.state = 'uploading' AND objects.touched_at < now() - interval '10 minutes'`,
);
const move = statement("adopt-move", "UPDATE blobs SET object_key = $3, size = $4 WHERE digest = $1 AND object_key = $2");
const drop = statement("adopt-drop", "DELETE FROM objects WHERE key = $1 AND state = 'live'");
const add = statement("adopt-blob", "INSERT INTO blobs (digest, size, object_key) VALUES ($1, $2, $3) ON CONFLICT (digest) DO NOTHING");
// The trigger of the new links holds all that wait in their repositories, also what never was held (0010-repository-usage.sql).
const naming = statement(
  "adopt-naming",
  `SELECT m.repository, m.digest FROM manifests m
   JOIN manifest_blobs n ON n.repository = m.repository AND n.manifest = m.digest
   JOIN repositories r ON r.id = m.repository AND r.upstream IS NULL
   WHERE n.digest = $1 AND n.held IS NULL
   ORDER BY m.repository, m.digest
   FOR NO KEY UPDATE OF m`,
);
const link = statement(
  "adopt-link",
  `INSERT INTO repository_blobs (repository, digest, keep_until)
   SELECT DISTINCT n.repository, n.digest, now() + g.lease
   FROM manifest_blobs n JOIN repositories r ON r.id = n.repository AND r.upstream IS NULL CROSS JOIN gc_settings g
   WHERE n.digest = $1 AND n.held IS NULL AND n.once_held
   ORDER BY n.repository
   ON CONFLICT (repository, digest) DO NOTHING`,
);
const images = statement(
  "adopt-images",
  `WITH RECURSIVE naming AS (
     SELECT n.repository, n.manifest AS digest, 0 AS level FROM manifest_blobs n WHERE n.digest = $1 AND n.held IS NOT NULL
     UNION
     SELECT c.repository, c.manifest, level + 1 FROM naming
     JOIN manifest_children c ON c.repository = naming.repository AND c.child = naming.digest
     WHERE level < 4
   ), own AS (
     SELECT DISTINCT r.id, r.name, naming.digest FROM naming JOIN repositories r ON r.id = naming.repository WHERE r.upstream IS NULL
   ), tagged AS (
     SELECT own.name || ':' || t.name AS image FROM own JOIN tags t ON t.repository = own.id AND t.digest = own.digest
   ), bare AS (
     SELECT own.name || '@' || own.digest AS image FROM own
     WHERE NOT EXISTS (
       SELECT FROM own other JOIN tags t ON t.repository = other.id AND t.digest = other.digest WHERE other.id = own.id)
   ), unnamed AS (
     SELECT r.name || '@' || l.digest AS image FROM repository_blobs l JOIN repositories r ON r.id = l.repository
     WHERE l.digest = $1 AND r.upstream IS NULL AND NOT EXISTS (SELECT FROM own WHERE own.id = r.id)
   )
   SELECT image FROM tagged UNION SELECT image FROM bare UNION SELECT image FROM unnamed ORDER BY 1`,
);

class Otherwise extends Error {}

/** Once for each size that is stated. */
export function findUnheldBlobs(database: Queryable): Promise<WantedBlob[]> {
  return database.query<WantedBlob>(unheld);
}

/** What a person lost with these bytes: `repository:tag`, or `repository@digest` where no tag leads there. */
export async function imagesOfBlob(database: Queryable, digest: Digest): Promise<string[]> {
  return (await database.query<{ image: string }>(images, [digest])).map(({ image }) => image);
}

/** The blob has its bytes under `key` from now on, instead of `lost`. False, and nothing is changed: one of them is something else by now. */
export function adoptForBlob(
  database: Database,
  blob: WantedBlob,
  keys: { readonly lost: string; readonly key: string },
): Promise<boolean> {
  return unlessOtherwise(database, async (transaction) => {
    await must(transaction.execute(enliven, [keys.key, blob.size]));
    await must(transaction.execute(move, [blob.digest, keys.lost, keys.key, blob.size]));
    await transaction.execute(drop, [keys.lost]);
  });
}

/**
 * Own repositories that lost the blob have it again. False, and nothing is changed: somebody else brought it meanwhile, or nobody is left who had it.
 */
export function adoptForManifests(database: Database, blob: WantedBlob, key: string): Promise<boolean> {
  return unlessOtherwise(database, async (transaction) => {
    await transaction.query(naming, [blob.digest]);
    await must(transaction.execute(enliven, [key, blob.size]));
    await must(transaction.execute(add, [blob.digest, blob.size, key]));
    if ((await transaction.execute(link, [blob.digest])) === 0) throw new Otherwise();
  });
}

async function unlessOtherwise(database: Database, work: (transaction: Queryable) => Promise<void>): Promise<boolean> {
  try {
    await database.transaction(work, { takesAway: true });
    return true;
  } catch (error) {
    if (error instanceof Otherwise) return false;
    throw error;
  }
}

async function must(changed: Promise<number>): Promise<void> {
  if ((await changed) !== 1) throw new Otherwise();
}
