// A snapshot back into an empty database, in one transaction: whole, with every foreign key checked, or not at all.

import { pipeline } from "node:stream/promises";

import { from as copyFrom } from "pg-copy-streams";

import { statement, type Copying, type Database, type Queryable } from "./database.ts";
import { pauseGc } from "./gc-pauses.ts";
import { migrateRest, migrateTo } from "./migrate.ts";
import { momentary, quoted, type SnapshotSequence, type SnapshotTable } from "./snapshot-read.ts";

export interface SnapshotToWrite {
  readonly migrations: readonly string[];
  /** Those that others refer to come first. */
  readonly tables: readonly SnapshotTable[];
  readonly sequences: readonly SnapshotSequence[];
  /** Why the collector may delete nothing yet. */
  readonly pause: string;
}

const lock = statement("restore-lock", "SELECT pg_advisory_xact_lock(hashtext('wharfinger-migrations'))");
const form = "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL intervalstyle = 'postgres'";
const tables = statement("restore-tables", "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1");
const functions = statement(
  "restore-functions",
  `SELECT p.oid::regprocedure::text AS name FROM pg_proc p
   WHERE p.pronamespace = current_schema()::regnamespace
     AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')`,
);
const freeSequences = statement(
  "restore-sequences",
  "SELECT sequencename::text AS name FROM pg_sequences WHERE schemaname = current_schema() ORDER BY 1",
);
const setSequence = statement("restore-set-sequence", "SELECT setval($1::text::regclass, $2::bigint)");

/** What a start writes by itself: rows there do not make a database one that holds something. */
const written = new Set([...momentary, "installation", "gc_settings", "gc_pauses"]);

export interface SnapshotWriter {
  /** Rows that were taken. */
  load(table: SnapshotTable, pieces: AsyncIterable<Uint8Array>): Promise<number>;
}

/** Rejects, and changes nothing, when the database holds something, this program does not know the schema, or `work` rejects. */
export function writeSnapshot(
  database: Database,
  snapshot: SnapshotToWrite,
  work: (writer: SnapshotWriter) => Promise<void>,
): Promise<void> {
  return database.copying(async (transaction) => {
    await transaction.query(lock);
    await transaction.query({ name: "", text: form });
    await refuseContent(transaction);
    await removeSchema(transaction);
    await migrateTo(transaction, snapshot.migrations);
    // The rows are as the triggers left them; foreign keys are not triggers of ours, and stay.
    for (const { name } of snapshot.tables) await transaction.query({ name: "", text: `ALTER TABLE ${quoted(name)} DISABLE TRIGGER USER` });
    for (const { name } of snapshot.tables.toReversed()) await transaction.query({ name: "", text: `DELETE FROM ${quoted(name)}` });
    await work({ load: (table, pieces) => load(transaction, table, pieces) });
    for (const { name } of snapshot.tables) await transaction.query({ name: "", text: `ALTER TABLE ${quoted(name)} ENABLE TRIGGER USER` });
    for (const { name, value } of snapshot.sequences) await transaction.query(setSequence, [quoted(name), value]);
    await migrateRest(transaction);
    await pauseGc(transaction, "database-behind", snapshot.pause);
  });
}

async function load(transaction: Copying, { name, columns }: SnapshotTable, pieces: AsyncIterable<Uint8Array>): Promise<number> {
  const stream = transaction.stream(copyFrom(`COPY ${quoted(name)} (${columns.map(quoted).join(", ")}) FROM STDIN`));
  await pipeline(pieces, stream);
  return stream.rowCount;
}

async function refuseContent(transaction: Queryable): Promise<void> {
  const found = (await transaction.query<{ name: string }>(tables)).map(({ name }) => name);
  if (found.length > 0 && !found.includes("migrations"))
    throw new Error(
      `The database is not empty: it has tables that are not Wharfinger's (${found.slice(0, 5).join(", ")}). Make an empty one.`,
    );
  for (const name of found) {
    if (written.has(name)) continue;
    const [row] = await transaction.query({ name: "", text: `SELECT FROM ${quoted(name)} LIMIT 1` });
    if (row !== undefined)
      throw new Error(
        `The database is not empty: ${name} has rows. A snapshot is restored into an empty database only; make one, and keep this one until you are sure.`,
      );
  }
}

/** An empty schema of this or another age: it is made anew as it was when the snapshot was taken. */
async function removeSchema(transaction: Queryable): Promise<void> {
  const names = async (which: typeof tables) => (await transaction.query<{ name: string }>(which)).map(({ name }) => name);
  const drop = async (kind: string, name: string) => transaction.query({ name: "", text: `DROP ${kind} IF EXISTS ${name} CASCADE` });
  for (const name of await names(tables)) await drop("TABLE", quoted(name));
  for (const name of await names(functions)) await drop("ROUTINE", name);
  for (const name of await names(freeSequences)) await drop("SEQUENCE", quoted(name));
}
