import { expect, test } from "vitest";

import { bytesOf, parseQuantity } from "./quantity.ts";

test.each([
  ["100Gi", 107_374_182_400],
  ["1k", 1_000],
  ["1Ki", 1_024],
  ["1.5M", 1_500_000],
  ["10", 10],
  [10, 10],
  ["0.0001k", 1],
])("%s is %d bytes", (quantity, expected) => {
  expect(parseQuantity(quantity)).toBe(expected);
});

test.each(["", "Gi", "-1", "1GB", "1 Gi", "1e3", "1m", -1, 1.5, Number.NaN])("%j is no quantity", (quantity) => {
  expect(parseQuantity(quantity)).toBeUndefined();
});

test("bytesOf names what it was given", () => {
  expect(() => bytesOf("much")).toThrow(new RangeError('not a quantity: "much"'));
});
