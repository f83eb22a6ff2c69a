import * as fc from "fast-check";
import { expect, test } from "vitest";

import { formatDuration, milliseconds, parseDuration } from "./duration.ts";

test.each([
  ["0s", 0],
  ["1h30m", 5_400_000],
  ["1.5s", 1_500],
  ["100ms", 100],
  ["1m1ms", 60_001],
  ["168h", 604_800_000],
  ["0.1ms", 0],
])("%s is %d ms", (text, expected) => {
  expect(parseDuration(text)).toBe(expected);
});

test.each(["", "1", "h", "1d", "-1s", "+1s", "1 h", "1.s", ".5s", "1h ", "1e3s", "1us", `${"1".repeat(32)}s`])(
  "%j is no duration",
  (text) => {
    expect(parseDuration(text)).toBeUndefined();
  },
);

test("milliseconds names what it was given", () => {
  expect(() => milliseconds("soon")).toThrow(new RangeError('not a duration: "soon"'));
});

test("what is formatted parses back", () => {
  expect(formatDuration(5_400_000)).toBe("1h30m");
  expect(formatDuration(0)).toBe("0s");
  fc.assert(fc.property(fc.nat({ max: 10 * 365 * 86_400_000 }), (ms) => parseDuration(formatDuration(ms)) === ms));
});
