// G5 of storage.md: what would be swept within an hour, and what a person has allowed.

import { statement, type Queryable } from "./database.ts";

/** Sweeping stops when more than both would go within an hour. */
export interface Brake {
  /** Of all bytes that are stored. */
  readonly percent: number;
  readonly bytes: number;
}

/** Bytes. What a person has approved, and what was surplus when it came, is not in `swept` and `due`. */
export interface Outlook {
  /** Within the last hour. */
  readonly swept: number;
  /** Now, or within the next hour. */
  readonly due: number;
  /** The moment up to which what was doomed is approved, as the database writes it. */
  readonly approvedUntil: string;
}

const sweptLately = "(SELECT coalesce(sum(bytes - approved_bytes), 0)::bigint FROM gc_sweeps WHERE at > now() - interval '1 hour')";
// In proportion to what is doomed: each of the two has its index.
const outlook = statement(
  "gc-outlook",
  `SELECT ${sweptLately} AS swept,
     (SELECT coalesce(sum(size), 0) FROM objects
      WHERE state = 'doomed' AND sweep_after IS NULL AND NOT surplus
        AND doomed_at <= now() + interval '1 hour' - g.doom_delay AND doomed_at > g.approved_until)::bigint
     + (SELECT coalesce(sum(size), 0) FROM objects
        WHERE state IN ('doomed', 'swept') AND sweep_after IS NOT NULL
          AND state = 'doomed' AND NOT surplus AND sweep_after <= now() + interval '1 hour' AND doomed_at > g.approved_until)::bigint AS due,
     g.approved_until::text AS "approvedUntil"
   FROM gc_settings g`,
);
const stored = statement(
  "gc-stored-bytes",
  `SELECT coalesce(sum(size), 0)::bigint + ${sweptLately} AS bytes FROM objects WHERE state IN ('live', 'doomed') AND NOT surplus`,
);
// Who says go on while somebody else is about to pause is heard: what was looked at is approved since.
const hold = statement(
  "gc-brake-hold",
  `INSERT INTO gc_pauses (reason, detail)
   SELECT 'brake', $1 FROM gc_settings WHERE approved_until = $2::timestamptz
   ON CONFLICT (reason) DO NOTHING`,
);
const release = statement(
  "gc-brake-release",
  `WITH ended AS (DELETE FROM gc_pauses WHERE reason = 'brake' RETURNING reason)
   UPDATE gc_settings SET approved_until = now() WHERE EXISTS (SELECT FROM ended)`,
);
const note = statement(
  "gc-note-sweep",
  `WITH noted AS (INSERT INTO gc_sweeps (objects, bytes, approved_bytes) VALUES ($1, $2, $3))
   SELECT ${sweptLately} + $2 - $3 AS swept`,
);
const prune = statement("gc-prune-sweeps", "DELETE FROM gc_sweeps WHERE at < now() - interval '7 days'");

export async function readOutlook(database: Queryable): Promise<Outlook> {
  const [row] = await database.query<Outlook>(outlook);
  return row!;
}

/** Bytes of everything that is stored, with what went within the last hour. Reads every row: asked only where much is about to go. */
export async function readStoredBytes(database: Queryable): Promise<number> {
  const [row] = await database.query<{ bytes: number }>(stored);
  return row!.bytes;
}

/** Pauses sweeping on every process. False: the brake held already, or a person has approved more than `approvedUntil` since. */
export async function holdBrake(database: Queryable, detail: string, approvedUntil: string): Promise<boolean> {
  return (await database.execute(hold, [detail, approvedUntil])) === 1;
}

/** Ends that pause, and approves what is doomed so far. False: it did not hold. */
export async function releaseBrake(database: Queryable): Promise<boolean> {
  return (await database.execute(release)) === 1;
}

/** Part of a claim. Returns the bytes that were swept within the last hour, these included, without what the brake leaves out. */
export async function noteSweep(
  transaction: Queryable,
  sweep: { readonly objects: number; readonly bytes: number; readonly exemptBytes: number },
): Promise<number> {
  const [row] = await transaction.query<{ swept: number }>(note, [sweep.objects, sweep.bytes, sweep.exemptBytes]);
  return row!.swept;
}

/** Forgets what was swept more than a week ago. */
export function pruneSweeps(database: Queryable): Promise<number> {
  return database.execute(prune);
}
