import { afterAll, beforeAll, expect, test } from "vitest";

import { createDatabase, type TestDatabase } from "../../../test/support/postgres.ts";
import { Database, statement } from "./database.ts";
import { migrate } from "./migrate.ts";

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

test("a database of a newer version is refused", async () => {
  const database = connect();
  await database.execute(statement("test-newer", "INSERT INTO migrations (number, name) VALUES (9999, '9999-future.sql')"));
  await expect(migrate(database)).rejects.toThrow(/newer Wharfinger.*9999-future/);
});
