// Globs over repository names, as policies and Upstreams write them: `*` within a path segment, `**` any number of segments, none included.
// So `team-a/**` is team-a and everything below it, `*/nginx` is nginx one level down.

import { prefixOf } from "./reference.ts";

const segmentPattern = /^[a-z0-9._*-]+$/;

export function isGlob(text: string): boolean {
  return (
    text.length <= 255 && text.split("/").every((segment) => segmentPattern.test(segment) && (segment === "**" || !segment.includes("**")))
  );
}

/**
 * Whether `pattern` matches all of `text`, both letter by letter or both segment by segment; `wildcard` stands for any number of them.
 * At most |pattern| × |text| steps.
 */
function matches<T>(pattern: ArrayLike<T>, text: ArrayLike<T>, wildcard: T, equal: (pattern: T, text: T) => boolean): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    const wanted = pattern[p];
    if (wanted === wildcard) {
      star = p;
      p += 1;
      resume = t;
    } else if (wanted !== undefined && equal(wanted, text[t]!)) {
      p += 1;
      t += 1;
    } else if (star >= 0) {
      // Only the last wildcard needs another try: what came before it already matched as early as it could.
      resume += 1;
      t = resume;
      p = star + 1;
    } else {
      return false;
    }
  }
  while (pattern[p] === wildcard) p += 1;
  return p === pattern.length;
}

const isSameLetter = (pattern: string, letter: string) => pattern === letter;
const matchesSegment = (pattern: string, segment: string) => matches(pattern, segment, "*", isSameLetter);

/** First segments of the names that the globs can match; undefined: any. */
export function firstSegments(globs: readonly string[]): ReadonlySet<string> | undefined {
  const segments = globs.map((glob) => prefixOf(glob));
  return segments.some((segment) => segment.includes("*")) ? undefined : new Set(segments);
}

export type NameTest = (name: string) => boolean;

/** True for names that one of the globs matches. */
export function compileGlobs(globs: readonly string[]): NameTest {
  const patterns = globs.map((glob) => glob.split("/"));
  return (name) => {
    const segments = name.split("/");
    return patterns.some((pattern) => matches(pattern, segments, "**", matchesSegment));
  };
}

/** `repositories` of a policy or an Upstream: true for names that a glob of `include` matches and none of `exclude`. */
export function compileSelector(selector: { readonly include: readonly string[]; readonly exclude: readonly string[] }): NameTest {
  const included = compileGlobs(selector.include);
  const excluded = compileGlobs(selector.exclude);
  return (name) => included(name) && !excluded(name);
}
