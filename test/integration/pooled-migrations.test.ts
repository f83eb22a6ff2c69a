// Migrations through a pooler that gives each transaction another session.

import { copyFile, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { afterEach, beforeEach, expect, test } from "vitest";

import { Database } from "../../src/registry/metadata/database.ts";
import { migrate } from "../../src/registry/metadata/migrate.ts";
import { startPooler, type Pooler } from "../support/pgbouncer.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";

const ours = new URL("../../src/registry/metadata/migrations/", import.meta.url);

let created: TestDatabase;
let direct: Database;
let pooler: Pooler;
let folder: URL;
const open: Database[] = [];
beforeEach(async () => {
  created = await createDatabase();
  direct = new Database({ url: created.url, connections: 2 });
  // One session holds the lock, and the others are shared by all who migrate.
  pooler = await startPooler(created.url, { sessions: 3 });
  folder = pathToFileURL(`${await mkdtemp(join(tmpdir(), "wharfinger-migrations-"))}/`);
  for (const file of await readdir(ours)) await copyFile(new URL(file, ours), new URL(file, folder));
});
afterEach(async () => {
  await close();
  await direct.close();
  await pooler.stop();
  await created.drop();
  await rm(folder, { recursive: true, force: true });
});

async function close(): Promise<void> {
  for (const database of open.splice(0)) await database.close();
}

function pooled(): Database {
  const database = new Database({ url: pooler.url, connections: 2, preparedStatements: false });
  open.push(database);
  return database;
}

const write = (name: string, text: string) => writeFile(new URL(name, folder), text);
const rows = <Row>(text: string) => direct.query<Row>({ name: "", text });

test("an index is built concurrently once, by one of several processes, and no lock of it stays in the pooler's sessions", async () => {
  await write("9001-numbers.sql", "CREATE TABLE numbers AS SELECT generate_series(1, 1000) AS n");
  await write("9002-index.sql", "-- concurrently\nCREATE INDEX CONCURRENTLY numbers_n ON numbers (n)");
  await write("9003-another.sql", "-- concurrently\nCREATE INDEX CONCURRENTLY numbers_m ON numbers ((n + 1))");
  const runs = await Promise.all([pooled(), pooled(), pooled()].map((database) => migrate(database, { folder })));
  expect(runs.flat()).toEqual([...new Set(runs.flat())]);
  expect(runs.flat()).toEqual(expect.arrayContaining(["9001-numbers.sql", "9002-index.sql", "9003-another.sql"]));
  expect(
    await rows("SELECT relname, indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relname LIKE 'numbers%' ORDER BY 1"),
  ).toEqual([
    { relname: "numbers_m", indisvalid: true },
    { relname: "numbers_n", indisvalid: true },
  ]);
  expect(await rows("SELECT mode FROM pg_locks WHERE locktype = 'advisory'")).toEqual([]);

  // Nor does another process wait for one.
  await write("9004-column.sql", "ALTER TABLE numbers ADD COLUMN m integer");
  expect(await migrate(direct, { folder, patience: 5_000 })).toEqual(["9004-column.sql"]);
});

test("an index that takes longer than the role's statements may says what to do, and a start with the server's own address builds it", async () => {
  const slow = (seconds: number) =>
    `CREATE OR REPLACE FUNCTION slow(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_sleep(${seconds}); RETURN n; END $$`;
  await write("9001-numbers.sql", `CREATE TABLE numbers AS SELECT 1 AS n; ${slow(600)}`);
  await migrate(pooled(), { folder });
  await write("9002-index.sql", "-- concurrently\nCREATE INDEX CONCURRENTLY numbers_n ON numbers (slow(n))");
  await direct.execute({ name: "", text: `ALTER DATABASE ${new URL(created.url).pathname.slice(1)} SET statement_timeout = '2s'` });
  // The sessions that there are do not know of it.
  await close();
  await pooler.stop();
  pooler = await startPooler(created.url, { sessions: 3 });
  await expect(migrate(pooled(), { folder })).rejects.toThrow(
    /index of 9002-index\.sql takes longer.*statement_timeout.*server's own address/,
  );
  await direct.execute({ name: "", text: slow(3) });
  const own = new Database({ url: created.url, connections: 2 });
  open.push(own);
  expect(await migrate(own, { folder })).toEqual(["9002-index.sql"]);
  expect(await rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'numbers_n'::regclass")).toEqual([{ indisvalid: true }]);
});

test("a lock that somebody holds is waited for, and a build that was interrupted is done again", async () => {
  await write("9001-numbers.sql", "CREATE TABLE numbers AS SELECT generate_series(1, 1000) AS n");
  await migrate(pooled(), { folder });
  await write("9002-index.sql", "-- concurrently\nCREATE INDEX CONCURRENTLY numbers_n ON numbers (n)");
  await direct.execute({ name: "", text: "CREATE INDEX numbers_n ON numbers (n)" });
  await direct.execute({ name: "", text: "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'numbers_n'::regclass" });
  const waits: string[] = [];
  const running = await direct.transaction(async (transaction) => {
    await transaction.query({ name: "", text: "SELECT pg_advisory_xact_lock(hashtext('wharfinger-migrations'))" });
    const { promise, resolve } = Promise.withResolvers<void>();
    const migrating = migrate(pooled(), {
      folder,
      onWait: (why) => {
        waits.push(why);
        resolve();
      },
    });
    await promise;
    return { migrating };
  });
  expect(await running.migrating).toEqual(["9002-index.sql"]);
  expect(waits.length).toBeGreaterThan(0);
  expect(await rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'numbers_n'::regclass")).toEqual([{ indisvalid: true }]);
});
