// Everything that a snapshot of the metadata holds, in one moment: REPEATABLE READ and COPY (storage.md, "Backup"). Which tables and columns there
// are is asked from the database, so that a program can also write down a schema that it is about to migrate.

import { to as copyTo } from "pg-copy-streams";

import { statement, type Copying, type Database } from "./database.ts";

export interface SnapshotTable {
  readonly name: string;
  readonly columns: readonly string[];
}

export interface SnapshotSequence {
  readonly name: string;
  /** The last number that was given. */
  readonly value: string;
}

export interface SnapshotSource {
  readonly installation: string;
  /** The database's clock, RFC 3339. */
  readonly takenAt: string;
  /** Names of the migrations that the schema has seen, in order. */
  readonly migrations: readonly string[];
  /** Those that others refer to come first. */
  readonly tables: readonly SnapshotTable[];
  /** COPY's text form. `rows` of it counts once it is read to its end. */
  read(table: SnapshotTable): { readonly pieces: AsyncIterable<Uint8Array>; readonly rows: () => number };
  /** To be asked after the tables: they do not go back, so these are at least as high as any number in a row. */
  sequences(): Promise<readonly SnapshotSequence[]>;
}

/**
 * Tables that no snapshot holds, of one server or of one hour: who is running, who has the turn, what views have yet to hear, which COMMITs somebody
 * may still ask about; and what tokens are signed with, since who reads the store need not be who may sign.
 */
export const momentary = new Set(["migrations", "changes", "commits", "pods", "turns", "token_keys"]);

const form =
  "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL intervalstyle = 'postgres'; SET LOCAL bytea_output = 'hex'";
const now = statement("snapshot-now", "SELECT to_json(now())#>>'{}' AS now, id FROM installation");
const seen = statement("snapshot-migrations", "SELECT name FROM migrations ORDER BY number");
const tables = statement(
  "snapshot-tables",
  `SELECT c.relname::text AS name,
     ARRAY(SELECT a.attname::text FROM pg_attribute a
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum) AS columns,
     ARRAY(SELECT DISTINCT f.confrelid::regclass::text FROM pg_constraint f
           WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid <> c.oid) AS parents
   FROM pg_class c
   WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
   ORDER BY c.relname`,
);
const sequences = statement(
  "snapshot-sequences",
  `SELECT sequencename::text AS name, last_value::text AS value FROM pg_sequences
   WHERE schemaname = current_schema() AND last_value IS NOT NULL ORDER BY 1`,
);

/**
 * Runs `work` in the one transaction. It takes as long as the store needs, which is the exception to "no network call inside a transaction": it
 * locks no row, writes nothing, and ends with the store's timeouts.
 */
export function readSnapshot<T>(database: Database, work: (source: SnapshotSource) => Promise<T>): Promise<T> {
  return database.copying(
    async (transaction) => {
      await transaction.query({ name: "", text: form });
      const [moment] = await transaction.query<{ now: string; id: string }>(now);
      const found = await transaction.query<SnapshotTable & { parents: readonly string[] }>(tables);
      return work({
        installation: moment!.id,
        takenAt: moment!.now,
        migrations: (await transaction.query<{ name: string }>(seen)).map(({ name }) => name),
        tables: parentsFirst(found.filter(({ name }) => !momentary.has(name))),
        read: (table) => readTable(transaction, table),
        sequences: () => transaction.query<SnapshotSequence>(sequences),
      });
    },
    { repeatable: true },
  );
}

function readTable(transaction: Copying, { name, columns }: SnapshotTable): ReturnType<SnapshotSource["read"]> {
  const stream = transaction.stream(copyTo(`COPY ${quoted(name)} (${columns.map(quoted).join(", ")}) TO STDOUT`));
  return { pieces: stream as AsyncIterable<Buffer>, rows: () => stream.rowCount };
}

function parentsFirst(found: readonly (SnapshotTable & { readonly parents: readonly string[] })[]): SnapshotTable[] {
  const sorted: SnapshotTable[] = [];
  let left = [...found];
  while (left.length > 0) {
    const waits = new Set(left.map(({ name }) => name));
    const next = left.filter(({ parents }) => !parents.some((parent) => waits.has(parent)));
    if (next.length === 0) throw new Error(`These tables refer to each other in a circle: ${[...waits].join(", ")}.`);
    for (const { name, columns } of next) sorted.push({ name, columns });
    left = left.filter((table) => !next.includes(table));
  }
  return sorted;
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
