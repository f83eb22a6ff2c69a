// A fresh database on the test run's server: an empty one, or one that has the schema.

import { randomBytes } from "node:crypto";

import { Client } from "pg";
import { inject } from "vitest";

export interface TestDatabase {
  readonly url: string;
  drop(): Promise<void>;
}

/** Makes an empty database; the caller migrates it. */
export function createDatabase(): Promise<TestDatabase> {
  return create("");
}

/**
 * A database of an installation of its own that has the newest schema and nothing else: a copy, for a migration takes several times as long.
 * What migrates it finds nothing to do.
 */
export async function createMigratedDatabase(): Promise<TestDatabase> {
  const made = await create(`TEMPLATE ${inject("migratedDatabase")}`);
  await run(made.url, "UPDATE installation SET id = gen_random_uuid(), created_at = now()");
  return made;
}

/** A copy of a database as it is now, as one restores from a backup. Nobody may be connected to it. */
export function copyDatabase(of: string): Promise<TestDatabase> {
  return create(`TEMPLATE ${new URL(of).pathname.slice(1)}`);
}

async function create(options: string): Promise<TestDatabase> {
  const server = inject("postgresUrl");
  const name = `test_${randomBytes(8).toString("hex")}`;
  // Files are copied as they are: what the log would get of them costs more.
  await run(server, `CREATE DATABASE ${name} ${options} STRATEGY file_copy`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => run(server, `DROP DATABASE ${name} WITH (FORCE)`) };
}

async function run(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
