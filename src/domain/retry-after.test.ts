import { expect, test } from "vitest";

import { readRetryAfter } from "./retry-after.ts";

const now = Date.UTC(2026, 10, 21, 12);

test.each([
  ["seconds", "17", 17],
  ["zero", "0", 1],
  ["a fraction", "1.2", 2],
  ["a date", "Sat, 21 Nov 2026 12:00:30 GMT", 30],
  ["a date in the past", "Sat, 21 Nov 2026 11:00:00 GMT", 1],
  ["a point in time (Docker Hub)", String(now / 1000 + 90), 90],
  ["a year", "31536000", 6 * 3600],
  ["nonsense", "soon", undefined],
  ["empty", "", undefined],
])("Retry-After: %s", (_, header, expected) => {
  expect(readRetryAfter({ "retry-after": header }, now)).toBe(expected);
});
