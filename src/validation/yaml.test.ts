import { expect, test } from "vitest";
import { LineCounter } from "yaml";

import { maxFileBytes, maxParts, parseWithin, readYaml } from "./yaml.ts";

const anchor = "has an anchor (&): write the value out where it is needed, anchors are not read";
const alias = "has an alias (*): write the value out, aliases are not read";
const tag = "has a tag (!): tags are not read, put text in quotes instead";

test.each([
  ["a: &x 1", [[1, anchor]]],
  [
    "a: &x {}\nb: *x",
    [
      [1, anchor],
      [2, alias],
    ],
  ],
  ["a: &x [1]", [[1, anchor]]],
  ["b:\n  <<: {c: 1}", [[2, "has a merge key (<<): write the fields out, merge keys are not read"]]],
  ["a: !!binary aGk=", [[1, tag]]],
  ["a: !!str 5", [[1, tag]]],
  ["a: !custom {}", [[1, tag]]],
  ["a: 1\nb: 2\na: 3", [[3, 'has the key "a" twice: remove one of them']]],
  ["a: [1", [[1, "is no YAML: Flow sequence in block collection must be sufficiently indented and end with a ]"]]],
  ["x: 1\na: b: c", [[2, "is no YAML: Nested mappings are not allowed in compact mappings"]]],
  ["? [a]\n: 1", [[1, "is no YAML: With stringKeys, all keys must be strings"]]],
])("%j is refused", (text, expected) => {
  const { documents, problems } = readYaml(text);
  expect(documents).toEqual([]);
  expect(problems.map(({ line, message }) => [line, message])).toEqual(expected);
});

test("one malformed document does not take the others along", () => {
  const { documents, problems } = readYaml("a: 1\n---\nb: &x 2\n---\nc: 3\n");
  expect(documents.map(({ value }) => value)).toEqual([{ a: 1 }, { c: 3 }]);
  expect(problems.map(({ line }) => line)).toEqual([3]);
});

test("empty documents are passed over", () => {
  expect(readYaml("---\n# nothing\n---\n---\na: 1\n").documents).toHaveLength(1);
  expect(readYaml("")).toEqual({ documents: [], problems: [] });
});

test("values that look like something else are text, as YAML 1.2 says", () => {
  expect(readYaml("a: yes\nb: 2026-01-01\nc: 0o7\nd: 1.0").documents[0]?.value).toEqual({ a: "yes", b: "2026-01-01", c: 7, d: 1 });
});

test("fields know their lines; a missing one has that of what is around it", () => {
  const document = readYaml("# first\nspec:\n  images:\n    - repository: a\n    - package: b\n  'a/b': 1\n").documents[0];
  const line = (path: string) => document?.lineOf(path);
  expect(["spec", "spec.images", "spec.images[1]", "spec.images[1].package", 'spec["a/b"]'].map(line)).toEqual([2, 3, 5, 5, 6]);
  expect(["spec.images[1].repository", "spec.nothing", "spec.images[7].x", ""].map(line)).toEqual([5, 2, 3, 2]);
});

const secret = "hunter2";

test.each([`a: "${secret}`, `a: @${secret}`, `a: !${secret} x`, `a: ${secret}: b: c`, `{a: ${secret}`, `- a\n${secret}`, `a: *${secret}`])(
  "what is wrong with %s quotes no value",
  (text) => {
    const { problems } = readYaml(text);
    expect(problems).not.toEqual([]);
    expect(JSON.stringify(problems)).not.toContain(secret);
  },
);

test("size, depth and parts have limits", () => {
  const said = (text: string) => readYaml(text).problems.map(({ line, message }) => [line, message]);
  expect(said("a".repeat(maxFileBytes + 1))).toEqual([[undefined, "is larger than 3 MiB: split it"]]);
  const deep = [[undefined, "is nested more than 64 levels deep"]];
  expect(said("[".repeat(1_000_000))).toEqual(deep);
  expect(said(`${"- ".repeat(100_000)}1`)).toEqual(deep);
  expect(said("a: ".repeat(1_000_000))).toEqual(deep);
  const many = [[undefined, "has more than 100000 parts (names, values, signs, lines): split it"]];
  expect(said("]".repeat(1_000_000))).toEqual(many);
  expect(said(`a: |\n${"  b\n".repeat(700_000)}`)).toEqual(many);
});

test.each([
  ["[", 100],
  ["{a: ", 1_000],
  ["- ", 1_000],
  ["a: ", 1_000],
  ["? ", 1_000],
])("%j over and over is given up where it is too deep, whatever comes after", (sign, mostRead) => {
  const read: number[] = [];
  const lines = new LineCounter();
  lines.addNewLine = (offset) => read.push(offset);
  // A line break is told of when it is read: none of those after the nesting is.
  const text = `${sign.repeat(mostRead)}\n${"\n".repeat(1_000_000)}`;
  const parsed = parseWithin(text, { lines, maxParts, composer: {} });
  expect(parsed).toEqual({ refused: "is nested more than 64 levels deep" });
  expect(read).toEqual([0]);
});

test("exactly as deep and as much as is allowed", () => {
  expect(readYaml("[".repeat(64) + "]".repeat(64)).problems).toEqual([]);
  expect(readYaml("[".repeat(65) + "]".repeat(65)).problems).toHaveLength(1);
  const keys = (count: number) => Array.from({ length: count }, (_, index) => `k${index}: ${index}`).join("\n");
  expect(Object.keys(readYaml(keys(14_000)).documents[0]?.value as object)).toHaveLength(14_000);
  expect(readYaml(keys(16_000)).problems).toHaveLength(1);
});

test("of very many problems the first are named, the others counted", () => {
  const { problems } = readYaml("- &a b\n".repeat(1_000));
  expect(problems.slice(0, 20).map(({ line }) => line)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  expect(problems.slice(20)).toEqual([{ line: undefined, message: "has 980 more problems like these" }]);
});

test("errors have their stacks again afterwards", () => {
  const limit = Error.stackTraceLimit;
  readYaml("a: [");
  expect([limit > 0, Error.stackTraceLimit]).toEqual([true, limit]);
});
