// One PostgreSQL for the whole test run; each file makes databases of its own (./postgres.ts).

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
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
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-test-db-"));
  const server = await startEmbeddedPostgres({ folder, fsync: false, maxConnections: 200 });
  project.provide("postgresUrl", server.url);
  project.provide("migratedDatabase", await makeMigrated(server.url));
  return async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  };
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
