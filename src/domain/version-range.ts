// `versions.semver` of a TagPolicy. People write ranges as Flux taught them (Masterminds: `>=1.25, <2`, `!=1.26.1`) or as npm does (`>=1.25 <2`).
// Both are read here; node-semver does the comparing. Package revisions do not count: 1.27.3-r2 is judged as 1.27.3.

import { Range, SemVer } from "semver";

import type { Version } from "./version.ts";

export interface VersionRange {
  readonly text: string;
  includes(version: Version): boolean;
}

/** What is wrong with a range, for the person who wrote it. */
export interface RangeProblem {
  readonly problem: string;
}

const maxRangeLength = 256;

interface Alternative {
  readonly all: Range;
  readonly none: readonly Range[];
}

/** Reads a range; never throws. */
export function parseVersionRange(text: string): VersionRange | RangeProblem {
  if (text.trim() === "") return { problem: "an empty range: leave the field out, or write >=0 for every version" };
  if (text.length > maxRangeLength) return { problem: `longer than ${maxRangeLength} characters` };
  if (/\d+\.[\dxX*]+\.[\dxX*]+\.\d/.test(text)) return { problem: `"${text}" has a number of four parts; ranges compare the first three` };
  try {
    const alternatives = text.split("||").map(readAlternative);
    return {
      text,
      includes: (version) => {
        const comparable = toSemver(version);
        return alternatives.some(({ all, none }) => all.test(comparable) && !none.some((range) => range.test(comparable)));
      },
    };
  } catch {
    return { problem: `"${text}" is not a version range. Examples: ">=1.25 <2", ">=1.25, <2", "~1.27", "^1.27.1", "1.x", ">=1 !=1.26.3"` };
  }
}

/** One side of `||`: everything must hold, and nothing behind `!=` may. */
function readAlternative(text: string): Alternative {
  const none: Range[] = [];
  const rest = normalize(text).replaceAll(/!=\s*([^\s]+)/g, (_, version: string) => {
    none.push(new Range(version, { includePrerelease: true }));
    return "";
  });
  if (rest.includes("!")) throw new TypeError("a stray !");
  return { all: new Range(rest.trim() === "" ? "*" : rest), none };
}

/** Masterminds' spelling as node-semver's: commas, `=>`, `=<`, and the leading zeros of calendar versions. */
function normalize(text: string): string {
  if (/,\s*(?:,|$)|^\s*,/.test(text)) throw new TypeError("an empty condition");
  return text
    .replaceAll(",", " ")
    .replaceAll("=>", ">=")
    .replaceAll("=<", "<=")
    .replaceAll(/(?<=^|[\s<>=~^v.])0+(?=\d)/g, "");
}

/** Three numbers and a pre-release, which is all that a range can judge; `_p1`, letters and a fourth part are left out. */
function toSemver(version: Version): SemVer {
  const [major = 0, minor = 0, patch = 0] = version.numbers;
  const before = version.suffixes.find(({ stage }) => stage < 0);
  const words = (before?.tokens ?? []).map((token) => String(token).replaceAll(/^-+|-+$/g, "")).filter((token) => token !== "");
  return new SemVer(`${major}.${minor}.${patch}${words.length === 0 ? "" : `-${words.join(".")}`}`);
}
