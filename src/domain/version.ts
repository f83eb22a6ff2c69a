// Versions as packages write them, not as semver wishes them: 1.27.3-r2, 21.0.5, v1.2, 8.432.06, 2024.01.15, 9.9_p1-r2, 1.1.1w, 2.0.0-rc.1.
// The order is total: two versions compare as equal only when they are written alike.

export interface Version {
  /** As written, without a leading `v`: 1.27.3-r2. */
  readonly full: string;
  /** Without the package revision: 1.27.3. */
  readonly upstream: string;
  /** One to four numbers. */
  readonly numbers: readonly number[];
  /** `w` of 1.1.1w. */
  readonly letter: string;
  readonly suffixes: readonly Suffix[];
  /** [2] for apk's `-r2`, [1, "ubuntu", 2] for `-1ubuntu2`; empty when there is none. What follows `-` and starts with a digit is a package's. */
  readonly revision: Tokens;
}

type Tokens = readonly (string | number)[];

/** `_rc1` and `-rc.1` sort before the release, apk's `_p1` and `_git…` behind it. */
interface Suffix {
  readonly stage: -1 | 1;
  readonly tokens: Tokens;
}

export const maxVersionLength = 100;

const pattern = new RegExp(
  [
    "^[vV]?(?<upstream>",
    "(?<numbers>\\d{1,15}(?:\\.\\d{1,15}){0,3})",
    "(?<letter>[a-z])?",
    "(?<apk>(?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)\\d{0,15}){0,4})",
    "(?<semver>-(?=[A-Za-z])(?!r\\d+(?:\\+|$))[0-9A-Za-z-]+?(?:\\.[0-9A-Za-z-]+?)*)?",
    ")(?:-r?(?<revision>\\d[0-9A-Za-z.]*))?",
    "(?<build>\\+[0-9A-Za-z.-]+)?$",
  ].join(""),
);
const postStages = new Set(["cvs", "svn", "git", "hg", "p"]);

/** The version in `text`, or undefined when it is not one. */
export function parseVersion(text: string): Version | undefined {
  if (text.length > maxVersionLength || text.endsWith("-")) return undefined;
  const groups = pattern.exec(text)?.groups;
  if (groups === undefined) return undefined;
  const revision = groups["revision"] ?? "";
  return {
    full: text.replace(/^[vV]/, ""),
    upstream: (groups["upstream"] ?? "") + (revision === "" ? (groups["build"] ?? "") : ""),
    numbers: (groups["numbers"] ?? "").split(".").map(Number),
    letter: groups["letter"] ?? "",
    suffixes: [...apkSuffixes(groups["apk"] ?? ""), ...semverSuffix(groups["semver"])],
    revision: tokenize(revision),
  };
}

function apkSuffixes(text: string): Suffix[] {
  return [...text.matchAll(/_([a-z]+)(\d*)/g)].map(([, word = "", number = ""]) => ({
    stage: postStages.has(word) ? 1 : -1,
    tokens: number === "" ? [word] : [word, Number(number)],
  }));
}

/** `-rc.10` and `-rc10` are both [rc, 10], so that rc10 comes after rc2. */
function semverSuffix(text: string | undefined): Suffix[] {
  if (text === undefined) return [];
  return [{ stage: -1, tokens: tokenize(text.slice(1)) }];
}

function tokenize(text: string): Tokens {
  return [...text.matchAll(/\d{1,15}|[^\d.]+/g)].map(([token]) => (/^\d/.test(token) ? Number(token) : token));
}

/** Negative when `a` is older. Package revisions count; texts decide between 1.27 and 1.27.0. */
export function compareVersions(a: Version, b: Version): number {
  return compareUpstream(a, b) || compareLists(a.revision, b.revision, compareToken) || compareText(a.full, b.full);
}

/** The same without package revisions: 1.27.3-r2 and 1.27.3-r3 are equal. */
export function compareUpstream(a: Version, b: Version): number {
  return (
    compareLists(a.numbers, b.numbers, (x = 0, y = 0) => x - y) ||
    compareText(a.letter, b.letter) ||
    compareLists(a.suffixes, b.suffixes, compareSuffix)
  );
}

/** True for 2.0.0-rc.1 and 2.0.0_rc1, false for 9.9_p1. */
export function isPreRelease(version: Version): boolean {
  return version.suffixes.some(({ stage }) => stage < 0);
}

function compareSuffix(a: Suffix | undefined, b: Suffix | undefined): number {
  return (a?.stage ?? 0) - (b?.stage ?? 0) || compareLists(a?.tokens ?? [], b?.tokens ?? [], compareToken);
}

/** Semver's rule: nothing, then numbers, then words. */
function compareToken(a: string | number | undefined, b: string | number | undefined): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "string" && typeof b === "string") return compareText(a, b);
  return rank(a) - rank(b);
}

function rank(token: string | number | undefined): number {
  if (token === undefined) return 0;
  return typeof token === "number" ? 1 : 2;
}

function compareLists<T>(a: readonly T[], b: readonly T[], compare: (a: T | undefined, b: T | undefined) => number): number {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const order = compare(a[index], b[index]);
    if (order !== 0) return order;
  }
  return 0;
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
