// Append-only tables that may forget.

import { statement, type Queryable } from "./database.ts";

const batch = 10_000;
const historyBatch = 1_000;

const horizon = statement(
  "gc-horizon",
  "SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin, pg_postmaster_start_time()::text AS server",
);
const pruneChanges = statement(
  "gc-prune-changes",
  `DELETE FROM changes
   WHERE ctid = ANY(ARRAY(SELECT ctid FROM changes WHERE xid < $1::text::xid8 AND pg_postmaster_start_time()::text = $2 LIMIT ${batch} FOR UPDATE SKIP LOCKED))`,
);
const pruneTrash = statement(
  "gc-prune-trash",
  `DELETE FROM trash WHERE id IN (
     SELECT id FROM trash, gc_settings g WHERE deleted_at < now() - g.trash_for ORDER BY deleted_at LIMIT ${batch} FOR UPDATE OF trash SKIP LOCKED
   )`,
);
// Who asks: a proposal, when this registry first saw a digest at a source tag (its ledger remembers it from then on); retention, whether the
// subject of a referrer was ever here. So what a referrer or a tag sha256-<hex>… still names stays, and the rest goes with its age.
const forgetTagEvents = statement(
  "gc-forget-tag-events",
  `WITH old AS (
     SELECT id, at, repository, digest, previous FROM tag_events
     WHERE at < now() - interval '90 days' AND (at, id) > ($1::timestamptz, $2)
     ORDER BY at, id
     LIMIT ${historyBatch}
     FOR UPDATE SKIP LOCKED
   ), forgotten AS (
     DELETE FROM tag_events e USING old
     WHERE e.id = old.id AND NOT EXISTS (
       SELECT FROM unnest(ARRAY[old.digest, old.previous]) AS past (digest)
       WHERE EXISTS (SELECT FROM manifests m WHERE m.repository = old.repository AND m.subject = past.digest)
          OR EXISTS (
            SELECT FROM tags t
            WHERE t.repository = old.repository
              AND t.name >= replace(past.digest, ':', '-') AND t.name < replace(past.digest, ':', '-') || '/'))
     RETURNING e.id
   )
   SELECT (SELECT count(*) FROM forgotten) AS forgotten, at::text, id FROM old ORDER BY at DESC, id DESC LIMIT 1`,
);
/** Where changes may end that somebody still asks for. */
export interface Horizon {
  /** The oldest transaction that may still be running, as xid8 in decimal. */
  readonly xmin: string;
  /** Whose number it is: a database that was restored, or a standby that was behind, counts on from an earlier one. */
  readonly server: string;
}

export async function readHorizon(database: Queryable): Promise<Horizon> {
  const [row] = await database.query<Horizon>(horizon);
  return row!;
}

/** Deletes changes of transactions before it; at most a batch, and none when another server answers now. */
export function pruneChangesBefore(database: Queryable, { xmin, server }: Horizon): Promise<number> {
  return database.execute(pruneChanges, [xmin, server]);
}

/** Deletes what can no longer be restored; at most a batch. */
export function pruneOldTrash(database: Queryable): Promise<number> {
  return database.execute(pruneTrash);
}

/** A place in the history of tags, which is read oldest first. */
export interface HistoryPlace {
  readonly at: string;
  readonly id: number;
}

export const beginningOfHistory: HistoryPlace = { at: "-infinity", id: 0 };

/** Deletes what is over 90 days old behind `after` and answers no question any more, of a batch. Undefined: nothing behind it is that old. */
export async function forgetOldTagEvents(
  database: Queryable,
  after: HistoryPlace,
): Promise<{ readonly forgotten: number; readonly last: HistoryPlace } | undefined> {
  const [row] = await database.query<HistoryPlace & { forgotten: number }>(forgetTagEvents, [after.at, after.id]);
  return row === undefined ? undefined : { forgotten: row.forgotten, last: { at: row.at, id: row.id } };
}
