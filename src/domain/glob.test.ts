import * as fc from "fast-check";
import { expect, test } from "vitest";

import { compileGlobs, compileSelector, isGlob } from "./glob.ts";

const matchesGlob = (glob: string, name: string) => compileGlobs([glob])(name);

test.each([
  ["**", "a", true],
  ["**", "a/b/c", true],
  ["team-a/**", "team-a/api", true],
  ["team-a/**", "team-a/api/web", true],
  ["team-a/**", "team-a", true],
  ["team-a/**", "team-ab/api", false],
  ["team-a/*", "team-a/api", true],
  ["team-a/*", "team-a/api/web", false],
  ["*", "a/b", false],
  ["*/nginx", "cgr/nginx", true],
  ["**/nginx", "nginx", true],
  ["**/nginx", "a/b/nginx", true],
  ["a/**/z", "a/z", true],
  ["a/**/z", "a/b/c/z", true],
  ["a/**/b/**/z", "a/b/x/b/z", true],
  ["a/**/b/*/z", "a/b/b/c/z", true],
  ["lib*", "library", true],
  ["l*b*y", "library", true],
  ["l*b*z", "library", false],
  ["a.c", "abc", false],
  ["nginx", "nginx", true],
  ["nginx", "Nginx", false],
])("%s on %s: %s", (glob, name, expected) => {
  expect(matchesGlob(glob, name)).toBe(expected);
});

test.each(["", "/a", "a/", "a//b", "A", "a**", "**a", "***", "a/b**/c", "a?", "[a]", "{a,b}", "!a", "a".repeat(256)])(
  "%j is no glob",
  (text) => {
    expect(isGlob(text)).toBe(false);
  },
);

const segment = fc.stringMatching(/^[ab]{1,3}$/);
const name = fc.array(segment, { minLength: 1, maxLength: 5 }).map((parts) => parts.join("/"));
const globSegment = fc.oneof(
  { weight: 1, arbitrary: fc.constant("**") },
  { weight: 3, arbitrary: fc.stringMatching(/^[ab*]{1,3}$/).map((text) => text.replaceAll(/\*+/g, "*")) },
);
const glob = fc.array(globSegment, { minLength: 1, maxLength: 5 }).map((parts) => parts.join("/"));

/** The definition, word for word; exponential, but short inputs do not mind. */
function matchesByDefinition([pattern, ...patterns]: readonly string[], segments: readonly string[]): boolean {
  if (pattern === undefined) return segments.length === 0;
  if (pattern === "**") return [...segments, ""].some((_, taken) => matchesByDefinition(patterns, segments.slice(taken)));
  const [segment, ...rest] = segments;
  return segment !== undefined && new RegExp(`^${pattern.replaceAll("*", ".*")}$`).test(segment) && matchesByDefinition(patterns, rest);
}

test("agrees with the definition", () => {
  fc.assert(
    fc.property(glob, name, (pattern, text) => {
      expect(isGlob(pattern)).toBe(true);
      expect(matchesGlob(pattern, text)).toBe(matchesByDefinition(pattern.split("/"), text.split("/")));
    }),
    { numRuns: 5_000 },
  );
});

test("steps grow with the product of the lengths, not exponentially", () => {
  // Exponential matching of these would not end within anybody's lifetime.
  expect(matchesGlob(`${"a*".repeat(100)}b`, "a".repeat(250))).toBe(false);
  expect(matchesGlob(`${"**/a/".repeat(40)}b`, "a/".repeat(120) + "c")).toBe(false);
});

test("excluded beats included", () => {
  const selector = { include: ["team-a/**", "shared"], exclude: ["team-a/secret/**"] };
  expect(["team-a/api", "shared", "team-a/secret/x", "other"].map(compileSelector(selector))).toEqual([true, true, false, false]);
});
