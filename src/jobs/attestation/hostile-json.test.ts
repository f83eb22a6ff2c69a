import * as fc from "fast-check";
import { expect, test } from "vitest";

import { field, list, parseJson, text } from "./hostile-json.ts";

const limits = { maxDepth: 8, maxTokens: 50 };
const parse = (source: string) => parseJson(Buffer.from(source), limits);

test("what JSON.parse reads is read alike, within the limits", () => {
  const anything = fc.jsonValue({ depthSize: "small", maxDepth: 5 });
  fc.assert(
    fc.property(anything, (value) => {
      expect(parseJson(Buffer.from(JSON.stringify(value)), { maxDepth: 64, maxTokens: 1_000_000 })).toEqual(
        JSON.parse(JSON.stringify(value)),
      );
    }),
  );
});

test("any bytes are read or refused, and an own property is all that is ever found", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.constantFrom("__proto__", "constructor", "toString", "length"), (source, name) => {
      const value = parse(JSON.stringify({ source }));
      expect(field(value, name)).toBeUndefined();
      expect(text(field(value, "source"))).toBe(source);
    }),
  );
});

test.each([
  ["[[[[[[[[[]]]]]]]]]", "nested deeper than 8 levels"],
  [`[${"1,".repeat(60)}1]`, "more than 50 values"],
  ['{"a":', "not JSON"],
  ["", "not JSON"],
  ['"unterminated', "not JSON"],
  ['"\\', "not JSON"],
  ["\u{feff}{}", "not JSON"],
])("%s is refused", (source, message) => {
  expect(() => parse(source)).toThrow(message);
});

test("names count once each, however they are repeated, and texts are none", () => {
  const few = { maxDepth: 8, maxNames: 3 };
  const same = JSON.stringify(
    Array.from({ length: 20 }, (_, number) => ({ a: `"b${number}":`, b: { c: `${number}` } })),
    undefined,
    1,
  );
  expect(parseJson(Buffer.from(same), few)).toHaveLength(20);
  expect(parseJson(Buffer.from('["a","b","c","d","e"]'), few)).toHaveLength(5);
  for (const space of ["", " ", "\n\t "])
    expect(() => parseJson(Buffer.from(`{"a"${space}:1,"b"${space}:{"c"${space}:1},"d"${space}:1}`), few)).toThrow(
      "more than 3 different names",
    );
});

test("brackets inside of strings do not count, escaped quotes end nothing", () => {
  expect(parse(JSON.stringify({ a: '[[[[[[[[[[\\"[[[[' }))).toEqual({ a: '[[[[[[[[[[\\"[[[[' });
});

test("a field named __proto__ is a field", () => {
  const value = parse('{"__proto__":{"admin":"yes"},"list":[1]}');
  expect(field(field(value, "__proto__"), "admin")).toBe("yes");
  expect(field(value, "admin")).toBeUndefined();
  expect(list(field(value, "list"))).toEqual([1]);
  expect(({} as { admin?: string }).admin).toBeUndefined();
});
