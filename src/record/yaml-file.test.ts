import { expect, test } from "vitest";

import { readLedger } from "./ledger-file.ts";
import { maxFileBytes, parseYaml } from "./yaml-file.ts";

const parse = (text: string) => parseYaml("a.yaml", Buffer.from(text), maxFileBytes.resource);

test.each([
  ["brackets", "[".repeat(30_000) + "]".repeat(30_000)],
  ["brackets that nobody closes", "[".repeat(60_000)],
  ["braces", "{a: ".repeat(30_000)],
  ["dashes", `${"- ".repeat(30_000)}1`],
  ["a level too many", "[".repeat(65) + "]".repeat(65)],
])("nested too deep: %s", (_, text) => {
  expect(parse(text)).toEqual({ path: "a.yaml", line: undefined, message: "is nested more than 64 levels deep" });
});

test("a ledger nested too deep", () => {
  expect(readLedger("ledgers/a.yaml", Buffer.from("[".repeat(30_000)))).toMatchObject({ message: "is nested more than 64 levels deep" });
});

test("deep enough for anything sensible", () => {
  expect(parse("[".repeat(60) + "]".repeat(60))).toHaveProperty("document");
});

test("empty, and of no document", () => {
  expect(parse("")).toEqual({ path: "a.yaml", line: undefined, message: "is empty" });
});
