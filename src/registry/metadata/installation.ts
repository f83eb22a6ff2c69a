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
const holdsSomething = "(EXISTS (SELECT FROM objects) OR EXISTS (SELECT FROM repositories) OR EXISTS (SELECT FROM record))";
const due = statement(
  "installation-snapshot-due",
  `SELECT coalesce(snapshot_at <= now() - $1 * interval '1 millisecond', true) AND ${holdsSomething} AS due FROM installation`,
);
const age = statement(
  "installation-snapshot-age",
  `SELECT extract(epoch FROM now() - coalesce(snapshot_at, created_at))::float8 AS seconds
   FROM installation
   WHERE snapshot_at IS NOT NULL OR $1 AND ${holdsSomething}`,
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

/**
 * Seconds since the newest one was begun; while there is none, since the installation was. Undefined while there need be none: it holds nothing, or
 * (not `wanted`) none are taken by themselves.
 */
export async function readSnapshotAge(database: Queryable, { wanted }: { readonly wanted: boolean }): Promise<number | undefined> {
  const [row] = await database.query<{ seconds: number }>(age, [wanted]);
  return row?.seconds;
}

/** `takenAt`: RFC 3339. */
export async function noteSnapshot(database: Queryable, takenAt: string): Promise<void> {
  await database.execute(took, [takenAt]);
}
