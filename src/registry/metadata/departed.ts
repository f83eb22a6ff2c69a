// Deleted subjects whose followers wait (storage.md, D1): who is noted here, and who follows next.

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface Departed {
  readonly id: number;
  readonly repositoryId: number;
  readonly repository: string;
  readonly digest: Digest;
  readonly by: string;
  readonly reason: string;
  /** False: a purge. */
  readonly trash: boolean;
  readonly heedsProtection: boolean;
}

export interface DepartureWhy {
  readonly by: string;
  readonly reason: string;
  readonly trash: boolean;
  readonly heedsProtection: boolean;
}

// The clock, not the beginning of the transaction: the rows are locked by now, so whoever pushed to the subject while it was here is earlier.
const note = statement(
  "departed-note",
  `INSERT INTO departed (repository, digest, by, reason, trash, heeds_protection)
   SELECT $1, going.digest, $3, $4, $5, $6
   FROM unnest($2::text[]) AS going (digest)
   WHERE EXISTS (SELECT FROM manifests m WHERE m.repository = $1 AND m.subject = going.digest COLLATE "C")
      OR EXISTS (
        SELECT FROM tags t
        WHERE t.repository = $1
          AND t.name >= replace(going.digest, ':', '-') COLLATE "C" AND t.name < replace(going.digest, ':', '-') || '/' COLLATE "C"
          AND (t.name = replace(going.digest, ':', '-') OR t.name LIKE replace(going.digest, ':', '-') || '.%'))
   ORDER BY going.digest`,
);
const next = statement(
  "departed-next",
  `SELECT d.id, d.repository AS "repositoryId", r.name AS repository, d.digest, d.by, d.reason, d.trash, d.heeds_protection AS "heedsProtection"
   FROM departed d JOIN repositories r ON r.id = d.repository
   WHERE $1::bigint IS NULL OR d.repository = $1 AND CASE WHEN $2::text IS NULL THEN d.trash ELSE NOT d.trash AND d.reason = $2 END
   ORDER BY d.id
   LIMIT 1
   FOR UPDATE OF d SKIP LOCKED`,
);
// "/" is the character behind "." (manifest-deletion.ts).
const followers = statement(
  "departed-followers",
  `SELECT found.digest
   FROM departed d
   CROSS JOIN LATERAL (
     (SELECT m.digest FROM manifests m
      WHERE m.repository = d.repository AND m.subject = d.digest AND m.digest > d.taken_to AND m.pushed_at <= d.at
      ORDER BY m.digest
      LIMIT $2)
     UNION
     (SELECT m.digest FROM tags t
      JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest
      WHERE t.repository = d.repository
        AND t.name >= replace(d.digest, ':', '-') AND t.name < replace(d.digest, ':', '-') || '/'
        AND (t.name = replace(d.digest, ':', '-') OR t.name LIKE replace(d.digest, ':', '-') || '.%')
        AND m.digest > d.taken_to AND m.digest <> d.digest AND m.pushed_at <= d.at
      ORDER BY m.digest
      LIMIT $2)
   ) found
   WHERE d.id = $1
   ORDER BY found.digest
   LIMIT $2`,
);
const ofPurge = statement("departed-of-purge", "SELECT id FROM departed WHERE repository = $1 AND NOT trash AND reason = $2 ORDER BY id");
const advance = statement("departed-advance", "UPDATE departed SET taken_to = $2 WHERE id = $1");
const end = statement("departed-end", "DELETE FROM departed WHERE id = $1");
const cancel = statement("departed-cancel", "DELETE FROM departed WHERE repository = $1 AND digest = ANY($2) AND trash");

/** Of `digests`, which this transaction deleted, those to which something here still refers. Returns how many. */
export function noteDeparted(transaction: Queryable, repositoryId: number, digests: readonly Digest[], why: DepartureWhy): Promise<number> {
  return transaction.execute(note, [repositoryId, digests, why.by, why.reason, why.trash, why.heedsProtection]);
}

/** `All`: of every repository. Else those that can be restored, or those of one purge, by its reason. */
export type DepartedOf = "All" | { readonly repositoryId: number; readonly purge?: string };

/** Locks the oldest one that no other process works on. */
export async function lockDeparted(transaction: Queryable, of: DepartedOf): Promise<Departed | undefined> {
  const [row] = await transaction.query<Departed>(next, of === "All" ? [null, null] : [of.repositoryId, of.purge ?? null]);
  return row;
}

/** Those of the purge, whoever works on them. */
export async function listOfPurge(database: Queryable, repositoryId: number, purge: string): Promise<number[]> {
  return (await database.query<{ id: number }>(ofPurge, [repositoryId, purge])).map(({ id }) => id);
}

/** In digest order, those that refer to it, were pushed before it was deleted, and were not judged yet. */
export async function readFollowers(transaction: Queryable, id: number, limit: number): Promise<Digest[]> {
  return (await transaction.query<{ digest: Digest }>(followers, [id, limit])).map(({ digest }) => digest);
}

/** What follows it up to `takenTo` is judged; undefined: everything. */
export async function advanceDeparted(transaction: Queryable, id: number, takenTo: Digest | undefined): Promise<void> {
  await (takenTo === undefined ? transaction.execute(end, [id]) : transaction.execute(advance, [id, takenTo]));
}

/** These come back: nothing follows them any more, once the batch that is running has ended. Returns how many were noted; a purge holds. */
export function cancelDeparted(transaction: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<number> {
  return transaction.execute(cancel, [repositoryId, digests]);
}
