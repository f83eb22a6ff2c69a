// Runs that are under way when a registry process starts: another process' job goes on, unless there can be none.

import { cp } from "node:fs/promises";
import { basename, join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { Database } from "../../src/registry/metadata/database.ts";
import { startTestRegistry, type TestRegistry } from "../support/registry.ts";

let first: TestRegistry;
let database: Database;
beforeEach(async () => {
  first = await startTestRegistry({ pod: "pod-1" });
  database = new Database({ url: first.databaseUrl });
  await database.query({ name: "", text: "INSERT INTO runs (kind, policy, trigger) VALUES ('prune', 'default/keep', 'schedule')" });
});
afterEach(async () => {
  await database.close();
  await first.stop();
});

/** What the run is once another process has started on the same database. */
async function afterStartOf(part: { pod?: string; alone?: boolean }): Promise<unknown> {
  // A folder is one process's; a copy of it has the same marker.
  const blobs = join(first.folder, "copy");
  await cp(join(first.folder, "blobs"), blobs, { recursive: true, filter: (path) => !basename(path).startsWith("claim.") });
  const second = await startTestRegistry({ database: { url: first.databaseUrl }, blobs: { folder: blobs }, ...part });
  await second.stop();
  const [run] = await database.query({ name: "", text: "SELECT state, result FROM runs" });
  return run;
}

test.each([{ pod: "pod-2" }, { pod: "pod-1" }, {}])("a process that is one of several (%o) ends no run", async (part) => {
  expect(await afterStartOf(part)).toEqual({ state: "running", result: null });
});

test("one that is alone ends them all", async () => {
  expect(await afterStartOf({ pod: "pod-1", alone: true })).toEqual({
    state: "failed",
    result: { message: "The process ended before the run did." },
  });
});
