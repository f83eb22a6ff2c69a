import { expect, test } from "vitest";

import { FairQueue } from "./fair-queue.ts";

function taken(queue: FairQueue<string, string>, count: number): (string | undefined)[] {
  return Array.from({ length: count }, () => queue.next());
}

test("one after the other, each in his own order", () => {
  const queue = new FairQueue<string, string>();
  for (const item of ["a1", "a2", "a3", "b1", "c1", "c2"]) queue.push(item.charAt(0), item);
  expect(taken(queue, 3)).toEqual(["a1", "b1", "c1"]);
  // Who comes anew waits for those whose turn is due, and for nobody's rest.
  queue.push("d", "d1");
  queue.push("b", "b2");
  expect(taken(queue, 6)).toEqual(["a2", "c2", "d1", "b2", "a3", undefined]);
});
