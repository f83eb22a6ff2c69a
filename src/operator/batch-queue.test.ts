import { setTimeout as sleep } from "node:timers/promises";

import { expect, test } from "vitest";

import { BatchQueue } from "./batch-queue.ts";

const quickly = { quiet: 20, longest: 60, firstPause: 40, longestPause: 100 };

test("what comes in one breath is worked on once, together", async () => {
  const batches: string[][] = [];
  const queue = new BatchQueue({ ...quickly, onError: () => undefined, work: async (keys) => (batches.push([...keys]), []) });
  for (const key of ["a", "b", "a"]) queue.add(key);
  await sleep(60);
  expect(batches).toEqual([["a", "b"]]);
  await queue.stop();
});

test("a stream of keys does not put work off for ever", async () => {
  let works = 0;
  const queue = new BatchQueue({ ...quickly, onError: () => undefined, work: async () => (works++, []) });
  for (let count = 0; count < 30; count++) {
    queue.add("a");
    await sleep(10);
  }
  expect(works).toBeGreaterThan(1);
  await queue.stop();
});

test("what comes during the work is worked on afterwards, never beside it", async () => {
  let beside = 0;
  let most = 0;
  let works = 0;
  const work = async (): Promise<string[]> => {
    most = Math.max(most, ++beside);
    works++;
    await sleep(50);
    beside--;
    return [];
  };
  const queue = new BatchQueue({ ...quickly, onError: () => undefined, work });
  queue.add("a");
  await sleep(40);
  queue.add("a");
  await sleep(150);
  await queue.stop();
  expect({ most, works }).toEqual({ most: 1, works: 2 });
});

test("what failed comes back after a pause that grows, and at once when it is woken", async () => {
  const errors: unknown[] = [];
  let works = 0;
  const failing = async (): Promise<string[]> => {
    works++;
    throw new Error("no");
  };
  const queue = new BatchQueue({ ...quickly, firstPause: 10_000, onError: (error) => errors.push(error), work: failing });
  queue.add("a");
  await sleep(60);
  expect(works).toBe(1);
  queue.wake();
  await sleep(60);
  expect(works).toBe(2);
  expect(errors).toHaveLength(2);
  await queue.stop();
});

test("after stop nothing more happens", async () => {
  let works = 0;
  const queue = new BatchQueue({ ...quickly, onError: () => undefined, work: async () => (works++, []) });
  queue.add("a");
  await queue.stop();
  queue.add("b");
  await sleep(60);
  expect(works).toBe(0);
});
