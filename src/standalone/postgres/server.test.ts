import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Client } from "pg";
import { afterEach, expect, test, vi } from "vitest";

import { Database, statement } from "../../registry/metadata/database.ts";
import { findPostgres } from "./binaries.ts";
import { startEmbeddedPostgres } from "./server.ts";
import { createLauncher } from "./unprivileged.ts";

const folders: string[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "wharfinger-pg-test-"));
  folders.push(made);
  return made;
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  client.on("error", () => {}); // some tests end its server
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

test("data outlives a restart, also from a folder that only its owner may enter", async () => {
  const cluster = join(await folder(), "postgres"); // mkdtemp makes the folder above with mode 0700
  const first = await startEmbeddedPostgres({ folder: cluster });
  await query(first.url, "CREATE TABLE kept AS SELECT 7 AS answer");
  await first.stop();
  const second = await startEmbeddedPostgres({ folder: cluster });
  expect(await query(second.url, "SELECT answer FROM kept")).toEqual([{ answer: 7 }]);
  await second.stop();
});

test("a server that outlived a crash of ours is ended, and nothing is lost", async () => {
  const cluster = join(await folder(), "postgres");
  const crashed = await startEmbeddedPostgres({ folder: cluster });
  await query(crashed.url, "CREATE TABLE kept AS SELECT 7 AS answer");
  const next = await startEmbeddedPostgres({ folder: cluster });
  expect(next.pid).not.toBe(crashed.pid);
  expect(await query(next.url, "SELECT answer FROM kept")).toEqual([{ answer: 7 }]);
  await next.stop();
});

test("a server that was killed leaves a session behind: the next start waits for it and removes the old socket folder", async () => {
  const cluster = join(await folder(), "postgres");
  const killed = await startEmbeddedPostgres({ folder: cluster });
  const sockets = new URL(killed.url).searchParams.get("host") ?? "";
  const busy = query(killed.url, "CREATE TABLE kept AS SELECT 7 AS answer").then(() => query(killed.url, "SELECT pg_sleep(2)"));
  void busy.catch(() => {}); // its server goes away
  for (let tables = 0; tables === 0;) tables = (await query(killed.url, "SELECT 1 FROM pg_tables WHERE tablename = 'kept'")).length;
  process.kill(killed.pid, "SIGKILL");
  const next = await startEmbeddedPostgres({ folder: cluster });
  expect(await query(next.url, "SELECT answer FROM kept")).toEqual([{ answer: 7 }]);
  expect(existsSync(sockets)).toBe(false);
  await next.stop();
});

test("a pid file whose number somebody else bears now", async () => {
  const cluster = join(await folder(), "postgres");
  await (await startEmbeddedPostgres({ folder: cluster })).stop();
  const stranger = spawn("sleep", ["60"]);
  await writeFile(join(cluster, "postmaster.pid"), `${stranger.pid}\n${cluster}\n1700000000\n5432\n/nowhere\n\n  123456  789\n`);
  const server = await startEmbeddedPostgres({ folder: cluster });
  expect(await query(server.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
  stranger.kill();
  await server.stop();
});

test("a server that cannot start says why", async () => {
  const cluster = join(await folder(), "postgres");
  await (await startEmbeddedPostgres({ folder: cluster })).stop();
  await writeFile(join(cluster, "postgresql.conf"), "no_such_setting = 1\n");
  await expect(startEmbeddedPostgres({ folder: cluster })).rejects.toThrow(/^PostgreSQL ended \(exit code 1\): .*no_such_setting/s);
});

test("what PG* of the environment says is about another server", async () => {
  const foreign = {
    PGHOST: "db.example.com",
    PGPORT: "44765",
    PGUSER: "somebody",
    PGPASSWORD: "secret",
    PGDATABASE: "elsewhere",
    PGSSLMODE: "require",
    PGSSLNEGOTIATION: "direct",
    PGOPTIONS: "-c synchronous_commit=off",
    PGREPLICATION: "true",
    PGCLIENT_ENCODING: "latin1",
  };
  for (const [name, value] of Object.entries(foreign)) vi.stubEnv(name, value);
  const server = await startEmbeddedPostgres({ folder: join(await folder(), "postgres") });
  const database = new Database({ url: server.url });
  const settings = statement("test-settings", "SELECT current_setting('synchronous_commit') AS commit, 'ü' AS umlaut");
  expect(await database.query(settings)).toEqual([{ commit: "on", umlaut: "ü" }]);
  await database.close();
  await server.stop();
  expect(process.env).toMatchObject(foreign); // somebody else's business
});

test("told to end while it starts: it rejects, and no server stays", async () => {
  const told = new AbortController();
  const pids: number[] = [];
  const onLaunched = (pid: number) => {
    pids.push(pid);
    told.abort(new Error("told to end"));
  };
  const start = startEmbeddedPostgres({ folder: join(await folder(), "postgres"), signal: told.signal, onLaunched });
  await expect(start).rejects.toThrow("told to end");
  expect(pids).toHaveLength(1);
  expect(() => process.kill(pids[0] ?? 0, 0)).toThrow("ESRCH");
});

test("a server that says nothing is ended, and said", async () => {
  const cluster = join(await folder(), "postgres");
  const pids: number[] = [];
  const onLaunched = (pid: number) => {
    pids.push(pid);
    process.kill(pid, "SIGSTOP");
  };
  await expect(startEmbeddedPostgres({ folder: cluster, patience: 500, onLaunched })).rejects.toThrow(
    /^PostgreSQL runs and did not answer within 0\.5 s \(.+\): .*Start again\.$/,
  );
  expect(() => process.kill(pids[0] ?? 0, 0)).toThrow("ESRCH");
  await (await startEmbeddedPostgres({ folder: cluster })).stop();
});

test("as root PostgreSQL runs as somebody else, as an ordinary user as ourselves", async () => {
  const us = process.getuid?.() ?? 0;
  const owner = us === 0 ? await startAsRoot() : await startAsOrdinaryUser();
  expect(owner === us).toBe(us !== 0);
});

/** Without user namespaces: another user, and a clear message where it cannot enter. Resolves with the owner of the cluster. */
async function startAsRoot(): Promise<number> {
  const closed = join(await folder(), "postgres");
  await expect(startEmbeddedPostgres({ folder: closed, forbidNamespace: true })).rejects.toThrow(
    /cannot enter .*wharfinger-pg-test.*chmod o\+x/,
  );
  const open = await mkdtemp("/var/tmp/wharfinger-open-");
  folders.push(open);
  await chmod(open, 0o755);
  const server = await startEmbeddedPostgres({ folder: join(open, "postgres"), forbidNamespace: true });
  expect(await query(server.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  await server.stop();
  return (await stat(join(open, "postgres"))).uid;
}

/** As it is: nothing wrapped, nothing copied, nothing given away. */
async function startAsOrdinaryUser(): Promise<number> {
  const binaries = await findPostgres();
  const launcher = await createLauncher(binaries);
  expect([launcher.binaries, launcher.identity]).toEqual([binaries, {}]);
  expect(launcher.command(binaries.postgres, ["-V"])).toEqual({ file: binaries.postgres, args: ["-V"] });
  const cluster = join(await folder(), "postgres");
  const server = await startEmbeddedPostgres({ folder: cluster, forbidNamespace: true });
  expect(await query(server.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  await server.stop();
  return (await stat(cluster)).uid;
}
