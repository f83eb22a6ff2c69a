import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { eventually } from "../../../test/support/eventually.ts";
import { createDatabase, type TestDatabase } from "../../../test/support/postgres.ts";
import { Database, statement } from "./database.ts";
import { migrate, requireSchema } from "./migrate.ts";

let fresh: TestDatabase;
const open: Database[] = [];
const connect = () => {
  const database = new Database({ url: fresh.url, connections: 2 });
  open.push(database);
  return database;
};

beforeAll(async () => {
  fresh = await createDatabase();
});
afterAll(async () => {
  for (const database of open) await database.close();
  await fresh.drop();
});

test("four processes that start together run each migration once", async () => {
  const runs = await Promise.all([connect(), connect(), connect(), connect()].map((database) => migrate(database)));
  expect(runs.flat()).toEqual([...new Set(runs.flat())]);
  expect(runs.flat().length).toBeGreaterThan(0);
  expect(await migrate(connect())).toEqual([]);
});

test.each([
  ["proposals_repository", "SELECT FROM proposals WHERE repository = 'a/b' ORDER BY id"],
  ["proposals_run", "SELECT FROM proposals WHERE run = gen_random_uuid()"],
  ["tag_events_digest", "SELECT FROM tag_events WHERE repository = 1 AND digest = 'sha256:a'"],
  ["tag_events_age", "SELECT FROM tag_events WHERE at < now() - interval '90 days' AND (at, id) > ('-infinity', 0) ORDER BY at, id"],
  ["tag_events_previous", "SELECT FROM tag_events WHERE repository = 1 AND previous = 'sha256:a'"],
])("%s answers what would read the whole table", async (index, question) => {
  const plan = await connect().transaction(async (transaction) => {
    await transaction.query(statement("", "SET LOCAL enable_seqscan = off"));
    return transaction.query(statement("", `EXPLAIN ${question}`));
  });
  expect(JSON.stringify(plan)).toContain(index);
});

describe("files of a test", () => {
  let folder: URL;
  let files: Record<string, string>;
  const names = () => Object.keys(files);
  beforeEach(async () => {
    folder = pathToFileURL(`${await mkdtemp(join(tmpdir(), "wharfinger-migrations-"))}/`);
    // What has run before must be there.
    files = {};
    for (const file of await readdir(new URL("./migrations/", import.meta.url))) {
      await copyFile(new URL(`./migrations/${file}`, import.meta.url), new URL(file, folder));
    }
  });
  afterEach(async () => {
    const database = connect();
    for (const name of names()) await database.execute({ name: "", text: "DELETE FROM migrations WHERE name = $1" }, [name]);
    await rm(folder, { recursive: true, force: true });
  });
  async function write(more: Record<string, string>): Promise<void> {
    files = { ...files, ...more };
    for (const [name, text] of Object.entries(more)) await writeFile(new URL(name, folder), text);
  }

  test("that begin with `-- concurrently` run outside a transaction, beside writers, by one of several processes", async () => {
    await write({
      "9001-numbers.sql": "CREATE TABLE numbers AS SELECT generate_series(1, 100) AS n",
      "9002-index.sql": "-- concurrently\nCREATE INDEX CONCURRENTLY numbers_n ON numbers (n)",
      "9003-after.sql": "ALTER TABLE numbers ADD COLUMN m integer",
    });
    const runs = await Promise.all([connect(), connect(), connect()].map((database) => migrate(database, { folder })));
    expect(runs.flat().sort()).toEqual(names());
    const database = connect();
    expect(await valid(database, "numbers_n")).toEqual([{ indisvalid: true }]);

    // What an interrupted build leaves is removed and built again.
    await database.execute({ name: "", text: "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'numbers_n'::regclass" });
    await database.execute({ name: "", text: "DELETE FROM migrations WHERE number = 9002" });
    expect(await migrate(database, { folder })).toEqual(["9002-index.sql"]);
    expect(await valid(database, "numbers_n")).toEqual([{ indisvalid: true }]);
    await database.execute({ name: "", text: "DROP TABLE numbers" });
  });

  test("that need a lock which somebody holds give up shortly, let traffic through, and come again", async () => {
    await write({ "9001-column.sql": "ALTER TABLE trash ADD COLUMN test_column integer" });
    const holder = connect();
    const waits: string[] = [];
    let migrating: Promise<readonly string[]> | undefined;
    await holder.transaction(async (transaction) => {
      await transaction.query({ name: "", text: "LOCK TABLE trash IN ACCESS SHARE MODE" });
      migrating = migrate(connect(), { folder, onWait: (why) => waits.push(why) });
      await eventually(() => expect(waits.length).toBeGreaterThan(1));
      // Who came after the migration that waited is not stuck behind it.
      await connect().query({ name: "", text: "SELECT FROM trash" });
    });
    expect(await migrating).toEqual(["9001-column.sql"]);
    await expect(
      holder.transaction(async (transaction) => {
        await transaction.query({ name: "", text: "LOCK TABLE trash IN ACCESS SHARE MODE" });
        await write({ "9002-column.sql": "ALTER TABLE trash DROP COLUMN test_column" });
        return migrate(connect(), { folder, patience: 0 });
      }),
    ).rejects.toThrow(/other sessions hold its tables/);
    await migrate(connect(), { folder });
  });

  test("that are done have let go of what they locked while a later one waits", async () => {
    await write({
      "9001-column.sql": "ALTER TABLE objects ADD COLUMN test_column integer",
      "9002-column.sql": "ALTER TABLE trash ADD COLUMN test_column integer",
    });
    const holder = connect();
    let migrating: Promise<readonly string[]> | undefined;
    await holder.transaction(async (transaction) => {
      await transaction.query({ name: "", text: "LOCK TABLE trash IN ACCESS SHARE MODE" });
      const waits: string[] = [];
      migrating = migrate(connect(), { folder, onWait: (why) => waits.push(why) });
      await eventually(() => expect(waits.length).toBeGreaterThan(0));
      await connect().execute({
        name: "",
        text: "INSERT INTO objects (key, state, test_column) VALUES (gen_random_uuid(), 'uploading', 1)",
      });
    });
    expect(await migrating).toEqual(names());
    await connect().execute({ name: "", text: "ALTER TABLE objects DROP COLUMN test_column" });
    await connect().execute({ name: "", text: "ALTER TABLE trash DROP COLUMN test_column" });
  });
});

const valid = (database: Database, index: string) =>
  database.query({ name: "", text: "SELECT indisvalid FROM pg_index WHERE indexrelid = $1::regclass" }, [index]);

test("a file says which programs may start beside it: the version before can come back", async () => {
  const files = await readdir(new URL("./migrations/", import.meta.url));
  for (const file of files.filter((name) => name > "0027")) {
    const text = await readFile(new URL(`./migrations/${file}`, import.meta.url), "utf8");
    const [, beside = ""] = /^-- beside (\d{4})$/m.exec(text) ?? [];
    expect(
      files.some((name) => name.startsWith(`${beside}-`) && name < file),
      `${file}: a line like \`-- beside 0026\``,
    ).toBe(true);
  }
});

test("a program of the version before starts on a newer schema that says it may, and not on one of the version after that", async () => {
  const database = connect();
  const newest = Math.max(
    ...(await database.query<{ number: number }>({ name: "", text: "SELECT number FROM migrations" })).map(({ number }) => number),
  );
  const add = (number: number, beside: number | null) =>
    database.execute({ name: "", text: "INSERT INTO migrations (number, name, beside) VALUES ($1, $2, $3)" }, [
      number,
      `${number}-future.sql`,
      beside,
    ]);
  await add(9001, newest);
  await add(9002, newest - 1);
  expect(await migrate(database)).toEqual([]);
  expect(await requireSchema(database)).toEqual([]);
  await add(9003, 9001);
  await expect(migrate(database)).rejects.toThrow(/newer Wharfinger \(it has 9003-future\.sql\)/);
  await database.execute({ name: "", text: "DELETE FROM migrations WHERE number > 9000" });
});

test("a schema of before the rule gets its column, and is refused where it has what nobody knows", async () => {
  const database = connect();
  await database.execute({ name: "", text: "ALTER TABLE migrations DROP COLUMN beside" });
  const [last] = await database.query<{ number: number }>({
    name: "",
    text: "DELETE FROM migrations WHERE number = 26 RETURNING number",
  });
  expect(last).toBeDefined();
  await database.execute({ name: "", text: "ALTER TABLE sync_outcomes DROP COLUMN anchors" });
  expect(await migrate(database)).toEqual(["0026-outcome-anchors.sql"]);
  expect(await migrate(connect())).toEqual([]);
});

test("a database of a newer version is refused", async () => {
  const database = connect();
  await database.execute(statement("test-newer", "INSERT INTO migrations (number, name) VALUES (9999, '9999-future.sql')"));
  await expect(migrate(database)).rejects.toThrow(/newer Wharfinger.*9999-future/);
});
