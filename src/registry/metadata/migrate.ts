// Numbered SQL files, each run once, in order, under an advisory lock: any number of processes may start at the same moment, beside others that serve.
// Each is a transaction of its own: what a file locks is free again when that file is done, whatever the next ones have to look at.
// A file that begins with `-- concurrently` holds a single statement that Postgres refuses in a transaction: CREATE INDEX CONCURRENTLY.
// A line `-- beside 0026` says which programs may start on a schema that has it: those that know 0026, or more. So the version before can come back,
// after a crash in the middle of an upgrade or by a rollback.

import { readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { Obstacle } from "../../domain/obstacle.ts";
import { codeOf, statement, type Database, type Queryable } from "./database.ts";
import { reasonOf } from "./unavailable.ts";

const folder = new URL("./migrations/", import.meta.url);

// Tried, never waited for: a transaction that waits has a snapshot, and an index that is built concurrently waits for all of those.
const lock = statement("migrate-lock", "SELECT pg_try_advisory_xact_lock(hashtext('wharfinger-migrations')) AS ours");
const readCommitted = statement("", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
const idly = statement("", "SET LOCAL idle_in_transaction_session_timeout = 0");
/** Everybody who comes later waits behind a lock that is waited for. */
const shortly = statement("migrate-patience", "SET LOCAL lock_timeout = '1s'");
const there = statement("migrate-there", "SELECT to_regclass('migrations') IS NOT NULL AS there");
const table = statement(
  "migrate-table",
  "CREATE TABLE IF NOT EXISTS migrations (number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(), beside integer)",
);
// Asked before: adding it keeps everybody from reading the table until the transaction ends.
const besideMissing = statement(
  "migrate-beside-missing",
  `SELECT WHERE NOT EXISTS
     (SELECT FROM pg_attribute WHERE attrelid = 'migrations'::regclass AND attname = 'beside' AND NOT attisdropped)`,
);
const addBeside = statement("migrate-beside-add", "ALTER TABLE migrations ADD COLUMN beside integer");
// By way of JSON, because a schema of before has no such column.
const applied = statement(
  "migrate-applied",
  "SELECT number, name, (to_jsonb(migrations) ->> 'beside')::integer AS beside FROM migrations ORDER BY number",
);
const note = statement("migrate-note", "INSERT INTO migrations (number, name, beside) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
// What a concurrent build leaves behind when it is interrupted: it is never used, and costs every write.
const halfBuilt = statement(
  "migrate-half-built",
  `SELECT i.indexrelid::regclass::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
   WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace`,
);

interface Migration {
  readonly number: number;
  readonly name: string;
  readonly text: string;
}

/** As the database has noted it. */
interface Applied {
  readonly number: number;
  readonly name: string;
  /** Who knows the migration of this number may run on it. Null: only who knows it itself. */
  readonly beside: number | null;
}

export interface MigrateOptions {
  /** Where the numbered files lie. */
  readonly folder?: URL;
  /** Somebody else holds what is needed; it is tried again. */
  readonly onWait?: (why: string) => void;
  /** Milliseconds after which waiting is given up. */
  readonly patience?: number;
}

/** Milliseconds between two tries: traffic that had to wait behind us gets through. The same for all would meet again. */
const pause = () => 200 + Math.random() * 800;
const defaultPatience = 600_000;
const queryCanceled = "57014";

/**
 * Brings the schema up to date. Rejects when the database is newer than this program may run beside, or when others hold its tables for longer than patience.
 * Returns the names that were run.
 */
export async function migrate(database: Database, options: MigrateOptions = {}): Promise<readonly string[]> {
  const known = await migrations(options.folder ?? folder);
  const ran: string[] = [];
  const deadline = performance.now() + (options.patience ?? defaultPatience);
  while ((await missingOf(database, known)).length > 0) {
    const step = await next(database, known);
    if (step !== "wait") {
      ran.push(...step);
      continue;
    }
    if (performance.now() > deadline) {
      throw new Obstacle(
        "DatabaseUnavailable",
        "The database's schema cannot be brought up to date: other sessions hold its tables. End them, or start again later.",
      );
    }
    options.onWait?.("others hold what the next migration needs; it is tried again");
    await sleep(pause());
  }
  return ran;
}

/** For a process that writes nothing: rejects unless the schema is this program's already. Returns no names. */
export async function requireSchema(database: Database): Promise<readonly string[]> {
  const known = await migrations(folder);
  const missing = await missingOf(database, known);
  if (missing.length === 0) return [];
  throw new Obstacle(
    "DatabaseOlder",
    missing.length === known.length
      ? "The database is empty: start once without --read-only, which makes the schema."
      : `The database is older than this Wharfinger (it lacks ${missing.map(({ name }) => name).join(", ")}): start once without --read-only, which brings it up to date, or start the older version.`,
  );
}

/** Migrations that this database has seen, and those that it has not: before `migrate`, for who wants to write down what there is. */
export async function pendingMigrations(
  database: Queryable,
): Promise<{ readonly done: readonly string[]; readonly missing: readonly string[] }> {
  const known = await migrations(folder);
  const missing = (await missingOf(database, known)).map(({ name }) => name);
  return { done: known.map(({ name }) => name).filter((name) => !missing.includes(name)), missing };
}

/** Those of `names` that this program does not know: a newer one made them. */
export async function unknownMigrations(names: readonly string[]): Promise<readonly string[]> {
  const known = new Set((await migrations(folder)).map(({ name }) => name));
  return names.filter((name) => !known.has(name));
}

/** Brings an empty schema to where one was that had seen exactly these, in one transaction. Rejects when this program does not know them all. */
export async function migrateTo(transaction: Queryable, names: readonly string[]): Promise<void> {
  const known = await migrations(folder);
  const wanted = names.map((name) => known.find((migration) => migration.name === name) ?? { number: Infinity, name, text: "" });
  refuseNewer(
    known,
    wanted.map((migration) => ({ ...migration, beside: null })),
  );
  await transaction.query(table);
  await runAll(transaction, wanted);
}

/** What `migrateTo` left out, on a database that nobody else uses. */
export async function migrateRest(transaction: Queryable): Promise<void> {
  await runAll(transaction, await missingOf(transaction, await migrations(folder)));
}

/** Without others there is nobody whom an index could keep waiting. */
async function runAll(transaction: Queryable, wanted: readonly Migration[]): Promise<void> {
  for (const migration of wanted) {
    const { number, name, text } = migration;
    await transaction.query({ name: "", text: isConcurrent(migration) ? text.replaceAll(/\bCONCURRENTLY\b/gi, "") : text });
    await transaction.query(note, [number, name, besideOf(text)]);
  }
}

async function migrations(folder: URL): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((file) => /^\d{4}-[a-z0-9-]+\.sql$/.test(file)).sort();
  return Promise.all(
    files.map(async (name) => ({ number: Number(name.slice(0, 4)), name, text: await readFile(new URL(name, folder), "utf8") })),
  );
}

/** The schema has what this program does not know. */
export class NewerSchemaError extends Obstacle {
  constructor(message: string) {
    super("DatabaseNewer", message);
  }
}

/** Throws NewerSchemaError. */
async function missingOf(database: Queryable, known: readonly Migration[]): Promise<Migration[]> {
  const [row] = await database.query<{ there: boolean }>(there);
  const done = row?.there === true ? await database.query<Applied>(applied) : [];
  refuseNewer(known, done);
  return known.filter(({ number }) => !done.some((row) => row.number === number));
}

function refuseNewer(known: readonly Migration[], done: readonly Applied[]): void {
  const newest = Math.max(...known.map(({ number }) => number));
  const unknown = done.filter(
    ({ number, beside }) => !known.some((migration) => migration.number === number) && (beside ?? Infinity) > newest,
  );
  if (unknown.length === 0) return;
  throw new NewerSchemaError(
    `The database was made by a newer Wharfinger (it has ${unknown.map(({ name }) => name).join(", ")}). Start that version or a newer one; this one would not understand what is stored.`,
  );
}

/** Runs the next one. Resolves with its name, or nothing when somebody else was first. */
async function next(database: Database, known: readonly Migration[]): Promise<string[] | "wait"> {
  try {
    const outcome = await database.transaction((transaction) => runFirst(transaction, known), { unhurried: true, unmarked: true });
    return outcome === "wait" || Array.isArray(outcome) ? outcome : await alone(database, known, outcome);
  } catch (error) {
    if (reasonOf(error) === "LOCKED") return "wait";
    throw error;
  }
}

/** Resolves with the file itself when it cannot run in a transaction. */
async function runFirst(transaction: Queryable, known: readonly Migration[]): Promise<string[] | Migration | "wait"> {
  const [row] = await transaction.query<{ ours: boolean }>(lock);
  if (row?.ours !== true) return "wait";
  await transaction.query(shortly);
  await transaction.query(table);
  if ((await transaction.query(besideMissing)).length > 0) await transaction.query(addBeside);
  const [first] = await missingOf(transaction, known);
  if (first === undefined) return [];
  if (isConcurrent(first)) return first;
  // Without parameters and a name Postgres takes several statements in one text.
  await transaction.query({ name: "", text: first.text });
  await transaction.query(note, [first.number, first.name, besideOf(first.text)]);
  return [first.name];
}

function isConcurrent({ text }: Migration): boolean {
  return text.startsWith("-- concurrently\n");
}

function besideOf(text: string): number | null {
  const [, number] = /^-- beside (\d{4})$/m.exec(text) ?? [];
  return number === undefined ? null : Number(number);
}

/**
 * One that runs outside a transaction, while the lock is that of a transaction which does nothing else: a lock of the session would stay behind where
 * a pooler gives each statement another one.
 */
async function alone(database: Database, known: readonly Migration[], migration: Migration): Promise<string[] | "wait"> {
  const holder = database.dedicated();
  try {
    return await holder.transaction(
      async (transaction) => {
        await transaction.query(readCommitted);
        const [row] = await transaction.query<{ ours: boolean }>(lock);
        if (row?.ours !== true) return "wait";
        const missing = await missingOf(transaction, known);
        if (!missing.some(({ number }) => number === migration.number)) return [];
        // Last, and not prepared: what a prepared statement leaves open keeps its snapshot, for which the building of the index would wait.
        await transaction.query(idly);
        return database.session((session) => build(session, migration));
      },
      { unhurried: true, unmarked: true },
    );
  } finally {
    await holder.close();
  }
}

/** May be interrupted anywhere: what is half built is removed and built again. */
async function build(session: Queryable, { number, name, text }: Migration): Promise<string[]> {
  try {
    for (const index of await session.query<{ name: string }>(halfBuilt)) {
      await session.query({ name: "", text: `DROP INDEX CONCURRENTLY ${index.name}` });
    }
    await session.query({ name: "", text });
  } catch (error) {
    // Behind a pooler nothing can lift the limit that the role has.
    if (codeOf(error) !== queryCanceled) throw error;
    throw new Error(
      `The index of ${name} takes longer than the database lets a statement of this role take (statement_timeout), or somebody ended it. Behind a pooler that gives each transaction another session, start the first process of this version with the server's own address, or lift the limit until it has started; then start again.`,
      { cause: error },
    );
  }
  return (await session.execute(note, [number, name, besideOf(text)])) === 1 ? [name] : [];
}
