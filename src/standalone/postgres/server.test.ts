import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Client } from "pg";
import { afterEach, expect, test } from "vitest";

import { startEmbeddedPostgres } from "./server.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "wharfinger-pg-test-"));
  folders.push(made);
  return made;
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
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

test.runIf(process.getuid?.() === 0)(
  "as root without user namespaces: another user, and a clear message where it cannot enter",
  async () => {
    const closed = join(await folder(), "postgres");
    await expect(startEmbeddedPostgres({ folder: closed, forbidNamespace: true })).rejects.toThrow(
      /cannot enter .*wharfinger-pg-test.*chmod o\+x/,
    );
    const open = await mkdtemp("/var/tmp/wharfinger-open-");
    folders.push(open);
    const { chmod } = await import("node:fs/promises");
    await chmod(open, 0o755);
    const server = await startEmbeddedPostgres({ folder: join(open, "postgres"), forbidNamespace: true });
    expect(await query(server.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    await server.stop();
  },
);
