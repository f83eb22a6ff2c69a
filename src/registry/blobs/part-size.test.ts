import { expect, test } from "vitest";

import { copyRanges, partSize, smallestPart } from "./part-size.ts";

const gibibyte = 1024 ** 3;
const numbers = Array.from({ length: 10_000 }, (_, index) => index + 1);

test("ten thousand parts hold 7.8 TiB, none smaller than the one before, none larger than 5 GiB", () => {
  const sizes = numbers.map(partSize);
  expect(sizes.every((size, index) => size >= (sizes[index - 1] ?? smallestPart) && size <= 5 * gibibyte)).toBe(true);
  expect(sizes.reduce((sum, size) => sum + size, 0) / 1024 ** 4).toBeCloseTo(7.8, 1);
  // Ordinary images are in parts of one size, which some services want.
  expect(new Set(sizes.slice(0, 1000)).size).toBe(1);
});

test.each([1, smallestPart, 5 * gibibyte, 5 * gibibyte + 1, 700 * gibibyte + 3])(
  "%d bytes are copied without a gap, in parts of a size that counts",
  (size) => {
    const ranges = copyRanges(size);
    expect(ranges.map(({ start }) => start)).toEqual([0, ...ranges.slice(0, -1).map(({ end }) => end)]);
    expect(ranges.at(-1)?.end).toBe(size);
    const lengths = ranges.map(({ start, end }) => end - start);
    expect(lengths.every((length) => length <= 5 * gibibyte)).toBe(true);
    expect(lengths.slice(0, -1).every((length) => length >= smallestPart)).toBe(true);
  },
);
