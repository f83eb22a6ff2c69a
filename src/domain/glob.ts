// Globs over repository names, as policies and Upstreams write them: `*` within a path segment, `**` any number of segments, none included.
// So `team-a/**` is team-a and everything below it, `*/nginx` is nginx one level down.

import { prefixOf } from "./reference.ts";

const segmentPattern = /^[a-z0-9._*-]+$/;

export function isGlob(text: string): boolean {
  return (
    text.length <= 255 && text.split("/").every((segment) => segmentPattern.test(segment) && (segment === "**" || !segment.includes("**")))
  );
}

/** `*` stands for any number of letters: what is between two is looked for once, as early as it can be. Nothing is kept but the text of patterns. */
function matchesSegment(pattern: string, segment: string): boolean {
  let star = pattern.indexOf("*");
  if (star < 0) return pattern === segment;
  const last = pattern.lastIndexOf("*");
  const tail = pattern.length - last - 1;
  const rest = segment.length - tail;
  if (rest < star) return false;
  for (let index = 0; index < star; index++) if (pattern.charCodeAt(index) !== segment.charCodeAt(index)) return false;
  for (let index = 1; index <= tail; index++) if (pattern.charCodeAt(last + index) !== segment.charCodeAt(rest + index - 1)) return false;
  let at = star;
  while (star < last) {
    const next = pattern.indexOf("*", star + 1);
    const found = segment.indexOf(pattern.slice(star + 1, next), at);
    if (found < 0) return false;
    at = found + next - star - 1;
    star = next;
  }
  return at <= rest;
}

/** `**` stands for any number of segments, likewise: as many as there are in the one times as many as in the other are compared at most. */
function matchesGlob(pattern: readonly string[], segments: readonly string[]): boolean {
  let stars = pattern.indexOf("**");
  if (stars < 0) return pattern.length === segments.length && holdsAt(pattern, 0, pattern.length, segments, 0);
  const last = pattern.lastIndexOf("**");
  const end = segments.length - (pattern.length - last - 1);
  if (end < stars || !holdsAt(pattern, 0, stars, segments, 0) || !holdsAt(pattern, last + 1, pattern.length, segments, end)) return false;
  let at = stars;
  while (stars < last) {
    const next = pattern.indexOf("**", stars + 1);
    const length = next - stars - 1;
    while (at + length <= end && !holdsAt(pattern, stars + 1, next, segments, at)) at += 1;
    at += length;
    if (at > end) return false;
    stars = next;
  }
  return true;
}

/** Whether the segments from `at` on are those of the pattern from `from` to `to`. */
// oxlint-disable-next-line max-params -- the innermost loop
function holdsAt(pattern: readonly string[], from: number, to: number, segments: readonly string[], at: number): boolean {
  for (let index = from; index < to; index++) if (!matchesSegment(pattern[index]!, segments[at + index - from]!)) return false;
  return true;
}

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
    return patterns.some((pattern) => matchesGlob(pattern, segments));
  };
}

/** `repositories` of a policy or an Upstream: true for names that a glob of `include` matches and none of `exclude`. */
export function compileSelector(selector: { readonly include: readonly string[]; readonly exclude: readonly string[] }): NameTest {
  const included = compileGlobs(selector.include);
  const excluded = compileGlobs(selector.exclude);
  return (name) => included(name) && !excluded(name);
}
