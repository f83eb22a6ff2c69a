// docs/bugs.md: its commands name tests that there are.

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "..");
const page = readFileSync(join(root, "docs/bugs.md"), "utf8");
const commands = [...page.matchAll(/`npm run (unit|test:e2e) ([^`]*)`/g)].map(([, , words = ""]) => words.replaceAll(String.raw`\|`, "|"));

function pathsIn(command: string): readonly string[] {
  return command.match(/\b(?:src|test)\/[\w/.-]+/g) ?? [];
}

/** All that its tests may be called: of a file, and of the suites that it runs (`*.conformance.ts`); of a folder, of each file. */
function textOf(path: string): string {
  if (statSync(path).isDirectory())
    return readdirSync(path, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".test.ts"))
      .map((name) => textOf(join(path, name)))
      .join("\n");
  const text = readFileSync(path, "utf8");
  const suites = [...text.matchAll(/from "(\.\/[\w-]+\.conformance\.ts)"/g)].map(([, suite = ""]) => join(dirname(path), suite));
  return [text, ...suites.map((suite) => readFileSync(suite, "utf8"))].join("\n");
}

/** What a command has that there is not. */
function missingIn(command: string): readonly string[] {
  const paths = pathsIn(command);
  const absent = paths.filter((path) => !existsSync(join(root, path)));
  const [, pattern] = / -t "([^"]*)"/.exec(command) ?? [];
  if (absent.length > 0 || paths.length === 0 || pattern === undefined) return absent;
  const text = paths.map((path) => textOf(join(root, path))).join("\n");
  return pattern.split("|").filter((name) => !new RegExp(name).test(text));
}

test("files and tests that commands name are there", () => {
  expect(commands.length).toBeGreaterThan(100);
  expect(commands.filter((command) => missingIn(command).length > 0)).toEqual([]);
});

test("no row is there twice", () => {
  const beginnings = [...page.matchAll(/^\| .{60}/gm)].map(([beginning]) => beginning);
  expect(beginnings.filter((beginning, index) => beginnings.indexOf(beginning) < index)).toEqual([]);
});
