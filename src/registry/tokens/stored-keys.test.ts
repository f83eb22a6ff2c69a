// Keys that processes share through a real database: how they come, go, and are one.

import { generateKeyPairSync } from "node:crypto";

import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

import { eventually } from "../../../test/support/eventually.ts";
import { createMigratedDatabase, type TestDatabase } from "../../../test/support/postgres.ts";
import { createLogger } from "../../observability/logger.ts";
import { Database, type Queryable } from "../metadata/database.ts";
import { keyTimes, StoredKeys } from "./stored-keys.ts";

let created: TestDatabase;
let database: Database;
beforeAll(async () => {
  created = await createMigratedDatabase();
  database = new Database({ url: created.url, connections: 4 });
});
afterAll(async () => {
  await database.close();
  await created.drop();
});
beforeEach(async () => run("DELETE FROM token_keys"));

const logger = createLogger({ level: "silent" });
const run = (text: string) => database.execute({ name: "", text });
const ids = async () =>
  (await database.query<{ id: string }>({ name: "", text: "SELECT id FROM token_keys ORDER BY generation" })).map(({ id }) => id);
/** As if everything had happened so much earlier. */
const pass = (minutes: number) => run(`UPDATE token_keys SET created_at = created_at - interval '${minutes} minutes'`);
const open = (part: Partial<typeof keyTimes> = {}, readOnly = false) =>
  StoredKeys.open({ database, readOnly, logger, times: { ...keyTimes, ...part } });

test("many that start at once make one key, and those that come later use it", async () => {
  const all = await Promise.all(Array.from({ length: 8 }, () => open()));
  const [only, ...more] = await ids();
  expect(more).toEqual([]);
  const late = await open();
  for (const keys of [...all, late]) {
    expect(keys.current()?.id).toBe(only);
    await keys.stop();
  }
});

test("after a day there is another one; it is known for ten minutes before it signs, and the one before for an hour", async () => {
  const first = await open();
  const [one] = await ids();
  await pass(24 * 60 - 1);
  const young = await open({ ask: 0 });
  expect(await ids()).toEqual([one]);
  await pass(1);
  const second = await open();
  const [, two = ""] = await ids();
  expect([second.current()?.id, second.known(two)?.id]).toEqual([one, two]);
  // A process that has not looked since finds it when it is shown one of its tokens.
  expect((await young.find(two))?.id).toBe(two);
  await pass(10);
  const third = await open();
  expect([third.current()?.id, third.known(one ?? "")?.id]).toEqual([two, one]);
  await pass(60);
  // Nothing is dropped before there is need to look for what to drop: with the next key.
  expect(await ids()).toEqual([one, two]);
  await pass(24 * 60);
  const fourth = await open();
  expect(await ids()).toEqual([two, expect.any(String)]);
  expect(fourth.current()?.id).toBe(two);
  for (const keys of [first, young, second, third, fourth]) await keys.stop();
});

test("a process that runs makes and learns the next key by itself", async () => {
  const [keys, other] = [await open({ look: 20 }), await open({ look: 20 })];
  await pass(24 * 60);
  await eventually(async () => expect(await ids()).toHaveLength(2));
  const [, two = ""] = await ids();
  await eventually(() => expect([keys.known(two)?.id, other.known(two)?.id]).toEqual([two, two]));
  await pass(10);
  await eventually(() => expect([keys.current()?.id, other.current()?.id]).toEqual([two, two]));
  expect(await ids()).toHaveLength(2);
  await keys.stop();
  await other.stop();
});

test("whoever makes up key ids makes nobody ask the database each time", async () => {
  let asked = 0;
  const counted: Queryable = {
    query: (...question) => {
      asked++;
      return database.query(...question);
    },
    execute: (...question) => database.execute(...question),
  };
  const keys = await StoredKeys.open({ database: counted, readOnly: false, logger, times: { ...keyTimes, ask: 3_600_000 } });
  const before = asked;
  for (let guess = 0; guess < 200; guess++) expect(await keys.find(`guess ${guess}`)).toBeUndefined();
  expect([asked - before, keys.current() === undefined]).toEqual([0, false]);
  await keys.stop();
});

test.each<[string, string, (key: string) => string]>([
  ["no JSON", "x", () => "not a key"],
  ["nothing", "x", () => ""],
  [
    "another kind of key",
    "x",
    () => JSON.stringify(generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey.export({ format: "jwk" })),
  ],
  ["a public key alone", "x", () => JSON.stringify(generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }))],
  ["a key under another id", "x", () => JSON.stringify(generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" }))],
  ["the key that signs, under another id", "x", (key) => key],
])("a row with %s stops no start and no rotation, and counts for nothing", async (_, id, make) => {
  const lines: string[] = [];
  const telling = pino({ level: "error" }, { write: (line: string) => void lines.push(line) });
  const start = (times: Partial<typeof keyTimes> = {}) =>
    StoredKeys.open({ database, readOnly: false, logger: telling, times: { ...keyTimes, ...times } });
  const before = await open();
  const [one = ""] = await ids();
  const [{ key }] = (await database.query<{ key: string }>({ name: "", text: "SELECT key FROM token_keys" })) as [{ key: string }];
  await database.execute({ name: "", text: "INSERT INTO token_keys (generation, id, key) VALUES (7, $1, $2)" }, [id, make(key)]);
  const beside = await start();
  expect([beside.current()?.id, await beside.find(id), await ids()]).toEqual([one, undefined, [one, id]]);
  expect(lines.join("")).toContain(`"key":"${id}"`);
  expect(lines.join("")).not.toContain('"d\\":');
  // It neither keeps the next key from being made, nor takes the one before away with its age.
  await pass(24 * 60);
  const rotated = await start();
  const [, , two = ""] = await ids();
  expect([rotated.current()?.id, rotated.known(two)?.id, await ids()]).toEqual([one, two, [one, id, two]]);
  // Alone it is as if there were none.
  await run(`DELETE FROM token_keys WHERE id <> '${id}'`);
  const alone = await start();
  expect([alone.current() === undefined, (await ids()).length]).toEqual([false, 2]);
  for (const keys of [before, beside, rotated, alone]) await keys.stop();
});

test("read-only writes nothing: what is there is used, else a key of its own", async () => {
  const own = await open({}, true);
  expect(own.current()).toBeDefined();
  expect(await ids()).toEqual([]);
  const writer = await open();
  await pass(24 * 60);
  const reader = await open({}, true);
  expect([reader.current()?.id, await ids()]).toEqual([writer.current()?.id, [writer.current()?.id]]);
  for (const keys of [own, writer, reader]) await keys.stop();
});
