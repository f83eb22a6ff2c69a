// docs/design/threat-tests.md names tests for every threat to identity, tokens and rights: no number is missing, and each test exists.

import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const page = read("docs/design/threat-tests.md");

/** Cells of the rows of the table with this head. */
function table(head: string): string[][] {
  const rows = page.slice(page.indexOf(head)).split("\n\n")[0]?.split("\n").slice(2) ?? [];
  return rows.filter((row) => row.startsWith("| ")).map((row) => row.slice(2, -2).split(" | "));
}

/** Realms, shadowed names, cached content, sessions, tokens, enumeration, tenants, jobs, secrets, the admin surface. */
const rows = ["1", "7", "8", "10", "17", "18", "23", "24", "26", "28"];
const threats = table("| row |");

test("every row is there, with what stands against it", () => {
  expect([...new Set(threats.map(([row]) => row))]).toEqual(rows);
  expect(threats.filter((cells) => cells.length !== 4 || cells.includes(""))).toEqual([]);
});

test("every test is there, and every file is used", () => {
  const files = new Map(table("| short |").map(([short = "", file = ""]) => [short, read(file.replaceAll("`", ""))]));
  const named = threats.flatMap(([, , , tests = ""]) => tests.split("<br>"));
  const missing = named.filter((name) => {
    const [short = "", ...rest] = name.split(": ");
    const words = rest.join(": ");
    // A name that is nothing but what a row puts in says nothing.
    return /^[%$]?\w*$/.test(words) || files.get(short)?.includes(words) !== true;
  });
  expect(missing).toEqual([]);
  expect([...files.keys()].filter((short) => !named.some((name) => name.startsWith(`${short}: `)))).toEqual([]);
  expect(named.length).toBeGreaterThan(60);
});
