import { expect, test } from "vitest";

import { explicitNames, nameHere, parsePrefix, parseRename, parseSelection, selects } from "./names.ts";

const options = {
  repositories: [],
  prefix: "old/",
  renames: [
    { from: "library", to: "hub" },
    { from: "library/nginx", to: "web/nginx" },
  ],
};

test.each([
  ["team/app", "old/team/app"],
  ["library", "hub"],
  ["library/redis", "hub/redis"],
  ["library/nginx", "web/nginx"],
  ["library/nginx/debug", "web/nginx/debug"],
  ["library2/nginx", "old/library2/nginx"],
])("%s is called %s here", (from, to) => {
  expect(nameHere(from, options)).toBe(to);
});

test("names are known without asking, unless one is a glob", () => {
  const named = (...repositories: string[]) => explicitNames({ ...options, repositories });
  expect(named("a", "b/c", "a")).toEqual(["a", "b/c"]);
  expect([named(), named("a", "b/**")]).toEqual([undefined, undefined]);
});

test("what is selected: all, or what one of the names or globs matches", () => {
  const select = (...repositories: string[]) => ["a", "a/b", "c"].filter(selects({ ...options, repositories }));
  expect(select()).toEqual(["a", "a/b", "c"]);
  expect(select("a/**")).toEqual(["a", "a/b"]);
  expect(select("a", "c")).toEqual(["a", "c"]);
});

test("how they are written", () => {
  expect([parsePrefix("old"), parsePrefix("old/deep/")]).toEqual(["old/", "old/deep/"]);
  expect(parseRename("a/b=c")).toEqual({ from: "a/b", to: "c" });
  expect(parseSelection("*/nginx")).toBe("*/nginx");
});

test.each(["", "/", "Old", "a//b"])("%j is no prefix", (text) => expect(() => parsePrefix(text)).toThrow("for example old/"));
test.each(["a", "a=", "=b", "a=b=c", "A=b", "a=*"])("%j is no rename", (text) => expect(() => parseRename(text)).toThrow("Write old=new"));
test.each(["", "a b", "A", "a**"])("%j selects nothing", (text) => expect(() => parseSelection(text)).toThrow("team-a/**"));
