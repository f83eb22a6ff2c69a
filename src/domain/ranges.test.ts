import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { formatUploadRange, parseChunkRange, parseRange } from "./ranges.ts";

const part = (start: number, end: number) => ({ kind: "part", start, end });
const whole = { kind: "whole" };
const unsatisfiable = { kind: "unsatisfiable" };

describe("parseRange", () => {
  test.each([
    [undefined, 10, whole],
    ["bytes=0-4", 10, part(0, 4)],
    ["bytes=0-", 10, part(0, 9)],
    ["bytes=9-", 10, part(9, 9)],
    ["bytes=3-100", 10, part(3, 9)],
    ["bytes=-3", 10, part(7, 9)],
    ["bytes=-30", 10, part(0, 9)],
    ["Bytes=1-2", 10, part(1, 2)],
    ["bytes= 1-2 ", 10, part(1, 2)],
    ["bytes=10-", 10, unsatisfiable],
    ["bytes=99999999999999999999-", 10, unsatisfiable],
    ["bytes=-0", 10, unsatisfiable],
    ["bytes=0-", 0, whole],
    ["bytes=0-0", 0, whole],
    ["bytes=-5", 0, whole],
    ["bytes=1-", 0, unsatisfiable],
    ["bytes=0-1,3-4", 10, whole],
    ["bytes=5-4", 10, unsatisfiable],
    ["bytes=-", 10, whole],
    ["bytes=a-b", 10, whole],
    ["bytes=1", 10, whole],
    ["items=0-4", 10, whole],
    ["bytes 0-4", 10, whole],
    ["", 10, whole],
  ])("%s of %i", (header, size, expected) => {
    expect(parseRange(header, size)).toEqual(expected);
  });

  test("a part is never empty and never outside", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."bytes=-,0123456789 ".split("")) }), fc.nat(1000), (text, size) => {
        const range = parseRange(`bytes=${text}`, size);
        if (range.kind !== "part") return;
        expect(range.start).toBeGreaterThanOrEqual(0);
        expect(range.end).toBeGreaterThanOrEqual(range.start);
        expect(range.end).toBeLessThan(size);
      }),
    );
  });
});

describe("parseChunkRange", () => {
  test.each([
    ["0-0", { start: 0, end: 0 }],
    ["5-9", { start: 5, end: 9 }],
    ["9007199254740990-9007199254740991", { start: 9007199254740990, end: 9007199254740991 }],
  ])("%s", (header, expected) => {
    expect(parseChunkRange(header)).toEqual(expected);
  });

  test.each([
    "",
    "5",
    "5-",
    "-5",
    "9-5",
    "bytes 0-4/5",
    "bytes=0-4",
    "0-4/5",
    " 0-4",
    "0x1-2",
    "1e3-2e3",
    "9007199254740992-9007199254740993",
    "0-1,3-4",
  ])("%s is refused", (header) => {
    expect(parseChunkRange(header)).toBeUndefined();
  });
});

test("an upload's range has no unit and never ends before it starts", () => {
  expect([0, 1, 1024].map(formatUploadRange)).toEqual(["0-0", "0-0", "0-1023"]);
});
