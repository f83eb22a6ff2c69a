// A database that goes away, says no or says nothing while the registry runs, and COMMITs whose answer is lost.

import { randomBytes } from "node:crypto";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { outcomeOf } from "../../src/registry/metadata/commit-marks.ts";
import { Database, statement } from "../../src/registry/metadata/database.ts";
import type { DatabaseOptions } from "../../src/registry/metadata/database-options.ts";
import { migrate } from "../../src/registry/metadata/migrate.ts";
import { digestOf } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { describe as described, imageOf } from "../support/own-registry.ts";
import { startPostgresHop, type PostgresHop } from "../support/postgres-hop.ts";
import { startPostgresServer, type PostgresServer } from "../support/postgres-server.ts";
import { startTestRegistry, type TestRegistry } from "../support/registry.ts";

let server: PostgresServer;
let hop: PostgresHop;
let database: Database;
const open: Database[] = [];

beforeAll(async () => {
  server = await startPostgresServer();
  hop = await startPostgresHop(server.port);
  await server.run("CREATE DATABASE faults");
  await server.run("CREATE TABLE kept (value text)", { database: "faults" });
  const first = new Database({ url: server.url("faults") });
  await migrate(first);
  await first.close();
});
afterAll(async () => {
  await hop?.stop();
  await server?.stop();
});
beforeEach(() => {
  hop.lead(server.port);
  database = connect();
});
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

function connect(options: Partial<DatabaseOptions> = {}): Database {
  const made = new Database({ url: hop.url("faults"), connections: 4, ...options });
  open.push(made);
  return made;
}

const one = statement("test-one", "SELECT 1 AS one");
const sleeping = statement("test-sleep", "SELECT pg_sleep(60)");
const pid = statement("test-pid", "SELECT pg_backend_pid() AS pid");
const keep = statement("test-keep", "INSERT INTO kept (value) VALUES ($1)");
const kept = async (value: string) =>
  (await server.run("SELECT FROM kept WHERE value = $1", { database: "faults", values: [value] })).length;
const terminateAll = () =>
  server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wharfinger' AND datname = 'faults'");

/** Awaited from now on, looked at later. */
const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe("a statement", () => {
  test("that only reads is asked again on another connection", async () => {
    await database.query(one);
    await terminateAll();
    expect(await database.query(one)).toEqual([{ one: 1 }]);
    hop.cut();
    expect(await database.query(one)).toEqual([{ one: 1 }]);
  });

  test("that writes is not: it may have been done", async () => {
    const slow = statement("test-slow-write", "INSERT INTO kept SELECT $1 FROM pg_sleep(60)");
    const failure = failureOf(database.execute(slow, ["slow"]));
    await eventually(async () => expect(await waitingIn("PgSleep")).toBe(1));
    await terminateAll();
    expect(await failure).toMatchObject({ name: "DatabaseUnavailable", reason: "LOST", code: "57P01" });
    expect(await kept("slow")).toBe(0);
  });

  test("that takes too long is ended by the server, and the connection is of use", async () => {
    const brief = connect({ connections: 1, timeouts: { statement: 1_000 } });
    const [before] = await brief.query(pid);
    await expect(brief.query(sleeping)).rejects.toMatchObject({ reason: "TIMEOUT", code: "57014" });
    expect(await brief.query(pid)).toEqual([before]);
  });

  test("that waits for a lock gives up", async () => {
    const brief = connect({ timeouts: { lock: 200 } });
    await database.transaction(async (transaction) => {
      await transaction.query({ name: "", text: "LOCK TABLE kept" });
      await expect(brief.execute(keep, ["locked"])).rejects.toMatchObject({ reason: "LOCKED", code: "55P03" });
    });
  });

  test("with no free connection is told so, and reads keep a quarter of them while all writers wait", async () => {
    const small = connect({ connections: 4, timeouts: { wait: 1_000 } });
    let go: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (go = resolve));
    const writers = [1, 2, 3].map(() => small.transaction(() => held));
    await expect(small.transaction(async () => undefined)).rejects.toMatchObject({ reason: "BUSY" });
    expect(await small.query(one)).toEqual([{ one: 1 }]);
    // The last connection waits for somebody else, however long.
    let reader: Promise<unknown> | undefined;
    await database.transaction(async (transaction) => {
      await transaction.query({ name: "", text: "SELECT pg_advisory_xact_lock(1)" });
      reader = small.query(statement("test-lock", "SELECT pg_advisory_xact_lock(1)"));
      await expect(small.query(one)).rejects.toMatchObject({ reason: "BUSY" });
    });
    go();
    await Promise.all([...writers, reader]);
    expect(await small.query(one)).toEqual([{ one: 1 }]);
  });

  test("where the server has no room is told so", async () => {
    await server.run("ALTER DATABASE faults CONNECTION LIMIT 0");
    await server.run("CREATE ROLE guest LOGIN");
    const guest = connect({ url: `postgresql://guest@127.0.0.1:${server.port}/faults` });
    await expect(guest.query(one)).rejects.toMatchObject({ reason: "BUSY", code: "53300" });
    await server.run("ALTER DATABASE faults CONNECTION LIMIT -1");
    expect(await guest.query(one)).toEqual([{ one: 1 }]);
  });

  test("to a server that has become read-only is refused, and its connection is not used again", async () => {
    const single = connect({ connections: 1 });
    const [before] = await single.query(pid);
    await single.query({ name: "", text: "SET default_transaction_read_only = on" });
    await expect(single.execute(keep, ["late"])).rejects.toMatchObject({ reason: "NOT_PRIMARY", code: "25006" });
    expect(await single.query(pid)).not.toEqual([before]);
    expect(await single.execute(keep, ["writable"])).toBe(1);
  });

  test("to a server that says nothing any more is given up in its time", async () => {
    const impatient = connect();
    await impatient.query(one);
    hop.silence();
    const asked = statement("test-asked", "SELECT 2 AS two", { within: 2_000 });
    expect(await impatient.query(asked)).toEqual([{ two: 2 }]);
  });
});

describe("a transaction", () => {
  test("whose connection is lost before COMMIT runs again", async () => {
    let runs = 0;
    await database.transaction(async (transaction) => {
      await transaction.execute(keep, ["again"]);
      if (runs++ === 0) await terminateAll();
      await transaction.query(one);
    });
    expect(runs).toBe(2);
    expect(await kept("again")).toBe(1);
  });

  test.each(["before", "after"] as const)("whose connection breaks %s the server has heard COMMIT is done once", async (when) => {
    const cut = hop.cutAtCommit(when);
    let runs = 0;
    const value = `lost ${when}`;
    const result = await database.transaction(async (transaction) => {
      await transaction.execute(keep, [value]);
      return ++runs;
    });
    await cut;
    expect(await kept(value)).toBe(1);
    expect([runs, result]).toEqual(when === "before" ? [2, 2] : [1, 1]);
  });

  test("whose outcome nobody can say is neither acknowledged nor repeated", async () => {
    const brief = connect({ timeouts: { commit: 500 } });
    await brief.query(one);
    const cut = hop.cutAtCommit("after").then(() => hop.lead(1));
    let runs = 0;
    const lost = brief.transaction(async (transaction) => {
      runs++;
      await transaction.execute(keep, ["unknown"]);
    });
    // Whoever else is connected loses it, too.
    void cut.then(() => hop.cut());
    await expect(lost).rejects.toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    expect(runs).toBe(1);
    expect(await kept("unknown")).toBe(1);
  });

  test("one of whose statements failed unheard is not taken for done", async () => {
    const careless = database.transaction(async (transaction) => {
      await transaction.execute(keep, ["careless"]);
      await transaction.query({ name: "", text: "SELECT 1 / 0" }).catch(() => undefined);
    });
    await expect(careless).rejects.toThrow(/ROLLBACK.*had failed/);
    expect(await kept("careless")).toBe(0);
  });

  test("whose number somebody else got after a crash is not taken for theirs", async () => {
    const token = crypto.randomUUID();
    await server.run("CREATE TABLE numbers AS SELECT pg_current_xact_id()::text AS xid, now()::text AS at", { database: "faults" });
    const [other] = await server.run<{ xid: string; at: string }>("SELECT * FROM numbers", { database: "faults" });
    expect(await outcomeOf(database, { ...other!, token })).toBe("rolled back");
    expect(await outcomeOf(database, { ...other!, token, xid: "999999999" })).toBe("rolled back");
  });
});

async function waitingIn(event: string): Promise<number> {
  return (await server.run("SELECT FROM pg_stat_activity WHERE wait_event = $1", { values: [event] })).length;
}

describe("with a synchronous standby that is away", () => {
  beforeEach(async () => {
    await server.run("ALTER SYSTEM SET synchronous_standby_names = 'away'");
    await server.run("SELECT pg_reload_conf()");
  });
  const end = async () => {
    await server.run("ALTER SYSTEM RESET synchronous_standby_names").catch(() => undefined);
    await server.run("SELECT pg_reload_conf()");
  };
  afterEach(end);

  test("nothing is acknowledged, reads go on, and no more of the server's connections are taken than ours", async () => {
    const brief = connect({ connections: 4, timeouts: { commit: 1_000, wait: 1_000 } });
    const attempt = () => brief.transaction((transaction) => transaction.execute(keep, ["waits"]));
    const reasons = await Promise.all(Array.from({ length: 8 }, () => attempt().catch((error: { reason: string }) => error.reason)));
    expect(new Set(reasons)).toEqual(new Set(["OUTCOME_UNKNOWN", "BUSY"]));
    expect(await brief.query(one)).toEqual([{ one: 1 }]);
    await eventually(async () => expect(await waitingIn("SyncRep")).toBe(3));
    expect(await kept("waits")).toBe(0);
    await end();
    await eventually(async () => expect(await attempt()).toBe(1));
  });

  test("a single statement that writes is no other", async () => {
    const brief = connect({ connections: 4, timeouts: { commit: 1_000, wait: 1_000 } });
    for (const reason of ["OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN", "BUSY"])
      expect(await failureOf(brief.execute(keep, ["single"]))).toMatchObject({ reason });
    await eventually(async () => expect(await waitingIn("SyncRep")).toBe(3));
    expect(await brief.query(one)).toEqual([{ one: 1 }]);
    await end();
    await eventually(async () => expect(await brief.execute(keep, ["single"])).toBe(1));
  });

  test("a server that is told to stop waiting has not acknowledged anything either", async () => {
    const failure = failureOf(database.transaction((transaction) => transaction.execute(keep, ["cancelled"])));
    await eventually(async () => expect(await waitingIn("SyncRep")).toBe(1));
    await server.run("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    expect(await failure).toMatchObject({
      reason: "OUTCOME_UNKNOWN",
      message: expect.stringMatching(/not on the synchronous standby/) as string,
    });
    expect(await kept("cancelled")).toBe(1);
  });

  test("nor one that is told to end the session: its row is there, and not on the standby", async () => {
    const brief = connect({ timeouts: { commit: 1_000 } });
    const failure = failureOf(brief.transaction((transaction) => transaction.execute(keep, ["terminated"])));
    await eventually(async () => expect(await waitingIn("SyncRep")).toBe(1));
    await server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    expect(await failure).toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    expect(await kept("terminated")).toBe(1);
  });
});

describe("a registry", () => {
  let registry: TestRegistry;
  beforeAll(async () => {
    await server.run("CREATE DATABASE registry");
    registry = await startTestRegistry({
      database: { url: hop.url("registry"), timeouts: { connect: 2_000, wait: 2_000, commit: 5_000 } },
    });
  });
  afterAll(() => registry?.stop());

  const config = Buffer.from("{}");
  const image = () => {
    const layer = randomBytes(64);
    return {
      layer,
      manifest: imageOf(described("application/vnd.oci.image.config.v1+json", config), [
        described("application/vnd.oci.image.layer.v1.tar", layer),
      ]),
    };
  };
  const upload = (bytes: Uint8Array) =>
    send(registry.url, "POST", `/v2/team/app/blobs/uploads/?digest=${digestOf(bytes)}`, { body: Buffer.from(bytes) });
  const put = (tag: string, body: Buffer) =>
    send(registry.url, "PUT", `/v2/team/app/manifests/${tag}`, { body, headers: { "content-type": mediaTypes.ociManifest } });
  const pushed = async (tag: string) => {
    const made = image();
    await upload(config);
    await upload(made.layer);
    expect((await put(tag, made.manifest)).status).toBe(201);
    return made;
  };
  const get = (path: string) => send(registry.url, "GET", `/v2/team/app/${path}`);

  test.each(["before", "after"] as const)(
    "acknowledges every step of a push and a delete once, when COMMIT is cut %s the server heard it",
    async (when) => {
      await upload(config);
      const { layer, manifest } = image();
      const whole = hop.cutAtCommit(when, /blob-/);
      expect((await upload(layer)).status).toBe(201);
      await whole;
      expect((await get(`blobs/${digestOf(layer)}`)).body).toEqual(layer);

      const chunk = randomBytes(64);
      const begun = await send(registry.url, "POST", "/v2/team/app/blobs/uploads/");
      const patched = await send(registry.url, "PATCH", begun.headers["location"] as string, { body: chunk });
      expect(patched.status).toBe(202);
      const session = hop.cutAtCommit(when);
      expect((await send(registry.url, "PUT", `${patched.headers["location"] as string}?digest=${digestOf(chunk)}`)).status).toBe(201);
      await session;
      expect((await get(`blobs/${digestOf(chunk)}`)).body).toEqual(chunk);

      const mounting = hop.cutAtCommit(when);
      const mount = await send(registry.url, "POST", `/v2/team/other/blobs/uploads/?mount=${digestOf(layer)}&from=team/app`);
      expect(mount.status).toBe(201);
      await mounting;

      const manifests = hop.cutAtCommit(when);
      expect((await put("cut", manifest)).status).toBe(201);
      await manifests;
      expect((await get("manifests/cut")).body).toEqual(manifest);

      const tags = hop.cutAtCommit(when);
      expect((await send(registry.url, "DELETE", "/v2/team/app/manifests/cut")).status).toBe(202);
      await tags;
      expect((await get("manifests/cut")).status).toBe(404);

      const deletion = hop.cutAtCommit(when);
      expect((await send(registry.url, "DELETE", `/v2/team/app/manifests/${digestOf(manifest)}`)).status).toBe(202);
      await deletion;
      expect((await get(`manifests/${digestOf(manifest)}`)).status).toBe(404);
    },
  );

  test("answers 503 with Retry-After while the database is away, never 404, and goes on when it is back", async () => {
    const { manifest, layer } = await pushed("away");
    hop.lead(1);
    hop.cut();
    const paths = ["manifests/away", `manifests/${digestOf(manifest)}`, "manifests/unknown", `blobs/${digestOf(layer)}`, "tags/list"];
    await eventually(async () => {
      const answers = await Promise.all(paths.map(get));
      for (const [place, { status, headers }] of answers.entries()) {
        // By digest what was confirmed a moment ago may be served.
        if (status === 200 && paths[place]!.includes("sha256:")) continue;
        expect([paths[place], status, headers["retry-after"]]).toEqual([paths[place], 503, "1"]);
      }
    });
    expect((await upload(randomBytes(8))).status).toBe(503);
    expect((await send(registry.url, "DELETE", "/v2/team/app/manifests/away")).status).toBe(503);
    expect((await send(registry.url, "GET", "/readyz")).status).toBe(503);
    hop.lead(server.port);
    await eventually(async () => expect((await get("manifests/away")).body).toEqual(manifest));
    await eventually(async () => expect((await send(registry.url, "GET", "/readyz")).status).toBe(200));
    expect((await put("back", manifest)).status).toBe(201);
  });
});
