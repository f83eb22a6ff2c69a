// Append-only tables that may forget, and the numbers people ask for.

import { statement, type Queryable } from "./database.ts";

const batch = 10_000;

const xmin = statement("gc-xmin", "SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin");
const pruneChanges = statement(
  "gc-prune-changes",
  `DELETE FROM changes WHERE ctid = ANY(ARRAY(SELECT ctid FROM changes WHERE xid < $1::text::xid8 LIMIT ${batch}))`,
);
const pruneTrash = statement(
  "gc-prune-trash",
  `DELETE FROM trash WHERE id IN (
     SELECT id FROM trash, gc_settings g WHERE deleted_at < now() - g.trash_for ORDER BY deleted_at LIMIT ${batch} FOR UPDATE OF trash SKIP LOCKED
   )`,
);
const status = statement(
  "gc-status",
  `SELECT
     (SELECT count(*) FROM gc_queue) AS queue,
     (SELECT count(*) FROM gc_queue WHERE review_after <= now()) AS due,
     (SELECT extract(epoch FROM now() - min(review_after))::float8 FROM gc_queue WHERE review_after <= now()) AS "oldestDueSeconds",
     count(*) FILTER (WHERE state = 'uploading') AS uploading,
     count(*) FILTER (WHERE state = 'live') AS live,
     count(*) FILTER (WHERE state = 'doomed') AS doomed,
     coalesce(sum(size) FILTER (WHERE state = 'doomed'), 0)::bigint AS "doomedBytes",
     count(*) FILTER (WHERE state = 'swept') AS swept
   FROM objects`,
);

export interface GcNumbers {
  readonly queue: number;
  readonly due: number;
  readonly oldestDueSeconds: number | null;
  readonly uploading: number;
  readonly live: number;
  readonly doomed: number;
  /** Bytes. */
  readonly doomedBytes: number;
  readonly swept: number;
}

/** The oldest transaction that may still be running, as xid8 in decimal. */
export async function readXmin(database: Queryable): Promise<string> {
  const [row] = await database.query<{ xmin: string }>(xmin);
  return row!.xmin;
}

/** Deletes changes of transactions before `xmin`; at most a batch. */
export function pruneChangesBefore(database: Queryable, xmin: string): Promise<number> {
  return database.execute(pruneChanges, [xmin]);
}

/** Deletes what can no longer be restored; at most a batch. */
export function pruneOldTrash(database: Queryable): Promise<number> {
  return database.execute(pruneTrash);
}

export async function readGcNumbers(database: Queryable): Promise<GcNumbers> {
  const [row] = await database.query<GcNumbers>(status);
  return row!;
}
