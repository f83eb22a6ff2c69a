import { expect, test } from "vitest";

import { parseVersion } from "./version.ts";
import { parseVersionRange } from "./version-range.ts";

function includes(range: string, text: string): boolean {
  const parsed = parseVersionRange(range);
  const version = parseVersion(text);
  if ("problem" in parsed) throw new Error(parsed.problem);
  if (version === undefined) throw new Error(`not a version: ${text}`);
  return parsed.includes(version);
}

// What Masterminds/semver and node-semver agree on, spelled as either would.
test.each([
  [">=1.25 <2", ["1.25.0", "1.27.3-r2", "1.99"], ["2.0.0", "1.24.9"]],
  [">=1.25, <2", ["1.25.0", "1.27.3-r2"], ["2.0.0", "1.24.9"]],
  [">= 1.25 , < 2.0.0", ["1.25", "1.27.3-r2"], ["2", "1.24.9"]],
  ["=>1.25, =<1.27", ["1.25", "1.27.9"], ["1.28.0", "1.24"]],
  ["!=1.26.1", ["1.26.0", "1.26.2-r1"], ["1.26.1", "1.26.1-r4"]],
  [">=1, != 1.26.x, <2", ["1.25.4", "1.27"], ["1.26.0", "1.26.9-r1", "2"]],
  ["!=1", ["0.9", "2.1"], ["1.0.0", "1.9.9"]],
  ["~1.27", ["1.27.0", "1.27.9-r1"], ["1.28.0", "1.26.9"]],
  ["~>1.27.3", ["1.27.3", "1.27.9"], ["1.28.0"]],
  ["^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0", "0.2.2"]],
  ["1.x || 2.5.x || 5.0.0 - 7.2.3", ["1.2.3", "2.5.0", "5.0.0", "7.2.3"], ["2.4.9", "4.9", "7.2.4"]],
  ["*", ["0.0.1", "21"], ["2.0.0-rc.1"]],
  [">=0", ["1"], []],
  [">11", ["12.0.0"], ["11.1.0"]],
  [">=2024.01.15", ["2024.01.15", "2024.1.16", "2024.02.01"], ["2024.01.14"]],
  ["v1.27.3", ["1.27.3-r2"], ["1.27.4"]],
  [">=1.1.1", ["1.1.1w", "9.9_p1-r2", "1.2.3.4"], ["1.1.0.9"]],
  [">=2.0.0-rc.1 <3", ["2.0.0-rc.2", "2.0.0_rc3-r1", "2.0.0"], ["2.0.0-beta.1", "2.1.0-rc.1"]],
  [">=2 <3", ["2.0.0"], ["2.0.1-rc.1"]],
])("%s", (range, inside, outside) => {
  expect(inside.filter((text) => !includes(range, text))).toEqual([]);
  expect(outside.filter((text) => includes(range, text))).toEqual([]);
});

test.each(["", "  ", "latest", ">=1.2.3.4", "1.2.3 |", "!", ">=1 !", "!!1.2", ">=1,,<2", ",1", "1,", "^^1", ">=a.b", "x".repeat(300)])(
  "%j is refused with what to do",
  (range) => {
    const parsed = parseVersionRange(range);
    expect("problem" in parsed && parsed.problem).toMatch(/./);
  },
);
