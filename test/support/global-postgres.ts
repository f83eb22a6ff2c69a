// One PostgreSQL for the whole test run; each file makes databases of its own (./postgres.ts).

import { mkdtemp, readdir, rm, statfs } from "node:fs/promises";
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";

import { Client } from "pg";
import type { TestProject } from "vitest/node";

import { Database } from "../../src/registry/metadata/database.ts";
import { migrate } from "../../src/registry/metadata/migrate.ts";
import { startEmbeddedPostgres } from "../../src/standalone/postgres/server.ts";

declare module "vitest" {
  interface ProvidedContext {
    postgresUrl: string;
    /** The name of a database that has the schema, and to which nobody connects: what most tests begin with is a copy of it. */
    migratedDatabase: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await makeFolder();
  const server = await startEmbeddedPostgres({ folder, fsync: false, maxConnections: 200 });
  project.provide("postgresUrl", server.url);
  project.provide("migratedDatabase", await makeMigrated(server.url));
  return async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  };
}

const prefix = "wharfinger-test-db-";
/** Bytes: several times what the databases of four files at once and the log take. */
const room = 3 * 1024 ** 3;

/**
 * In memory, where there is enough of it: a run copies and drops a database of three hundred files a thousand times, and on a disk half of what
 * that takes of the processor is the file system's. `WHARFINGER_TEST_DATABASE_FOLDER` names another place.
 */
async function makeFolder(): Promise<string> {
  const memory = "/dev/shm";
  const free = await statfs(memory).then(
    ({ bavail, bsize }) => Math.min(bavail * bsize, freemem()),
    () => 0,
  );
  if (free > 0) await sweep(memory);
  const parent = process.env["WHARFINGER_TEST_DATABASE_FOLDER"] ?? (free > room ? memory : tmpdir());
  return mkdtemp(join(parent, `${prefix}${process.pid}-`));
}

/** What runs left that were killed: nobody else empties memory. A server that is still there ends when it misses its files. */
async function sweep(parent: string): Promise<void> {
  const left = (await readdir(parent)).filter(
    (name) => name.startsWith(prefix) && !isAlive(Number.parseInt(name.slice(prefix.length), 10)),
  );
  await Promise.all(left.map((name) => rm(join(parent, name), { recursive: true, force: true })));
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function makeMigrated(server: string): Promise<string> {
  const name = "migrated";
  const client = new Client({ connectionString: server });
  await client.connect();
  await client.query(`CREATE DATABASE ${name}`);
  await client.end();
  const url = new URL(server);
  url.pathname = `/${name}`;
  const database = new Database({ url: url.href, connections: 2 });
  await migrate(database);
  await database.close();
  return name;
}
