// G2 and G3 of storage.md: from `doomed` to gone. Nothing ever comes back from `doomed`.

import { failpoint } from "#failpoints";

import { statement, type Queryable } from "./database.ts";

const sweepBatch = 1_000;

// A claimed key is claimed for ten minutes; if this process dies meanwhile another one deletes it again, which harms nobody.
const claiming = "UPDATE objects SET state = 'swept', sweep_after = now() + interval '10 minutes'";
const unlessPaused = "NOT EXISTS (SELECT FROM gc_pauses)";
const claimDoomed = statement(
  "gc-claim-doomed",
  `${claiming}
   WHERE key IN (
     SELECT key FROM objects, gc_settings g
     WHERE state = 'doomed' AND sweep_after IS NULL AND doomed_at <= now() - g.doom_delay AND ${unlessPaused}
     ORDER BY doomed_at
     LIMIT $1
     FOR UPDATE OF objects SKIP LOCKED
   )
   RETURNING key`,
);
const claimDue = statement(
  "gc-claim-due",
  `${claiming}
   WHERE key IN (
     SELECT key FROM objects
     WHERE state IN ('doomed', 'swept') AND sweep_after IS NOT NULL AND sweep_after <= now() AND ${unlessPaused}
     ORDER BY sweep_after
     LIMIT $1
     FOR UPDATE SKIP LOCKED
   )
   RETURNING key`,
);
// A key that was never live may still have a paused writer: it is deleted once more after a week, then forgotten.
const forget = statement(
  "gc-forget-objects",
  "DELETE FROM objects WHERE key = ANY($1) AND state = 'swept' AND (ever_live OR deletions > 0)",
);
const again = statement(
  "gc-delete-again",
  `UPDATE objects SET deletions = deletions + 1, sweep_after = now() + interval '7 days'
   WHERE key = ANY($1) AND state = 'swept'`,
);
const retry = statement(
  "gc-retry-objects",
  "UPDATE objects SET sweep_after = now() + interval '5 minutes' WHERE key = ANY($1) AND state = 'swept'",
);
const abandon = statement(
  "gc-abandon",
  `UPDATE objects SET state = 'doomed', doomed_at = now(), sweep_after = now()
   WHERE key IN (
     SELECT key FROM objects
     WHERE state = 'uploading' AND touched_at < now() - make_interval(secs => $1)
     ORDER BY touched_at
     LIMIT $2
     FOR UPDATE SKIP LOCKED
   )`,
);
const expire = statement(
  "gc-expire-uploads",
  `WITH expired AS (
     DELETE FROM uploads
     WHERE id IN (SELECT id FROM uploads WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)
     RETURNING id
   ), doomed AS (
     UPDATE objects SET state = 'doomed', doomed_at = now(), sweep_after = now()
     FROM expired WHERE session = expired.id AND state = 'uploading'
   )
   SELECT FROM expired`,
);

/** Keys that are due, `swept` from now on: committed before the store is asked to delete them. None while there is a pause (gc-pauses.ts). */
export async function claimDoomedObjects(database: Queryable): Promise<string[]> {
  const doomed = await database.query<{ key: string }>(claimDoomed, [sweepBatch]);
  const claimed = doomed.length > 0 ? doomed : await database.query<{ key: string }>(claimDue, [sweepBatch]);
  return claimed.map(({ key }) => key);
}

/** The store confirmed that these are gone. */
export async function forgetObjects(database: Queryable, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return;
  await database.execute(forget, [keys]);
  await database.execute(again, [keys]);
}

/** The store could not delete these; they are tried again in five minutes. */
export async function retryObjects(database: Queryable, keys: readonly string[]): Promise<void> {
  if (keys.length > 0) await database.execute(retry, [keys]);
}

/** G3: keys whose writer has not been heard for `milliseconds` are doomed, due at once. Returns how many, at most a batch. */
export async function abandonSilentObjects(database: Queryable, milliseconds: number): Promise<number> {
  const abandoned = await database.execute(abandon, [milliseconds / 1000, sweepBatch]);
  await failpoint("G3.abandoned");
  return abandoned;
}

/** Ends expired upload sessions and gives their bytes up. Returns how many, at most a batch. */
export async function expireUploads(database: Queryable): Promise<number> {
  const expired = await database.execute(expire, [sweepBatch]);
  await failpoint("G3.expired");
  return expired;
}
