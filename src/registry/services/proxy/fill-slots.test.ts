import { setImmediate as settled } from "node:timers/promises";

import { expect, test } from "vitest";

import { FillSlots } from "./fill-slots.ts";

test("so many at once of each upstream; senders take turns, and each one's oldest comes first", async () => {
  const slots = new FillSlots(1);
  const served: string[] = [];
  const frees: (() => void)[] = [];
  const take = (upstream: string, sender: string, blob: string) =>
    void slots.take(upstream, sender).then((free) => {
      served.push(blob);
      frees.push(free);
    });
  for (const blob of ["a1", "a2", "a3"]) take("hub", "ann", blob);
  take("quay", "ann", "other upstream");
  take("hub", "bob", "b1");
  take("hub", "bob", "b2");
  take("hub", "eve", "e1");
  await settled();
  expect(served).toEqual(["a1", "other upstream"]);
  frees.splice(1, 1)[0]?.();
  while (frees.length > 0) {
    frees.shift()?.();
    await settled();
  }
  expect(served.slice(2)).toEqual(["a2", "b1", "e1", "a3", "b2"]);
  take("hub", "bob", "b3");
  await settled();
  expect(served.at(-1), "all slots came back").toBe("b3");
});
