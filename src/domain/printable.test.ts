import { expect, test } from "vitest";
import { parse, stringify } from "yaml";

import { escapedControls, everyText, printable, printableLine, printableLines } from "./printable.ts";

const title = "a\u001b]0;pwned\u0007\u001b[31mFAKE\u009b2J\u007f";

test("nothing that a terminal obeys is left", () => {
  const plain = "a\u{fffd}]0;pwned\u{fffd}\u{fffd}[31mFAKE\u{fffd}2J\u{fffd}";
  expect([printable(title, 100), printableLines(title), printableLine(title)]).toEqual([plain, plain, plain]);
  expect(printable(title, 4)).toBe("a\u{fffd}]…");
});

test("lines stay lines, or become one", () => {
  const text = "\nname\r\nchecked:\teverything holds\n\n  twice\rover";
  expect(printableLines(text)).toBe("\nname\nchecked: everything holds\n\n  twice\u{fffd}over");
  expect(printableLine(text)).toBe("name checked: everything holds twice\u{fffd}over");
  expect(printableLine("\ud800")).toBe("\u{fffd}");
});

test("every text of a value, names of its fields too", () => {
  expect(everyText({ a: ["b", { c: "d" }], e: 1, f: null, g: undefined, h: true }, (text) => text.toUpperCase())).toEqual({
    A: ["B", { C: "D" }],
    E: 1,
    F: null,
    G: undefined,
    H: true,
  });
});

test("JSON and YAML say the same, with escapes", () => {
  const value = { [title]: title, lines: ["a\u009bb\n c", "\u0085", "plain"] };
  for (const [text, read] of [
    [JSON.stringify(value, null, 2), JSON.parse],
    [stringify(value, { lineWidth: 0 }), parse],
  ] as const) {
    const escaped = escapedControls(text);
    expect((read as (text: string) => unknown)(escaped)).toEqual(value);
    expect(escaped).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  }
});
