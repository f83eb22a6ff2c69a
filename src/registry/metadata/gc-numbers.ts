// How much the collector has before it: for metrics in proportion to what waits, for a person everything.

import { statement, type Queryable } from "./database.ts";

/** What waits. */
export interface GcBacklog {
  /** Rows of the queue. */
  readonly queue: number;
  readonly due: number;
  readonly oldestDueSeconds: number | null;
  readonly doomed: number;
  /** Bytes. */
  readonly doomedBytes: number;
  readonly oldestDoomedSeconds: number | null;
  readonly paused: boolean;
}

export interface GcNumbers extends Omit<GcBacklog, "paused"> {
  readonly uploading: number;
  readonly live: number;
  readonly swept: number;
  /** Within the last 24 hours. */
  readonly sweptLately: number;
  readonly sweptLatelyBytes: number;
}

const secondsSince = (time: string) => `extract(epoch FROM now() - ${time})::float8`;
const queued = `(SELECT count(*) FROM gc_queue) AS queue,
     (SELECT count(*) FROM gc_queue WHERE review_after <= now()) AS due,
     (SELECT ${secondsSince("min(review_after)")} FROM gc_queue WHERE review_after <= now()) AS "oldestDueSeconds"`;
// In two halves, each with an index of its own: the doomed are few among the objects.
const backlog = statement(
  "gc-backlog",
  `SELECT ${queued}, count(*) AS doomed, coalesce(sum(size), 0)::bigint AS "doomedBytes",
     ${secondsSince("min(doomed_at)")} AS "oldestDoomedSeconds", EXISTS (SELECT FROM gc_pauses) AS paused
   FROM (
     SELECT size, doomed_at FROM objects WHERE state = 'doomed' AND sweep_after IS NULL
     UNION ALL
     SELECT size, doomed_at FROM objects
     WHERE state IN ('doomed', 'swept') AND sweep_after IS NOT NULL AND state = 'doomed'
   ) doomed`,
);
const status = statement(
  "gc-status",
  `SELECT ${queued},
     count(*) FILTER (WHERE state = 'uploading') AS uploading,
     count(*) FILTER (WHERE state = 'live') AS live,
     count(*) FILTER (WHERE state = 'doomed') AS doomed,
     coalesce(sum(size) FILTER (WHERE state = 'doomed'), 0)::bigint AS "doomedBytes",
     ${secondsSince("min(doomed_at) FILTER (WHERE state = 'doomed')")} AS "oldestDoomedSeconds",
     count(*) FILTER (WHERE state = 'swept') AS swept,
     (SELECT coalesce(sum(objects), 0)::bigint FROM gc_sweeps WHERE at > now() - interval '24 hours') AS "sweptLately",
     (SELECT coalesce(sum(bytes), 0)::bigint FROM gc_sweeps WHERE at > now() - interval '24 hours') AS "sweptLatelyBytes"
   FROM objects`,
);

export async function readBacklog(database: Queryable): Promise<GcBacklog> {
  const [row] = await database.query<GcBacklog>(backlog);
  return row!;
}

/** Reads every object's row. */
export async function readGcNumbers(database: Queryable): Promise<GcNumbers> {
  const [row] = await database.query<GcNumbers>(status);
  return row!;
}
