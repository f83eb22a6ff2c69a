import { expect, test } from "vitest";

import { each, Limit } from "./each.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("each: all of it, never more than the limit at a time", async () => {
  let running = 0;
  let most = 0;
  const seen: number[] = [];
  await each([1, 2, 3, 4, 5, 6, 7], { limit: 3 }, async (item) => {
    most = Math.max(most, ++running);
    await turn();
    running--;
    seen.push(item);
  });
  expect([seen.length, most]).toEqual([7, 3]);
});

test("each: after a failure nothing is begun; a list that fails is a failure", async () => {
  const begun: number[] = [];
  const failing = each([1, 2, 3, 4, 5, 6], { limit: 2 }, async (item) => {
    begun.push(item);
    await turn();
    if (item === 2) throw new Error("two");
    await turn();
  });
  await expect(failing).rejects.toThrow("two");
  await turn();
  expect(begun).toEqual([1, 2]);
  async function* broken() {
    yield 1;
    throw new Error("cut");
  }
  await expect(each(broken(), { limit: 2 }, async () => {})).rejects.toThrow("cut");
});

test("limit: as many at a time as there are, in order, also after failures", async () => {
  const limit = new Limit(2);
  const order: number[] = [];
  let running = 0;
  const work = (item: number) =>
    limit.run(async () => {
      expect(++running).toBeLessThanOrEqual(2);
      order.push(item);
      await turn();
      running--;
      if (item === 1) throw new Error("one");
    });
  const results = await Promise.allSettled([1, 2, 3, 4, 5].map(work));
  expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled", "fulfilled", "fulfilled"]);
  expect(order).toEqual([1, 2, 3, 4, 5]);
});
