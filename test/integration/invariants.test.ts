// The checker of the chaos runs finds what it is to find: else their zero problems would say nothing.

import { afterAll, beforeAll, expect, test } from "vitest";

import { findViolations, type CheckedStore } from "../chaos/invariants.ts";
import { openOwnRegistry, pushBlob, type OwnRegistry } from "../support/own-registry.ts";

let registry: OwnRegistry;
beforeAll(async () => {
  registry = await openOwnRegistry();
  await pushBlob(registry.push, "team/app", Buffer.from("a layer"));
});
afterAll(() => registry.close());

async function violations(): Promise<string[]> {
  const store: CheckedStore = {
    list: () => registry.store.list(),
    read: async (key) => {
      const reader = await registry.store.open(key);
      const bytes = Buffer.alloc(reader.size);
      for (let at = 0; at < bytes.byteLength;) at += await reader.read(bytes.subarray(at), at);
      await reader.close();
      return bytes;
    },
  };
  return findViolations((sql) => registry.rows(sql), store, { collected: false });
}

test("5: usage that does not add up", async () => {
  expect(await violations()).toEqual([]);
  const [{ repository } = { repository: "" }] = await registry.rows<{ repository: string }>("SELECT repository FROM repository_usage");
  await registry.rows("INSERT INTO repository_usage (repository, bytes) VALUES ($1, 1), (999, 5)", [repository]);
  expect((await violations()).toSorted()).toEqual([
    `5: the repository ${repository} counts 8 bytes and holds 7`,
    "5: the repository 999 counts 5 bytes and holds 0",
  ]);
  await registry.rows("DELETE FROM repository_usage");
  expect(await violations()).toEqual([`5: the repository ${repository} counts 0 bytes and holds 7`]);
});

test("1: bytes that are gone", async () => {
  const [{ key }] = (await registry.rows("SELECT key FROM objects WHERE state = 'live'")) as [{ key: string }];
  await registry.store.delete([key]);
  expect(await violations()).toContainEqual(expect.stringMatching(/^1: the object .* is live and not in the store$/));
});
