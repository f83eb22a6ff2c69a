// Keys of the blob store: uploading → live → doomed → swept, never back (storage.md, U1, U2, G2, G3).

import { statement, type Queryable } from "./database.ts";

const announce = statement("object-announce", "INSERT INTO objects (key, state) VALUES ($1, 'uploading')");
const touch = statement("object-touch", "UPDATE objects SET touched_at = now() WHERE key = $1 AND state = 'uploading'");
const live = statement(
  "object-live",
  "UPDATE objects SET state = 'live', ever_live = true, size = $2, touched_at = now() WHERE key = $1 AND state = 'uploading'",
);
const surplus = statement(
  "object-surplus",
  "UPDATE objects SET state = 'doomed', surplus = true, doomed_at = now(), sweep_after = now() WHERE key = $1 AND state = 'live'",
);
const abandon = statement(
  "object-abandon",
  "UPDATE objects SET state = 'doomed', doomed_at = now(), sweep_after = now() WHERE key = $1 AND state = 'uploading'",
);

/** U1: tells the database of a key before the store hears of it. */
export async function announceObject(database: Queryable, key: string): Promise<void> {
  await database.execute(announce, [key]);
}

/** Says that somebody still writes. False: the key was given up. */
export async function touchObject(database: Queryable, key: string): Promise<boolean> {
  return (await database.execute(touch, [key])) === 1;
}

/** False: the key was given up meanwhile. */
export async function makeObjectLive(transaction: Queryable, key: string, size: number): Promise<boolean> {
  return (await transaction.execute(live, [key, size])) === 1;
}

/** Bytes that the store has already under another key; nobody has seen these, so they are due at once and the brake leaves them out. */
export async function doomSurplusObject(transaction: Queryable, key: string): Promise<void> {
  await transaction.execute(surplus, [key]);
}

/** Bytes that will never be whole. */
export async function abandonObject(database: Queryable, key: string): Promise<void> {
  await database.execute(abandon, [key]);
}
