// The one row that says which installation this database is of, and how often its marker rose (services/marker.ts).

import { statement, type Queryable } from "./database.ts";

export interface Installation {
  readonly id: string;
  /** How often it rose here. */
  readonly counter: number;
  /** The highest counter that the store is known to have. */
  readonly marked: number;
  /** Nothing was ever stored or published here. */
  readonly empty: boolean;
}

const read = statement(
  "installation-read",
  `SELECT id, counter, marked,
     counter = 0 AND NOT EXISTS (SELECT FROM objects) AND NOT EXISTS (SELECT FROM repositories) AND NOT EXISTS (SELECT FROM record) AS empty
   FROM installation`,
);
const raise = statement("installation-raise", "UPDATE installation SET counter = counter + 1 WHERE counter >= $1 RETURNING counter");
const exceed = statement("installation-exceed", "UPDATE installation SET counter = greatest(counter, $1) + 1 RETURNING counter");
const mark = statement("installation-mark", "UPDATE installation SET marked = greatest(marked, $1)");
const markAnew = statement("installation-mark-anew", "UPDATE installation SET marked = $1");
const due = statement(
  "installation-snapshot-due",
  `SELECT coalesce(snapshot_at <= now() - $1 * interval '1 millisecond', true)
     AND (EXISTS (SELECT FROM objects) OR EXISTS (SELECT FROM repositories) OR EXISTS (SELECT FROM record)) AS due
   FROM installation`,
);
const took = statement("installation-snapshot", "UPDATE installation SET snapshot_at = greatest(snapshot_at, $1::timestamptz)");

export async function readInstallation(database: Queryable): Promise<Installation> {
  const [row] = await database.query<Installation>(read);
  return row!;
}

/** One more, if it is at least `marker`; undefined: the database is behind. */
export async function raiseCounter(database: Queryable, marker: number): Promise<number | undefined> {
  const [row] = await database.query<{ counter: number }>(raise, [marker]);
  return row?.counter;
}

/** More than it was, and more than `marker`. */
export async function exceedMarker(database: Queryable, marker: number): Promise<number> {
  const [row] = await database.query<{ counter: number }>(exceed, [marker]);
  return row!.counter;
}

/** The store has this counter. `anew`: and whatever it had before is gone. */
export async function noteMarked(database: Queryable, counter: number, options: { readonly anew?: boolean } = {}): Promise<void> {
  await database.execute(options.anew === true ? markAnew : mark, [counter]);
}

/** The last one is older than `interval` milliseconds, or there is none; never of a database that holds nothing. */
export async function isSnapshotDue(database: Queryable, interval: number): Promise<boolean> {
  const [row] = await database.query<{ due: boolean }>(due, [interval]);
  return row!.due;
}

/** `takenAt`: RFC 3339. */
export async function noteSnapshot(database: Queryable, takenAt: string): Promise<void> {
  await database.execute(took, [takenAt]);
}
