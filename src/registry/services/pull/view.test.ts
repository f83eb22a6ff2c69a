import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { Client } from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { eventually } from "../../../../test/support/eventually.ts";
import { createMigratedDatabase, type TestDatabase } from "../../../../test/support/postgres.ts";
import { changesSince } from "../../metadata/changes.ts";
import { Database, statement, viewsRunOut, type Queryable } from "../../metadata/database.ts";
import { pruneChangesBefore, readHorizon } from "../../metadata/gc-prune.ts";
import { View, ViewUnavailable } from "./view.ts";

const read = statement("test-tag", "SELECT digest FROM tags WHERE repository = 1 AND name = $1");
const key = "tag:1:latest";

let database: TestDatabase;
let pool: Database;
let writer: Client;
let questions: number;

beforeEach(async () => {
  database = await createMigratedDatabase();
  pool = new Database({ url: database.url });
  writer = new Client({ connectionString: database.url });
  await writer.connect();
  await writer.query("INSERT INTO prefixes VALUES ('a', 'own')");
  await writer.query("INSERT INTO repositories (name) VALUES ('a/b')");
  for (const digest of ["one", "two"]) {
    await writer.query("INSERT INTO manifests (repository, digest, media_type, bytes, keep_until) VALUES (1, $1, 'x', '', now())", [
      digest,
    ]);
  }
  await point("one");
  questions = 0;
});
afterEach(async () => {
  await writer.end();
  await pool.close();
  await database.drop();
});

const point = (digest: string, client = writer) =>
  client.query(
    "INSERT INTO tags (repository, name, digest) VALUES (1, 'latest', $1) ON CONFLICT (repository, name) DO UPDATE SET digest = excluded.digest",
    [digest],
  );

/** Counts what is asked. */
const counting: Queryable = {
  query: (asked, values) => {
    questions++;
    return pool.query(asked, values);
  },
  execute: (asked, values) => pool.execute(asked, values),
};

const newView = () => new View({ database: counting });
const load = async () => (await pool.query<{ digest: string }>(read, ["latest"]))[0];
const pull = async (view: View) => (await view.get(key, load, () => 100))?.digest;

/** Until the view has a first answer to go on from. */
async function warm(view: View): Promise<void> {
  for (let pulls = 0; pulls < 3; pulls++) {
    await pull(view);
    await sleep(5);
  }
}

test("a thousand pulls at once ask a question or two, and none loads", async () => {
  const view = newView();
  await warm(view);
  await sleep(20);
  questions = 0;
  let loads = 0;
  const counted = () => {
    loads++;
    return load();
  };
  const answers = await Promise.all(Array.from({ length: 1000 }, () => view.get(key, counted, () => 100)));
  expect(new Set(answers.map((answer) => answer?.digest))).toEqual(new Set(["one"]));
  expect(loads).toBe(0);
  expect(questions).toBeLessThanOrEqual(3);
});

test("a move that was acknowledged is seen by every view, whatever they were doing", async () => {
  const views = [newView(), newView(), newView()];
  for (const view of views) await warm(view);
  const stopping = new AbortController();
  const busy = views.map(async (view) => {
    while (!stopping.signal.aborted) {
      await pull(view);
      await sleep(randomInt(4));
    }
  });
  const wrong: string[] = [];
  for (let move = 0; move < 150; move++) {
    const digest = move % 2 === 0 ? "two" : "one";
    await point(digest);
    await sleep(viewsRunOut);
    for (const seen of await Promise.all(views.map(pull))) if (seen !== digest) wrong.push(`${move}: ${seen}`);
    await sleep(randomInt(12));
  }
  stopping.abort();
  await Promise.all(busy);
  expect(wrong).toEqual([]);
});

test("a tag that went is gone", async () => {
  const view = newView();
  await warm(view);
  await writer.query("DELETE FROM tags");
  await sleep(viewsRunOut);
  expect(await pull(view)).toBeUndefined();
});

test("transactions that commit in another order than they began, and one that stays open for long", async () => {
  const view = newView();
  const others = [new Client({ connectionString: database.url }), new Client({ connectionString: database.url })] as const;
  for (const other of others) await other.connect();
  try {
    const [slow, slower] = others;
    await slower.query("BEGIN; INSERT INTO changes (key) VALUES ('tag:1:other')");
    await slow.query("BEGIN");
    await point("two", slow);
    await warm(view);
    await writer.query("INSERT INTO changes (key) VALUES ('tag:1:another')");
    await sleep(viewsRunOut);
    expect(await pull(view)).toBe("one");
    await slow.query("COMMIT");
    await sleep(viewsRunOut);
    expect(await pull(view)).toBe("two");
    await point("one");
    await sleep(viewsRunOut);
    expect(await pull(view)).toBe("one");
    await slower.query("COMMIT");
  } finally {
    for (const other of others) await other.end();
  }
});

test("writers that overlap, begin and commit in any order: each is seen from its acknowledgement on", async () => {
  const views = [newView(), newView()];
  const writers = 5;
  const wrong: string[] = [];
  const clients = await Promise.all(
    Array.from({ length: writers }, async () => {
      const client = new Client({ connectionString: database.url });
      await client.connect();
      return client;
    }),
  );
  await Promise.all(
    clients.map(async (client, mine) => {
      const tag = `w${mine}`;
      const loadMine = async () => (await pool.query<{ digest: string }>(read, [tag]))[0];
      for (let move = 0; move < 20; move++) {
        const digest = move % 2 === 0 ? "two" : "one";
        await client.query("BEGIN");
        await client.query(
          "INSERT INTO tags (repository, name, digest) VALUES (1, $1, $2) ON CONFLICT (repository, name) DO UPDATE SET digest = excluded.digest",
          [tag, digest],
        );
        await sleep(randomInt(25));
        await client.query("COMMIT");
        await sleep(viewsRunOut);
        for (const view of views) {
          const seen = await view.get(`tag:1:${tag}`, loadMine, () => 100);
          if (seen?.digest !== digest) wrong.push(`${tag} ${move}: ${seen?.digest}`);
        }
      }
    }),
  );
  for (const client of clients) await client.end();
  expect(wrong).toEqual([]);
});

test("a transaction that stays open while thousands come and go is heard when it ends, although changes were forgotten meanwhile", async () => {
  const view = newView();
  await warm(view);
  const open = new Client({ connectionString: database.url });
  await open.connect();
  await open.query("BEGIN");
  await point("two", open);
  for (let round = 0; round < 20; round++) {
    await writer.query("INSERT INTO changes (key) SELECT 'tag:1:other' || n FROM generate_series(1, 200) n");
    const horizon = await readHorizon(pool);
    expect(await pull(view)).toBe("one");
    await pruneChangesBefore(pool, horizon);
  }
  const { rowCount } = await writer.query("SELECT FROM changes WHERE key LIKE 'tag:1:other%'");
  expect(rowCount).toBe(4_000);
  await open.query("COMMIT");
  await open.end();
  await sleep(viewsRunOut);
  expect(await pull(view)).toBe("two");
});

test.each([
  ["a version that came", "INSERT INTO ledger (repository, tag, digest, version) VALUES (1, '1.0', 'one', '1.0')", ["tag:1:1.0"]],
  ["a version that moved", "UPDATE ledger SET digest = 'two' WHERE tag = 'old'", ["tag:1:old"]],
  ["a version that went", "DELETE FROM ledger", ["tag:1:old"]],
  ["a version that a publish writes again as it is", "UPDATE ledger SET digest = digest, version = '2'", []],
  ["a confirmation by upstream", "UPDATE tags SET checked_at = now() + interval '1 hour'", []],
  ["a confirmation that counts no longer", "UPDATE tags SET checked_at = NULL", ["tag:1:latest"]],
  ["another media type", "UPDATE manifests SET media_type = 'y' WHERE digest = 'one'", ["manifest:1:one", "tag:1:latest"]],
  ["the same media type", "UPDATE manifests SET media_type = media_type, keep_until = now()", []],
  ["other bytes", "UPDATE manifests SET bytes = 'y' WHERE digest = 'two'", ["manifest:1:two"]],
  ["a repository that goes to an Upstream", "UPDATE repositories SET upstream = 'default/a'", ["repository:a/b"]],
  ["a publish", "INSERT INTO record (revision, document) VALUES ('r', '{}')", ["record"]],
])("of %s everybody is told, or nobody", async (_what, change, keys) => {
  await writer.query("INSERT INTO ledger (repository, tag, digest, version) VALUES (1, 'old', 'one', 'old')");
  await writer.query("UPDATE tags SET checked_at = now()");
  const { snapshot } = await changesSince(pool, null);
  await writer.query(change);
  expect((await changesSince(pool, snapshot)).keys.toSorted()).toEqual(keys);
});

test("what was read before a change and came after it is not remembered, and not given to who came later", async () => {
  const view = newView();
  await warm(view);
  await view.get(
    "tag:1:other",
    async () => ({ digest: "x" }),
    () => 1,
  );
  await point("two");
  await sleep(viewsRunOut);
  await pull(view);
  await writer.query("DELETE FROM tags");
  await sleep(viewsRunOut);
  expect(await pull(view)).toBeUndefined();
  // Read now, answered late.
  await point("one");
  const [read, arrived] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const early = view.get(
    key,
    async () => {
      const found = await load();
      read.resolve();
      await arrived.promise;
      return found;
    },
    () => 100,
  );
  await read.promise;
  await point("two");
  await sleep(viewsRunOut);
  expect(await pull(view)).toBe("two");
  arrived.resolve();
  expect((await early)?.digest).toBe("one");
  await sleep(viewsRunOut);
  expect(await pull(view)).toBe("two");
});

describe("a database that does not answer", () => {
  let answers: "yes" | "no" | "never";
  const silencing: Queryable = {
    query: (asked, values) => {
      if (answers === "never") return new Promise(() => undefined);
      return answers === "yes" ? counting.query(asked, values) : Promise.reject(new Error("down"));
    },
    execute: (asked, values) => pool.execute(asked, values),
  };
  const silent = (options: { serveOldFor?: number } = {}) => new View({ database: silencing, ...options });
  const pullEvenOld = async (view: View) => (await view.getEvenOld(key, load, () => 100))?.digest;
  beforeEach(() => {
    answers = "yes";
  });

  test("gives nothing out, but to somebody to whom old is good enough", async () => {
    const view = silent();
    await warm(view);
    answers = "no";
    await sleep(20);
    await expect(pull(view)).rejects.toMatchObject({ code: "UNAVAILABLE", retryAfter: 1, cause: { message: "down" } });
    expect(await pullEvenOld(view)).toBe("one");
    answers = "yes";
    await point("two");
    await sleep(viewsRunOut);
    expect(await pullEvenOld(view)).toBe("two");
    expect(await pull(view)).toBe("two");
  });

  test("and what was confirmed too long ago is not good enough, nor anything when the setting says so", async () => {
    for (const serveOldFor of [0, 30]) {
      answers = "yes";
      const view = silent({ serveOldFor });
      await warm(view);
      answers = "no";
      await sleep(31);
      await expect(pullEvenOld(view)).rejects.toBeInstanceOf(ViewUnavailable);
    }
  });

  test("keeps nobody waiting for a load that it does not answer either", async () => {
    const view = silent();
    await warm(view);
    answers = "never";
    await sleep(20);
    const never = () => new Promise<undefined>(() => undefined);
    await expect(view.get("tag:1:other", never, () => 1)).rejects.toBeInstanceOf(ViewUnavailable);
  });
});

test("a wait that took far longer than its time proves nothing about the database: the process was stopped", async () => {
  let hold: Promise<void> | undefined;
  const view = new View({
    database: {
      ...counting,
      query: async <Row>(asked: Parameters<Queryable["query"]>[0], values?: readonly unknown[]) => {
        await hold;
        return pool.query<Row>(asked, values);
      },
    },
  });
  await warm(view);
  await sleep(20);
  let go: () => void = () => undefined;
  hold = new Promise((resolve) => (go = resolve));
  const pulling = view.getEvenOld(key, load, () => 100);
  await sleep(500);
  await point("two");
  // As if it had been stopped: nothing runs, and then its time is over.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
  await sleep(20);
  go();
  expect((await pulling)?.digest).toBe("two");
});

test("of two loads of the same only the newer is remembered, whichever ends last", async () => {
  const view = newView();
  await warm(view);
  await writer.query("INSERT INTO tags (repository, name, digest) VALUES (1, 'slow', 'one')");
  let arrive: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (arrive = resolve));
  const slow = view.get(
    "tag:1:slow",
    async () => {
      const [found] = await pool.query<{ digest: string }>(read, ["slow"]);
      await held;
      return found;
    },
    () => 100,
  );
  await sleep(20);
  const loadSlow = async () => (await pool.query<{ digest: string }>(read, ["slow"]))[0];
  const pullSlow = async () => (await view.get("tag:1:slow", loadSlow, () => 100))?.digest;
  expect(await pullSlow()).toBe("one");
  await writer.query("UPDATE tags SET digest = 'two' WHERE name = 'slow'");
  await sleep(viewsRunOut);
  // Hears of the change, and loads nothing.
  await pull(view);
  await sleep(20);
  await pull(view);
  arrive();
  await slow;
  expect(await pullSlow()).toBe("two");
});

test("a server that is another one than before is trusted with nothing that was remembered", async () => {
  let server = "before";
  const view = new View({
    database: {
      ...counting,
      query: async <Row>(asked: Parameters<Queryable["query"]>[0], values?: readonly unknown[]) =>
        (await pool.query<Row & object>(asked, values)).map((row) => ({ ...row, server })),
    },
  });
  await warm(view);
  await writer.query("SET session_replication_role = replica");
  await writer.query("UPDATE tags SET digest = 'two'");
  await sleep(20);
  expect(await pull(view)).toBe("one");
  const { generation } = view;
  server = "after";
  await sleep(20);
  expect(await pull(view)).toBe("two");
  expect(view.generation).not.toBe(generation);
});

// On the run's server a transaction of any other test, in any database, holds the horizon up; none takes a minute.
test(
  "changes are forgotten below a transaction that is long over, and none that somebody may still ask for",
  { timeout: 120_000 },
  async () => {
    const { snapshot } = await changesSince(pool, null);
    await point("two");
    expect((await changesSince(pool, snapshot)).keys).toEqual([key]);
    const open = new Client({ connectionString: database.url });
    await open.connect();
    await open.query("BEGIN; INSERT INTO changes (key) VALUES ('tag:1:open')");
    await eventually(async () => {
      await pruneChangesBefore(pool, await readHorizon(pool));
      const { rowCount } = await writer.query("SELECT FROM changes");
      expect(rowCount).toBe(0);
    });
    await open.query("COMMIT");
    await open.end();
    expect((await changesSince(pool, snapshot)).keys).toEqual(["tag:1:open"]);
  },
);

test("what another server said about its transactions says nothing about those of this one", async () => {
  const { server } = await readHorizon(pool);
  // Above all that was ever written here.
  const [next] = await pool.query<{ xmin: string }>(statement("", "SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xmin"));
  const { xmin } = next!;
  expect(await pruneChangesBefore(pool, { xmin, server: "before the restore" })).toBe(0);
  expect(await pruneChangesBefore(pool, { xmin, server })).toBeGreaterThan(0);
});
