import { expect, test } from "vitest";

import { readLedger } from "./ledger-file.ts";
import { fileLimits, parseYaml } from "./yaml-file.ts";

const parse = (text: string) => parseYaml("a.yaml", Buffer.from(text), fileLimits.resource);

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

test("too much of it", () => {
  const message = "has more than 100000 parts (names, values, signs, lines): split it";
  expect(parse("]".repeat(200_000))).toEqual({ path: "a.yaml", line: undefined, message });
  expect(parse("x".repeat(262_145))).toEqual({ path: "a.yaml", line: undefined, message: "is 262145 bytes long; at most 262144 are read" });
});

test("deep enough for anything sensible", () => {
  expect(parse("[".repeat(60) + "]".repeat(60))).toHaveProperty("document");
});

test("empty, and of no document", () => {
  expect(parse("")).toEqual({ path: "a.yaml", line: undefined, message: "is empty" });
});
