// What is told of a run that was ended. Runs that end by themselves: test/integration/tag-sync.test.ts.

import { expect, test } from "vitest";

import type { RunUpdate } from "../api/control/runs.ts";
import { reportRun } from "./reported-run.ts";

test("a run that somebody ends is told in his words, whatever was under way then says of itself", async () => {
  const told: RunUpdate[] = [];
  const control = { updateRun: async (_: string, update: RunUpdate) => (told.push(update), {}) };
  const ending = new AbortController();
  const end = await reportRun({
    control: control as never,
    run: "7",
    signal: ending.signal,
    progress: () => ({}),
    work: async () => {
      ending.abort(new Error("stopped: the process in which it ran was told to end"));
      throw new DOMException("This operation was aborted", "AbortError");
    },
    broken: () => ({ images: 0 }),
  });
  const message = "stopped: the process in which it ran was told to end";
  expect(end).toMatchObject({ succeeded: false, message });
  expect(told).toEqual([{ state: "failed", result: { images: 0, message } }]);
});
