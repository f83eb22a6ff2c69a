// Is what a repository was judged by still so? Asked under lock, in proportion to what is about to go and to what changed since.

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

/** A moment, as transactions see it: everything that commits later is asked for. */
export interface Moment {
  readonly snapshot: string;
  /** The transaction that read it: what it writes is its own. */
  readonly xid: string | null;
}

export interface CheckedManifest {
  readonly digest: Digest;
  readonly pushedAt: number;
  readonly keepUntil: number;
  readonly pulledAt: number | null;
  readonly parents: readonly Digest[];
  readonly referrers: readonly Digest[];
}

const moment = statement("retention-moment", "SELECT pg_current_snapshot()::text AS snapshot, NULL AS xid");
// The rows that pulls' memory is told of (storage.md, "Reading"): every tag that came, moved or went, whoever did it.
const tagsSince = statement(
  "retention-tags-since",
  `SELECT pg_current_snapshot()::text AS snapshot, pg_current_xact_id()::text AS xid, EXISTS (
     SELECT FROM (
       SELECT xid, key FROM changes
       WHERE xid >= pg_snapshot_xmax($2::pg_snapshot) AND xid < pg_snapshot_xmax(pg_current_snapshot())
       UNION ALL
       SELECT xid, key FROM changes WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($2::pg_snapshot)))
     ) since
     WHERE xid IS DISTINCT FROM $3::text::xid8 AND starts_with(key, 'tag:' || $1::bigint || ':')
   ) AS changed`,
);
const epoch = (time: string) => `floor(extract(epoch FROM ${time}) * 1000)::float8`;
const facts = statement(
  "retention-facts-of",
  `SELECT m.digest, ${epoch("m.pushed_at")} AS "pushedAt", ${epoch("m.keep_until")} AS "keepUntil",
     (SELECT ${epoch("max(p.last_at)")} FROM pulls p WHERE p.repository = m.repository AND p.digest = m.digest) AS "pulledAt",
     ARRAY(SELECT c.manifest FROM manifest_children c WHERE c.repository = m.repository AND c.child = m.digest) AS parents,
     ARRAY(SELECT r.digest FROM manifests r WHERE r.repository = m.repository AND r.subject = m.digest) AS referrers
   FROM manifests m
   WHERE m.repository = $1 AND m.digest = ANY($2)`,
);

/** Read before the repository is. */
export async function readMoment(database: Queryable): Promise<Moment> {
  const [row] = await database.query<Moment>(moment);
  return row!;
}

/** Whether a tag of the repository changed since `seen`, by anybody but the transaction that read `seen`; and the moment of this answer. */
export async function tagsChangedSince(
  transaction: Queryable,
  repositoryId: number,
  seen: Moment,
): Promise<Moment & { readonly changed: boolean }> {
  const [row] = await transaction.query<Moment & { changed: boolean }>(tagsSince, [repositoryId, seen.snapshot, seen.xid]);
  return row!;
}

/** Those of `digests` that are here, as they are now. */
export function readManifestsToCheck(transaction: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<CheckedManifest[]> {
  return transaction.query<CheckedManifest>(facts, [repositoryId, digests]);
}
