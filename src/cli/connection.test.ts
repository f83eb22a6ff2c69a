import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { connected } from "./connection.ts";

let data: string;
const here = "http://127.0.0.1:5000";

/** As a running process leaves it. */
beforeAll(() => {
  data = mkdtempSync(join(tmpdir(), "wharfinger-data-"));
  writeFileSync(join(data, "address"), `${here}\n`);
});
afterAll(() => rmSync(data, { recursive: true }));

test.each([
  ["the process of the data folder", {}, true],
  ["the same one by its address", { registry: here }, true],
  ["another one, and its data folder", { registry: "http://registry.example", dataGiven: true }, true],
  ["another one", { registry: "http://registry.example" }, false],
])("the record of %s", async (_, options, known) => {
  const record = await connected({ data, dataGiven: false, ...options }, async (connection) => connection.record);
  expect(record).toBe(known ? join(data, "record") : undefined);
});
