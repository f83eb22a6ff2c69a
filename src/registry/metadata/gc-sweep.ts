// G2 and G3 of storage.md: from `doomed` to gone. Nothing ever comes back from `doomed`.

import { failpoint } from "#failpoints";

import { statement, type Database, type Queryable } from "./database.ts";
import { noteSweep } from "./gc-brake.ts";
import { planByIndex } from "./steady-plans.ts";

const sweepBatch = 1_000;

// What was locked is found again by its place, which nobody can change meanwhile.
// A claimed key is claimed for ten minutes; if this process dies meanwhile another one deletes it again, which harms nobody. When it was only slow,
// two have claimed the same: `deletions` says to which of them the row still is what it was.
const claiming = (due: string) => `WITH due AS (
     ${due}
   )
   UPDATE objects SET state = 'swept', sweep_after = now() + interval '10 minutes'
   FROM due, gc_settings g
   WHERE objects.ctid = due.place
   RETURNING objects.key, size, deletions, due.state = 'doomed' AS first, surplus OR doomed_at <= g.approved_until AS exempt`;
const unlessPaused = "NOT EXISTS (SELECT FROM gc_pauses)";
const claimDoomed = statement(
  "gc-claim-doomed",
  claiming(`SELECT objects.ctid AS place, state FROM objects, gc_settings g
     WHERE state = 'doomed' AND sweep_after IS NULL AND doomed_at <= now() - g.doom_delay AND ${unlessPaused}
     ORDER BY doomed_at
     LIMIT $1
     FOR UPDATE OF objects SKIP LOCKED`),
);
const claimDue = statement(
  "gc-claim-due",
  claiming(`SELECT ctid AS place, state FROM objects
     WHERE state IN ('doomed', 'swept') AND sweep_after IS NOT NULL AND sweep_after <= now() AND ${unlessPaused}
     ORDER BY sweep_after
     LIMIT $1
     FOR UPDATE SKIP LOCKED`),
);
const claimKeys = statement(
  "gc-claim-keys",
  claiming("SELECT ctid AS place, state FROM objects WHERE key = ANY($1) AND state = 'doomed' ORDER BY key FOR UPDATE SKIP LOCKED"),
);
const objectsOf = statement("gc-objects-of", "SELECT key, size FROM objects WHERE key = ANY($1)");
// Deleted in the store, for good or for the first of two times.
const deletedOf = statement(
  "gc-deleted-of",
  `SELECT given.key FROM unnest($1::text[]) AS given (key)
   WHERE NOT EXISTS (SELECT FROM objects o WHERE o.key = given.key AND NOT (o.state = 'swept' AND o.deletions > 0))`,
);
// That were doomed to go at once since then, and are not deleted.
const due = statement(
  "gc-due-at-once",
  `SELECT key FROM objects
   WHERE state IN ('doomed', 'swept') AND sweep_after IS NOT NULL AND ever_live AND doomed_at >= to_timestamp($1 / 1000.0)`,
);
// A key that was never live may still have a paused writer: it is deleted once more after a week, then forgotten.
const forget = statement(
  "gc-forget-objects",
  "DELETE FROM objects WHERE key = ANY($1) AND deletions = $2 AND state = 'swept' AND (ever_live OR deletions > 0)",
);
const again = statement(
  "gc-delete-again",
  `UPDATE objects SET deletions = deletions + 1, sweep_after = now() + interval '7 days'
   WHERE key = ANY($1) AND deletions = $2 AND state = 'swept'`,
);
const retry = statement(
  "gc-retry-objects",
  "UPDATE objects SET sweep_after = now() + interval '5 minutes' WHERE key = ANY($1) AND deletions = $2 AND state = 'swept'",
);
// Of all processes, and whatever they failed for: a key that fails again waits again. Also a claim that nobody has ended for five minutes.
const wake = statement(
  "gc-wake-objects",
  `UPDATE objects SET sweep_after = now()
   WHERE key IN (
     SELECT key FROM objects
     WHERE state = 'swept' AND deletions = 0 AND sweep_after > now() AND sweep_after <= now() + interval '5 minutes'
     ORDER BY sweep_after
     LIMIT $1
     FOR UPDATE SKIP LOCKED
   )`,
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

export interface DoomedObject {
  readonly key: string;
  /** Bytes, when it ever was whole. */
  readonly size: number | null;
}

export interface ClaimedObject extends DoomedObject {
  /** How often the store had confirmed that it is gone. */
  readonly deletions: number;
}

interface ClaimedRow extends ClaimedObject {
  /** It was not claimed before. */
  readonly first: boolean;
  /** The brake leaves it out: a person has approved it, or it was surplus when it came. */
  readonly exempt: boolean;
}

export interface Claimed {
  readonly objects: readonly ClaimedObject[];
  /** Of those that were not claimed before. */
  readonly bytes: number;
}

class OverAllowance extends Error {}

/**
 * Keys that are due, `swept` from now on: committed before the store is asked to delete them. None while there is a pause
 * (gc-pauses.ts).
 * Undefined, and nothing is claimed, when more than `allowance` bytes would have been swept within the hour.
 */
export async function claimDoomedObjects(database: Pick<Database, "transaction">, allowance: number): Promise<Claimed | undefined> {
  try {
    return await database.transaction((transaction) => claim(transaction, allowance), { unchanged: ({ objects }) => objects.length === 0 });
  } catch (error) {
    if (error instanceof OverAllowance) return undefined;
    throw error;
  }
}

async function claim(transaction: Queryable, allowance: number): Promise<Claimed> {
  await planByIndex(transaction);
  const doomed = await transaction.query<ClaimedRow>(claimDoomed, [sweepBatch]);
  const claimed = doomed.length > 0 ? doomed : await transaction.query<ClaimedRow>(claimDue, [sweepBatch]);
  const fresh = claimed.filter(({ first }) => first);
  const bytes = sizeOf(fresh);
  if (fresh.length > 0) {
    const swept = await noteSweep(transaction, {
      objects: fresh.length,
      bytes,
      exemptBytes: sizeOf(fresh.filter(({ exempt }) => exempt)),
    });
    if (swept > allowance) throw new OverAllowance();
  }
  return { objects: claimed, bytes };
}

/** Claims what a person has asked for by name: no brake holds it. */
export function claimByName(database: Pick<Database, "transaction">, keys: readonly string[]): Promise<Claimed> {
  return database.transaction(async (transaction) => {
    await planByIndex(transaction);
    const objects = await transaction.query<ClaimedRow>(claimKeys, [keys]);
    const bytes = sizeOf(objects);
    if (objects.length > 0) await noteSweep(transaction, { objects: objects.length, bytes, exemptBytes: bytes });
    return { objects, bytes };
  });
}

export function readObjects(database: Queryable, keys: readonly string[]): Promise<DoomedObject[]> {
  return database.query<DoomedObject>(objectsOf, [keys]);
}

/** Those of `keys` that the store has deleted, whoever asked it to. */
export async function deletedKeys(database: Queryable, keys: readonly string[]): Promise<readonly string[]> {
  return (await database.query<{ key: string }>(deletedOf, [keys])).map(({ key }) => key);
}

/** What was named by something once, was doomed without a delay since `since` (milliseconds since 1970, the database's clock), and is not deleted. */
export async function dueAtOnce(database: Queryable, since: number): Promise<readonly string[]> {
  return (await database.query<{ key: string }>(due, [since])).map(({ key }) => key);
}

function sizeOf(objects: readonly DoomedObject[]): number {
  return objects.reduce((sum, { size }) => sum + (size ?? 0), 0);
}

/** The store confirmed that these are gone. What another process has noted meanwhile stays. */
export async function forgetObjects(database: Queryable, objects: readonly ClaimedObject[]): Promise<void> {
  for (const [deletions, keys] of keysByDeletions(objects)) {
    const forgotten = await database.execute(forget, [keys, deletions]);
    if (forgotten < keys.length) await database.execute(again, [keys, deletions]);
  }
}

/** The store could not delete these; they are tried again in five minutes, unless another process has deleted them meanwhile. */
export async function retryObjects(database: Queryable, objects: readonly ClaimedObject[]): Promise<void> {
  for (const [deletions, keys] of keysByDeletions(objects)) await database.execute(retry, [keys, deletions]);
}

function keysByDeletions(objects: readonly ClaimedObject[]): ReadonlyMap<number, readonly string[]> {
  const groups = Map.groupBy(objects, ({ deletions }) => deletions);
  return new Map([...groups].map(([deletions, group]) => [deletions, group.map(({ key }) => key)]));
}

/** The store answers again: what waited for that is due now. Returns how many, at most a batch. */
export function wakeObjects(database: Queryable): Promise<number> {
  return database.execute(wake, [sweepBatch]);
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
