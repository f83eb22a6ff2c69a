// Snapshots and what comes back from them, on a real PostgreSQL and both stores.

import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { openOwnRegistry, pushBlob, pushImage, type OwnRegistry } from "../../../../test/support/own-registry.ts";
import { createDatabase } from "../../../../test/support/postgres.ts";
import { BlobStoreError } from "../../blobs/blob-store.ts";
import type { NamedObjects } from "../../blobs/named-objects.ts";
import { Database } from "../../metadata/database.ts";
import { readGcPauses } from "../../metadata/gc-pauses.ts";
import { migrate, migrateTo, pendingMigrations } from "../../metadata/migrate.ts";
import { momentary } from "../../metadata/snapshot-read.ts";
import { Backup, backedUp, doomDelayBeside } from "./backup.ts";
import { restoreMetadata } from "./restore-metadata.ts";
import { manifestOf, readSnapshots, tableOf, writeManifest, type StoredSnapshot } from "./snapshot-manifest.ts";
import { pruneSnapshots, takeSnapshot } from "./snapshots.ts";
import { alwaysMine } from "./turn.ts";

let registry: OwnRegistry;
const dispose: (() => Promise<void>)[] = [];
const logger = pino({ level: "silent" });
const hour = 3_600_000;
const times = { interval: 24 * hour, keep: 7 };
beforeEach(async () => {
  registry = await openOwnRegistry();
});
afterEach(async () => {
  for (const step of dispose.splice(0).reverse()) await step();
  await registry.close();
});

const named = () => registry.store.named;
const take = () => takeSnapshot({ database: registry.database, named: named(), version: "0.0.0-test", reason: "command" });
const backupOf = (keep: number) =>
  new Backup({ database: registry.database, named: named(), times: { ...times, keep }, version: "0", logger, turn: alwaysMine });
/** Of those that are whole, newest first. */
const listSnapshots = async (from: NamedObjects): Promise<readonly StoredSnapshot[]> => (await readSnapshots(from)).stored;
async function emptyDatabase(): Promise<Database> {
  const created = await createDatabase();
  const database = new Database({ url: created.url, connections: 4 });
  dispose.push(
    () => created.drop(),
    () => database.close(),
  );
  return database;
}
const rows = (database: Database, text: string) => database.query({ name: "", text });
/** Every row of every table that a snapshot holds, as text. */
async function content(database: Database): Promise<Record<string, string[]>> {
  const tables = await rows(database, "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1");
  const whole: Record<string, string[]> = {};
  for (const { name } of tables) {
    // A restored registry pauses its collector.
    if (momentary.has(String(name)) || name === "gc_pauses") continue;
    whole[String(name)] = (await rows(database, `SELECT t::text AS line FROM "${String(name)}" t`)).map(({ line }) => String(line)).sort();
  }
  return whole;
}
const spoil = async (name: string, change: (bytes: Buffer) => Buffer) => {
  const pieces: Uint8Array[] = [];
  for await (const piece of named().get(name)) pieces.push(piece);
  const bytes = change(Buffer.concat(pieces));
  await named().put(
    name,
    (async function* () {
      yield bytes;
    })(),
  );
};

/** Names of all of which anything is in the store. */
const snapshotsLeft = async () => {
  const left = new Set<string>();
  for await (const { name } of named().list("backup/")) left.add(name.split("/").slice(1, 3).join("/"));
  return [...left].sort();
};
/** `count` without tables, an hour between each and the next. Their names, oldest first. */
const takeHourly = async (count: number) => {
  const { name, manifest } = await take();
  for (const table of manifest.tables) await named().delete([tableOf(name, table.name)]);
  await named().delete([manifestOf(name)]);
  const taken = [];
  for (let at = 0; at < count; at++) {
    taken.push(`${manifest.installation}/20260101t0${at}0000z-0000`);
    await writeManifest(named(), taken[at]!, { ...manifest, tables: [], takenAt: `2026-01-01T0${at}:00:00.000Z` });
  }
  return taken;
};
/** Until `back` the store cannot say what the manifest is. */
const breakReading = (snapshot: string): { back(): void } => {
  const get = named().get.bind(named());
  named().get = (name) => {
    if (name === `backup/${snapshot}/manifest.json`) throw new BlobStoreError("Unavailable", "The store is away.");
    return get(name);
  };
  return { back: () => void (named().get = get) };
};

describe("what is restored", () => {
  test("is every row as it was, with the snapshot's moment for all tables, and a schema that works on", async () => {
    const image = await pushImage(registry.push, "team/app", ["v1", "latest"], { annotations: { note: 'tab\t, line\n, \\ and "quote"' } });
    await pushImage(registry.push, "team/other", ["v1"]);
    await registry.push.deleteManifest(
      "team/app",
      { tag: "v1" },
      { identity: "user:ci", mayPush: true, revalidate: false },
      { isProtected: () => false },
    );
    await registry.rows(`INSERT INTO record (revision, document) VALUES ('r1', '{"a": [1, "\\\\"]}')`);
    const before = await content(registry.database);
    const { name } = await take();
    await pushImage(registry.push, "team/later", ["v1"]);

    const database = await emptyDatabase();
    expect((await restoreMetadata({ database, named: named() })).name).toBe(name);
    expect(await content(database)).toEqual(before);
    expect(before["tags"]).toHaveLength(2);
    expect(await readGcPauses(database)).toMatchObject([
      { reason: "database-behind", detail: expect.stringContaining(`from the snapshot ${name}`) },
    ]);
    // Numbers go on where they were, triggers and foreign keys are there again.
    expect(
      await rows(database, "INSERT INTO repositories (name) VALUES ('new') RETURNING id = (SELECT max(id) FROM repositories) + 1 AS next"),
    ).toEqual([{ next: true }]);
    await rows(database, `DELETE FROM tags WHERE digest = '${image.digest}'`);
    expect(await rows(database, "SELECT key FROM changes WHERE key LIKE 'tag:%'")).toHaveLength(1);
    await expect(rows(database, "DELETE FROM blobs")).rejects.toMatchObject({ code: expect.stringMatching(/^23(?:503|001)$/) });
    expect((await pendingMigrations(database)).missing).toEqual([]);
  });

  test("may be of an older schema: it is loaded as it was, and migrated", async () => {
    const old = await emptyDatabase();
    const { missing } = await pendingMigrations(old);
    const early = missing.slice(0, 5);
    await old.transaction((transaction) => migrateTo(transaction, early), { unmarked: true });
    await rows(old, "INSERT INTO objects (key, state) VALUES ('k', 'uploading')");
    await rows(
      old,
      `INSERT INTO uploads (id, repository, identity, object_key, "offset", expires_at) VALUES (gen_random_uuid(), 'a/b', 'ci', 'k', 3, now())`,
    );
    const { manifest } = await takeSnapshot({ database: old, named: named(), version: "0.0.0-old", reason: "migration" });
    expect(manifest.migrations).toEqual(early);
    const database = await emptyDatabase();
    await migrate(database); // a start made the newest schema: it is empty, and made anew
    await restoreMetadata({ database, named: named() });
    // What migration 0006 does with rows that are there.
    expect(
      await rows(database, "SELECT suspended, session IS NOT NULL AS announced FROM uploads JOIN objects ON key = object_key"),
    ).toEqual([{ suspended: "k", announced: true }]);
    expect((await pendingMigrations(database)).missing).toEqual([]);
  });

  test("is the newest unless another is named", async () => {
    const first = await take();
    const second = await take();
    const one = await emptyDatabase();
    expect((await restoreMetadata({ database: one, named: named() })).name).toBe(second.name);
    const other = await emptyDatabase();
    const stamp = first.name.split("/")[1]!;
    expect((await restoreMetadata({ database: other, named: named(), snapshot: stamp })).name).toBe(first.name);
  });
});

describe("refused, and nothing is changed", () => {
  /** How a refusal names those that are left. */
  const others = (...left: readonly StoredSnapshot[]) =>
    [
      "In the store, newest first; take one with --snapshot NAME:",
      ...left.map(({ name, manifest }) => `  ${name}  taken at ${manifest.takenAt}`),
    ].join("\n");
  /** The words of the refusal. */
  const refusal = async (database?: Database): Promise<string> => {
    const target = database ?? (await emptyDatabase());
    const before = await content(target);
    const said = await restoreMetadata({ database: target, named: named() }).then(
      () => "",
      (error: Error) => error.message,
    );
    expect(await content(target)).toEqual(before);
    return said;
  };

  test("a database that holds something", async () => {
    await pushBlob(registry.push, "team/app");
    await take();
    expect(await refusal(registry.database)).toMatch(/^The database is not empty: \w+ has rows/);
  });

  test("a database with the tables of something else", async () => {
    await take();
    const database = await emptyDatabase();
    await rows(database, "CREATE TABLE invoices (id integer)");
    expect(await refusal(database)).toContain("it has tables that are not Wharfinger's (invoices)");
  });

  test("a store without a snapshot", async () => {
    expect(await refusal()).toContain("There is no snapshot of the metadata in the store");
  });

  test("a snapshot of a newer program", async () => {
    const older = await take();
    await registry.rows("INSERT INTO migrations (number, name) VALUES (9999, '9999-to-come.sql')");
    const { name } = await take();
    expect(await backupOf(7).list()).toEqual([{ name, flaw: "Newer" }, expect.objectContaining({ name: older.name })]);
    expect(await refusal()).toMatch(/made by a newer Wharfinger \(it has 9999-to-come\.sql\)/);
    expect(await refusal()).toContain(`Nothing was restored. ${others(older)}`);
  });

  test.each<[string, (bytes: Buffer) => Buffer, RegExp]>([
    ["cut off", (bytes) => bytes.subarray(0, bytes.byteLength - 9), /repositories cannot be unpacked/],
    ["something else", () => Buffer.from("x"), /repositories cannot be unpacked/],
    [
      "changed where gzip does not see it",
      (bytes) => Buffer.concat([bytes.subarray(0, 4), Buffer.from("zzzz"), bytes.subarray(8)]),
      /has another digest/,
    ],
  ])("a table that is %s", async (_, change, message) => {
    await pushBlob(registry.push, "team/app");
    const older = [await take(), await take()].toReversed();
    const { name } = await take();
    await spoil(`backup/${name}/repositories.copy.gz`, change);
    const said = await refusal();
    expect(said).toMatch(message);
    expect(said).toContain(`The snapshot ${name} is not what was written`);
    expect(said.endsWith(`Nothing was restored. ${others(...older)}`)).toBe(true);
  });

  test("a table that is gone, and a manifest that was changed", async () => {
    const { name } = await take();
    await named().delete([`backup/${name}/tags.copy.gz`]);
    expect(await refusal()).toMatch(/tags is not in the store\. Nothing was restored\. The store has no other snapshot\.$/);
    await spoil(`backup/${name}/manifest.json`, (bytes) => Buffer.from(bytes.toString().replace('"rows": 0', '"rows": 1')));
    const database = await emptyDatabase();
    const stamp = name.split("/")[1]!;
    for (const snapshot of [name, stamp])
      await expect(restoreMetadata({ database, named: named(), snapshot })).rejects.toThrow(
        `The snapshot ${name} has a manifest that cannot be read. Nothing was restored.`,
      );
  });

  test("a name that no snapshot has: those that are there are named, and which of them are not whole", async () => {
    const older = await take();
    const { name } = await take();
    await spoil(`backup/${name}/manifest.json`, () => Buffer.from("{"));
    await expect(restoreMetadata({ database: await emptyDatabase(), named: named(), snapshot: "nope" })).rejects.toThrow(
      `There is no whole snapshot nope in the store. Nothing was restored. In the store, newest first; take one with --snapshot NAME:
  ${name}  cannot be read
  ${older.name}  taken at ${older.manifest.takenAt}`,
    );
  });
});

describe("taking and keeping", () => {
  test("a snapshot that was not finished is none, and goes when it is old", async () => {
    const put = named().put.bind(named());
    named().put = (name, pieces) => (name.includes("/tags.") ? Promise.reject(new Error("the store is away")) : put(name, pieces));
    await expect(take()).rejects.toThrow("the store is away");
    named().put = put;
    expect(await listSnapshots(named())).toEqual([]);
    const database = await emptyDatabase();
    await expect(restoreMetadata({ database, named: named() })).rejects.toThrow("There is no snapshot");
    // The connection that was in the middle of it is gone, others work on.
    expect((await take()).manifest.tables.length).toBeGreaterThan(20);
  });

  test("the newest are kept, and those of other installations", async () => {
    const taken = [];
    for (let count = 0; count < 4; count++) taken.push((await take()).name);
    const [installation = ""] = taken[0]!.split("/");
    await pruneSnapshots(named(), "00000000-0000-4000-8000-000000000000", 1);
    await pruneSnapshots(named(), installation, 2);
    expect((await listSnapshots(named())).map(({ name }) => name)).toEqual(taken.slice(2).reverse());
    expect(await snapshotsLeft()).toEqual(taken.slice(2).sort());
  });

  test("while the store cannot give a manifest none goes, and what is whole counts as taken", async () => {
    const taken = [];
    for (let count = 0; count < 3; count++) taken.push((await take()).name);
    const [installation = ""] = taken[0]!.split("/");
    const away = breakReading(taken[2]!);
    await expect(pruneSnapshots(named(), installation, 1)).rejects.toMatchObject({ code: "Unavailable" });
    await expect(restoreMetadata({ database: await emptyDatabase(), named: named() })).rejects.toMatchObject({ code: "Unavailable" });
    const lines = [];
    for await (const line of backupOf(1).now()) lines.push(line);
    const last = lines.at(-1)!;
    const { name: fourth } = "snapshot" in last ? last.snapshot : { name: "" };
    away.back();
    expect((await listSnapshots(named())).map(({ name }) => name)).toEqual([fourth, ...taken.reverse()]);
  });

  test("what a newer version wrote stays, and is not passed over in silence; a broken one goes when it is older than those that are kept", async () => {
    const [first = "", second = "", third = "", fourth = "", fifth = ""] = await takeHourly(5);
    const [installation = ""] = first.split("/");
    for (const name of [first, fourth]) await spoil(`backup/${name}/manifest.json`, () => Buffer.from('{"format": 2, "digest": "?"}'));
    await spoil(`backup/${second}/manifest.json`, () => Buffer.from("null"));
    await spoil(`backup/${fifth}/manifest.json`, () => Buffer.from("{"));
    expect(await backupOf(7).list()).toEqual([
      { name: fifth, flaw: "Broken" },
      { name: fourth, flaw: "Newer" },
      expect.objectContaining({ name: third, reason: "command" }),
      { name: second, flaw: "Broken" },
      { name: first, flaw: "Newer" },
    ]);
    const database = await emptyDatabase();
    await expect(restoreMetadata({ database, named: named() })).rejects.toThrow(
      `The snapshot ${fifth} has a manifest that cannot be read. Nothing was restored. In the store, newest first; take one with --snapshot NAME:
  ${fourth}  was written by a newer Wharfinger
  ${third}  taken at 2026-01-01T02:00:00.000Z
  ${second}  cannot be read
  ${first}  was written by a newer Wharfinger`,
    );
    await pruneSnapshots(named(), installation, 2);
    expect(await snapshotsLeft()).toEqual([first, second, third, fourth, fifth]);
    await pruneSnapshots(named(), installation, 1);
    expect(await snapshotsLeft()).toEqual([first, third, fourth, fifth]);
    await named().delete([`backup/${fifth}/manifest.json`]);
    await expect(restoreMetadata({ database, named: named() })).rejects.toThrow(`${fourth} was written by a newer Wharfinger`);
  });

  test("one that is finished while others are pruned stays", async () => {
    const taken = [(await take()).name];
    const [installation = ""] = taken[0]!.split("/");
    const list = named().list.bind(named());
    named().list = async function* (prefix) {
      yield* list(prefix);
      named().list = list;
      taken.push((await take()).name);
    };
    await pruneSnapshots(named(), installation, 1);
    expect(await snapshotsLeft()).toContain(taken[1]);
  });

  test("one is due after the interval, never of an empty database, and a person gets one at once", async () => {
    const backup = new Backup({ database: registry.database, named: named(), times, version: "0.0.0-test", logger, turn: alwaysMine });
    const count = async () => (await backup.list()).length;
    await backup.takeDue();
    expect([await count(), backup.age]).toEqual([0, undefined]);
    await pushImage(registry.push, "team/app", ["v1"]);
    await backup.takeDue();
    await backup.takeDue();
    expect(await count()).toBe(1);
    await registry.rows("UPDATE installation SET snapshot_at = now() - interval '25 hours'");
    const notMine = new Backup({
      database: registry.database,
      named: named(),
      times,
      version: "0",
      logger,
      turn: { ...alwaysMine, mine: () => false },
    });
    await notMine.takeDue();
    expect(await count()).toBe(1);
    expect(notMine.age).toBeGreaterThanOrEqual(25 * 3600);
    await backup.takeDue();
    expect(await count()).toBe(2);
    expect(backup.age).toBeLessThan(3600);
    const lines = [];
    for await (const line of backup.now()) lines.push(line);
    expect(lines.length).toBeGreaterThan(20);
    expect(lines.at(-1)).toMatchObject({ snapshot: { reason: "command", program: "0.0.0-test", rows: expect.any(Number) } });
    expect((await backup.list())[0]).toMatchObject({ reason: "command", schema: expect.stringMatching(/^\d{4}-/) });
  });

  test("while there is none its age is the installation's, unless none are taken", async () => {
    await pushImage(registry.push, "team/app", ["v1"]);
    await registry.rows("UPDATE installation SET created_at = now() - interval '3 days'");
    const ageWith = async (interval: number) => {
      const turn = { ...alwaysMine, mine: () => false };
      const backup = new Backup({ database: registry.database, named: named(), times: { ...times, interval }, version: "0", logger, turn });
      await backup.takeDue();
      return backup.age;
    };
    expect(await ageWith(times.interval)).toBeGreaterThanOrEqual(3 * 24 * 3600);
    expect(await ageWith(0)).toBeUndefined();
  });

  test("while database and store may not belong together old ones stay", async () => {
    const backup = new Backup({
      database: registry.database,
      named: named(),
      times: { ...times, keep: 1 },
      version: "0",
      logger,
      turn: alwaysMine,
    });
    const now = async () => {
      for await (const line of backup.now()) if ("snapshot" in line) return;
    };
    await now();
    await registry.rows("INSERT INTO gc_pauses (reason, detail) VALUES ('database-behind', 'x')");
    await now();
    expect(await backup.list()).toHaveLength(2);
    await registry.rows("DELETE FROM gc_pauses");
    await now();
    expect(await backup.list()).toHaveLength(1);
  });

  test("bytes stay as long as the newest snapshot may name them", () => {
    expect(doomDelayBeside(times, hour)).toBe(48 * hour);
    expect(doomDelayBeside(times, 72 * hour)).toBe(72 * hour);
    expect(doomDelayBeside({ ...times, interval: 0 }, hour)).toBe(hour);
  });
});

describe("before a migration", () => {
  const options = (database: Database, pod: string) => ({ database, named: named(), times, version: "0", logger, pod });
  /** All but the newest change of the schema, on which nothing builds. */
  async function oldDatabase(): Promise<{ database: Database; notYet: string }> {
    const database = await emptyDatabase();
    const { missing } = await pendingMigrations(database);
    const seen = missing.slice(0, -1);
    await database.transaction((transaction) => migrateTo(transaction, seen), { unmarked: true });
    return { database, notYet: missing.at(-1)! };
  }

  test("one process takes a snapshot of the older schema and migrates, the others wait", async () => {
    const { database, notYet } = await oldDatabase();
    const ran: string[][] = [];
    const start = (pod: string) => backedUp(options(database, pod), async () => void ran.push([...(await migrate(database))]));
    await Promise.all(["a", "b", "c"].map(start));
    expect(ran.flat()).toEqual([notYet]);
    const taken = await listSnapshots(named());
    expect(taken.map(({ manifest }) => [manifest.reason, manifest.migrations.length])).toEqual([
      ["migration", (await pendingMigrations(database)).done.length - 1],
    ]);
  });

  test("a new database has nothing to write down, nor one that is up to date", async () => {
    const database = await emptyDatabase();
    await backedUp(options(database, "a"), () => migrate(database));
    await backedUp(options(database, "a"), () => migrate(database));
    expect(await listSnapshots(named())).toEqual([]);
  });

  test("without a snapshot nothing is migrated", async () => {
    const { database } = await oldDatabase();
    named().put = () => Promise.reject(new Error("the bucket is full"));
    await expect(backedUp(options(database, "a"), () => migrate(database))).rejects.toThrow(
      /about to be migrated, and no snapshot of it could be written before: the bucket is full.*backup\.interval: 0s/,
    );
    expect((await pendingMigrations(database)).missing).toHaveLength(1);
  });
});
