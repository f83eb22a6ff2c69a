import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { compareUpstream, compareVersions, isPreRelease, parseVersion, type Version } from "./version.ts";

const parse = (text: string): Version => {
  const version = parseVersion(text);
  if (version === undefined) throw new Error(`not a version: ${text}`);
  return version;
};

test.each([
  ["1.27.3-r2", "1.27.3-r2", "1.27.3"],
  ["1.27.3", "1.27.3", "1.27.3"],
  ["v1.2.3", "1.2.3", "1.2.3"],
  ["21", "21", "21"],
  ["1.27", "1.27", "1.27"],
  ["1.2.3.4-r0", "1.2.3.4-r0", "1.2.3.4"],
  ["8.432.06-r0", "8.432.06-r0", "8.432.06"],
  ["2024.01.15", "2024.01.15", "2024.01.15"],
  ["20241121093000", "20241121093000", "20241121093000"],
  ["9.9_p1-r2", "9.9_p1-r2", "9.9_p1"],
  ["1.1.1w", "1.1.1w", "1.1.1w"],
  ["0_git20240101-r1", "0_git20240101-r1", "0_git20240101"],
  ["2.0.0-rc.1", "2.0.0-rc.1", "2.0.0-rc.1"],
  ["2.0.0-rc.1-r3", "2.0.0-rc.1-r3", "2.0.0-rc.1"],
  ["2.0.0_rc1-r3", "2.0.0_rc1-r3", "2.0.0_rc1"],
  ["1.25.3-1", "1.25.3-1", "1.25.3"],
  ["1.24.0-2ubuntu7.1", "1.24.0-2ubuntu7.1", "1.24.0"],
  ["1.22.1-9+deb12u1", "1.22.1-9+deb12u1", "1.22.1"],
  ["1.2.3+build.5", "1.2.3+build.5", "1.2.3+build.5"],
])("%s is read", (text, full, upstream) => {
  expect(parse(text)).toMatchObject({ full, upstream });
});

test.each([
  "",
  "latest",
  "v",
  "1.2.3.4.5",
  "1..2",
  ".1",
  "1.",
  "1:2.3",
  "1.2.3~rc1",
  "1.2.3 ",
  " 1.2.3",
  "1.2.3-",
  "1.2.3\n",
  "vv1",
  "1.2.3-r2-",
  "-1",
  "1,2",
  "9".repeat(16),
  `1.${"0".repeat(100)}`,
])("%j is no version", (text) => {
  expect(parseVersion(text)).toBeUndefined();
});

test("oldest first", () => {
  const ordered = [
    "0_git20240101",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-beta2",
    "1.0.0-beta10",
    "1.0.0_rc1",
    "1.0",
    "1.0.0",
    "1.0.0-r1",
    "1.0.0-r2",
    "1.0.0-r10",
    "1.0.0_p1",
    "1.0.0_p1-r1",
    "1.0.1",
    "1.0.1a",
    "1.0.1b-r1",
    "1.2.9",
    "1.10.0",
    "8.432.05",
    "8.432.06-r1",
    "21.0.5",
    "2024.01.15",
    "2024.2.1",
  ];
  const shuffled = ordered.toReversed().map(parse);
  expect(shuffled.sort(compareVersions).map(({ full }) => full)).toEqual(ordered);
});

test("package revisions do not count upstream", () => {
  expect(compareUpstream(parse("1.27.3-r2"), parse("1.27.3-r9"))).toBe(0);
  expect(compareUpstream(parse("1.27.3-r2"), parse("1.27.4-r0"))).toBeLessThan(0);
});

test("pre-releases are known", () => {
  expect(["2.0.0-rc.1", "2.0.0_beta3-r1", "2.0.0-SNAPSHOT"].map((text) => isPreRelease(parse(text)))).toEqual([true, true, true]);
  expect(["2.0.0-r1", "2.0.0_p1", "2.0.0-1ubuntu2", "1.1.1w"].map((text) => isPreRelease(parse(text)))).toEqual([
    false,
    false,
    false,
    false,
  ]);
});

describe("the order is total", () => {
  const number = fc.oneof(fc.nat({ max: 3 }), fc.nat()).map(String);
  const versions = fc
    .record({
      numbers: fc.array(number, { minLength: 1, maxLength: 4 }),
      letter: fc.constantFrom("", "", "a", "w"),
      suffix: fc.constantFrom("", "", "_rc1", "_p2", "-rc.1", "-beta", "-rc10", "_git20240101"),
      revision: fc.constantFrom("", "-r0", "-r1", "-r10", "-1", "-1ubuntu2"),
    })
    .map(({ numbers, letter, suffix, revision }) => parse(numbers.join(".") + letter + suffix + revision));

  test("antisymmetric, and zero only for the same text", () => {
    fc.assert(
      fc.property(versions, versions, (a, b) => {
        expect(Math.sign(compareVersions(a, b)) + Math.sign(compareVersions(b, a))).toBe(0);
        expect(compareVersions(a, b) === 0).toBe(a.full === b.full);
      }),
    );
  });

  test("transitive", () => {
    fc.assert(
      fc.property(versions, versions, versions, (a, b, c) => {
        const [x = a, y = b, z = c] = [a, b, c].sort(compareVersions);
        expect([compareVersions(x, y), compareVersions(y, z), compareVersions(x, z)].filter((order) => order > 0)).toEqual([]);
      }),
    );
  });
});

test("any text is answered, and what is read is the text", () => {
  const characters = fc.constantFrom(..."0123456789.-_+rvwabc ~:".split(""));
  fc.assert(
    fc.property(fc.array(characters, { maxLength: 12 }), (pieces) => {
      const text = pieces.join("");
      expect([undefined, text.replace(/^v/, "")]).toContain(parseVersion(text)?.full);
    }),
    { numRuns: 2000 },
  );
});
