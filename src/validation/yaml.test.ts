import { expect, test } from "vitest";

import { maxFileBytes, readYaml } from "./yaml.ts";

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

test("size and depth have limits", () => {
  expect(readYaml("a".repeat(maxFileBytes + 1)).problems).toEqual([{ line: undefined, message: "is larger than 3 MiB: split it" }]);
  expect(readYaml("[".repeat(200_000)).problems.map(({ message }) => message)).toEqual(["is nested more than 64 levels deep"]);
  expect(readYaml(`${"- ".repeat(100_000)}1`).problems.map(({ message }) => message)).toEqual(["is nested more than 64 levels deep"]);
});

test("a hundred thousand keys are read one by one, not each against each", () => {
  const text = Array.from({ length: 100_000 }, (_, index) => `k${index}: ${index}`).join("\n");
  expect(Object.keys(readYaml(text).documents[0]?.value as object)).toHaveLength(100_000);
});
