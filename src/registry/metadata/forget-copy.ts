// A cached copy whose bytes are lost is forgotten, so that the next pull fetches it again (storage.md, G4). Upstream has it; what was pushed here is
// never forgotten: after a restore, when everything was looked for, what does not exist any more is let go, so that a push can bring it back.

import type { Digest } from "../../domain/digest.ts";
import { statement, type Database, type Statement } from "./database.ts";

// Order of locks: what names it, then links, blob, object.
const naming = statement(
  "forget-naming",
  `SELECT m.repository, m.digest FROM manifests m
   JOIN manifest_blobs n ON n.repository = m.repository AND n.manifest = m.digest
   WHERE n.digest = $1 AND n.held IS NOT NULL
   ORDER BY m.repository, m.digest
   FOR NO KEY UPDATE OF m`,
);
// A version tag whose copy is not whole behaves like a reference and is copied again: also that of an index around, and that of its evidence.
const release = statement(
  "forget-release-versions",
  `WITH RECURSIVE broken AS (
     SELECT n.repository, n.manifest AS digest, 0 AS level FROM manifest_blobs n WHERE n.digest = $1
     UNION
     SELECT c.repository, c.manifest, level + 1 FROM broken
     JOIN manifest_children c ON c.repository = broken.repository AND c.child = broken.digest
     WHERE level < 4
   )
   UPDATE ledger l SET held = NULL
   FROM broken
   WHERE l.repository = broken.repository AND l.held IS NOT NULL
     AND (l.held = broken.digest
       OR EXISTS (SELECT FROM ledger_evidence e WHERE e.repository = l.repository AND e.tag = l.tag AND e.held = broken.digest))`,
);
const unhold = statement("forget-unhold", "UPDATE manifest_blobs SET held = NULL WHERE digest = $1 AND held IS NOT NULL");
const unlink = statement("forget-unlink", "DELETE FROM repository_blobs WHERE digest = $1");
const remove = statement("forget-blob", "DELETE FROM blobs WHERE digest = $1 AND object_key = $2 AND cached");
const doom = statement(
  "forget-doom",
  "UPDATE objects SET state = 'doomed', doomed_at = now(), sweep_after = now() WHERE key = $1 AND state = 'live'",
);
const lock = statement("forget-lock", "SELECT FROM blobs WHERE digest = $1 AND object_key = $2 AND cached FOR UPDATE");
const lockAny = statement("forget-lock-any", "SELECT FROM blobs WHERE digest = $1 AND object_key = $2 FOR UPDATE");
const removeAny = statement("forget-any-blob", "DELETE FROM blobs WHERE digest = $1 AND object_key = $2");
// Not doomed: should the store come back with these bytes, they are unknown, and nothing deletes them by itself.
const drop = statement("forget-object", "DELETE FROM objects WHERE key = $1 AND state = 'live'");

class OtherBlob extends Error {}

/** False, and nothing is changed: the blob is not cached any more, or has other bytes by now. */
export function forgetCopy(database: Pick<Database, "transaction">, digest: Digest, key: string): Promise<boolean> {
  return forget(database, { digest, key }, { lock, remove, end: doom });
}

/**
 * The bytes are not in the store, cached or pushed: manifests name the blob and hold it no more, so it is unknown to who asks, and whoever pushes
 * it again mends them (M1). False, and nothing is changed: it has other bytes by now.
 */
export function letGoOfBytes(database: Pick<Database, "transaction">, digest: Digest, key: string): Promise<boolean> {
  return forget(database, { digest, key }, { lock: lockAny, remove: removeAny, end: drop });
}

async function forget(
  database: Pick<Database, "transaction">,
  { digest, key }: { readonly digest: Digest; readonly key: string },
  steps: Readonly<Record<"lock" | "remove" | "end", Statement>>,
): Promise<boolean> {
  try {
    await database.transaction(
      async (transaction) => {
        await transaction.query(naming, [digest]);
        await transaction.execute(release, [digest]);
        await transaction.execute(unhold, [digest]);
        await transaction.execute(unlink, [digest]);
        if ((await transaction.query(steps.lock, [digest, key])).length === 0) throw new OtherBlob();
        await transaction.execute(steps.remove, [digest, key]);
        await transaction.execute(steps.end, [key]);
      },
      { takesAway: true },
    );
    return true;
  } catch (error) {
    if (error instanceof OtherBlob) return false;
    throw error;
  }
}
