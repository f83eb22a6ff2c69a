// Numbered SQL files, each run once, in order, under an advisory lock: any number of processes may start at the same moment.

import { readdir, readFile } from "node:fs/promises";

import { statement, type Database, type Queryable } from "./database.ts";

const folder = new URL("./migrations/", import.meta.url);

const lock = statement("migrate-lock", "SELECT pg_advisory_xact_lock(hashtext('wharfinger-migrations'))");
const patience = statement("migrate-patience", "SET LOCAL lock_timeout = '5s'");
const table = statement(
  "migrate-table",
  "CREATE TABLE IF NOT EXISTS migrations (number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
);
const applied = statement("migrate-applied", "SELECT number, name FROM migrations ORDER BY number");
const note = statement("migrate-note", "INSERT INTO migrations (number, name) VALUES ($1, $2)");

interface Migration {
  readonly number: number;
  readonly name: string;
}

/** Brings the schema up to date. Rejects when the database is newer than this program. Returns the names that were run. */
export async function migrate(database: Database): Promise<readonly string[]> {
  const known = await migrations();
  return database.transaction(async (transaction) => {
    await transaction.query(lock);
    await transaction.query(patience);
    await transaction.query(table);
    const done = await transaction.query<Migration>(applied);
    refuseNewer(known, done);
    const missing = known.filter(({ number }) => !done.some((row) => row.number === number));
    for (const migration of missing) await run(transaction, migration);
    return missing.map(({ name }) => name);
  });
}

async function migrations(): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((file) => /^\d{4}-[a-z0-9-]+\.sql$/.test(file)).sort();
  return files.map((name) => ({ number: Number(name.slice(0, 4)), name }));
}

function refuseNewer(known: readonly Migration[], done: readonly Migration[]): void {
  const unknown = done.filter(({ number }) => !known.some((migration) => migration.number === number));
  if (unknown.length === 0) return;
  throw new Error(
    `The database was made by a newer Wharfinger (it has ${unknown.map(({ name }) => name).join(", ")}). Start that version or a newer one; this one would not understand what is stored.`,
  );
}

async function run(transaction: Queryable, { number, name }: Migration): Promise<void> {
  const text = await readFile(new URL(name, folder), "utf8");
  // Without parameters and a name Postgres takes several statements in one text.
  await transaction.query({ name: "", text });
  await transaction.query(note, [number, name]);
}
