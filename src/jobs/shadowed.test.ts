// What the result of a run says of shadowed tags, whatever the registry answers.

import { expect, test } from "vitest";

import { ClientError } from "../client/errors.ts";
import { shadowedOf, ShadowTally } from "./shadowed.ts";

test("a registry that does not answer, or is older than the question, leaves it unknown", async () => {
  const failing = (failure: Error, signal = new AbortController().signal) => ({
    control: { shadowedTags: () => Promise.reject(failure) },
    signal,
  });
  await expect(shadowedOf(failing(new ClientError("NotFound", "no such route", { status: 404 })), "a/b")).resolves.toEqual({
    total: 0,
    tags: [],
    unknown: "no such route",
  });
  await expect(shadowedOf(failing(new TypeError("a mistake")), "a/b")).rejects.toThrow("a mistake");
  const ended = failing(new ClientError("Unreachable", "aborted"), AbortSignal.abort(new Error("the policy is gone")));
  await expect(shadowedOf(ended, "a/b")).rejects.toThrow("the policy is gone");
});

test("all images together: at most twenty are named, all are counted, and why something is not known", () => {
  const tally = new ShadowTally();
  expect(tally.result()).toBeUndefined();
  tally.note("a/none", { total: 0, tags: [] });
  expect(tally.result()).toBeUndefined();
  tally.note("a/away", { total: 0, tags: [], unknown: "away" });
  expect(tally.result()).toEqual({ total: 0, tags: [], unknown: { images: 1, message: "away" } });
  const tags = (name: string) => Array.from({ length: 15 }, (_, index) => `${name}${index}`);
  tally.note("a/one", { total: 15, tags: tags("x") });
  tally.note("a/two", { total: 40, tags: tags("y") });
  tally.note("a/refused", { total: 0, tags: [], unknown: "refused" });
  expect(tally.result()).toEqual({
    total: 55,
    tags: [
      ...tags("x").map((tag) => `a/one:${tag}`),
      ...tags("y")
        .slice(0, 5)
        .map((tag) => `a/two:${tag}`),
    ],
    unknown: { images: 2, message: "away" },
  });
});
