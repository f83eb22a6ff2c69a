import { execFileSync } from "node:child_process";

import { expect, test } from "vitest";

import { shellWord } from "./shell-word.ts";

test.each(["data", "/srv/wharfinger data", "it's", "$HOME", "", "a;b", "~", "*", "with \"both' kinds"])(
  "a shell reads %j as one word",
  (text) => {
    expect(execFileSync("sh", ["-c", `printf %s ${shellWord(text)}`], { encoding: "utf8" })).toBe(text);
  },
);

test("plain words stay plain", () => {
  expect(["data", "../my-data", "/srv/w.d/data"].map(shellWord)).toEqual(["data", "../my-data", "/srv/w.d/data"]);
});
