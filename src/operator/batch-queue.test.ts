import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { BatchQueue } from "./batch-queue.ts";

const times = { quiet: 200, longest: 2_000, firstPause: 1_000, longestPause: 8_000 };
const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);
const pauseOf = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function queueOf(work: (keys: ReadonlySet<string>) => Promise<Iterable<string>>, errors: unknown[] = []): BatchQueue {
  return new BatchQueue({ ...times, onError: (error) => errors.push(error), work });
}

test("what comes in one breath is worked on once, together, when it is quiet", async () => {
  const batches: string[][] = [];
  const queue = queueOf(async (keys) => (batches.push([...keys]), []));
  for (const key of ["a", "b", "a"]) {
    queue.add(key);
    await pass(150);
  }
  expect(batches).toEqual([]);
  await pass(50);
  expect(batches).toEqual([["a", "b"]]);
  await queue.stop();
});

test("a stream of keys does not put work off for ever", async () => {
  let works = 0;
  const queue = queueOf(async () => (works++, []));
  for (let passed = 0; passed < 2_000; passed += 100) {
    expect(works).toBe(0);
    queue.add("a");
    await pass(100);
  }
  expect(works).toBe(1);
  await queue.stop();
});

test("what comes during the work is worked on afterwards, never beside it", async () => {
  let [beside, most, works] = [0, 0, 0];
  const queue = queueOf(async () => {
    most = Math.max(most, ++beside);
    works++;
    await pauseOf(5_000);
    beside--;
    return [];
  });
  queue.add("a");
  await pass(300);
  queue.add("a");
  await pass(4_000);
  expect({ works, most }).toEqual({ works: 1, most: 1 });
  await pass(6_500);
  expect({ works, most }).toEqual({ works: 2, most: 1 });
  await queue.stop();
});

test("what failed comes back after a pause that grows to its longest", async () => {
  const errors: unknown[] = [];
  const at: number[] = [];
  const began = Date.now();
  const queue = queueOf(async () => {
    at.push(Date.now() - began);
    throw new Error("no");
  }, errors);
  queue.add("a");
  await pass(40_000);
  const pauses = at.slice(1).map((time, index) => time - (at[index] ?? 0) - times.quiet);
  expect([at[0], ...pauses]).toEqual([200, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
  expect(errors).toHaveLength(at.length);
  await queue.stop();
});

test("without other words the longest pause has 30 s: a machine that was short of something is not left waiting", async () => {
  const at: number[] = [];
  const queue = new BatchQueue({ quiet: 200, onError: () => undefined, work: async (keys) => (at.push(Date.now()), keys) });
  queue.add("a");
  await pass(240_000);
  expect(at.slice(1).map((time, index) => (time - (at[index] ?? 0) - 200) / 1_000)).toEqual([1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30]);
  await queue.stop();
});

test("what failed comes back at once when it is added again; a success starts the pauses anew", async () => {
  let [works, fails] = [0, true];
  const queue = queueOf(async (keys) => (works++, fails ? keys : []));
  queue.add("a");
  await pass(200);
  queue.add("a");
  await pass(200);
  expect(works).toBe(2);
  fails = false;
  queue.add("a");
  await pass(60_000);
  expect(works).toBe(3);
  fails = true;
  queue.add("a");
  await pass(200);
  expect(works).toBe(4);
  await pass(1_200);
  expect(works).toBe(5);
  await queue.stop();
});

test("what failed is not hurried by a reminder, and goes on growing its pauses", async () => {
  let [works, fails] = [0, true];
  const queue = queueOf(async (keys) => (works++, fails ? keys : []));
  queue.remind("a");
  await pass(200);
  expect(works).toBe(1);
  for (let reminders = 0; reminders < 9; reminders++) {
    queue.remind("a");
    await pass(100);
  }
  expect(works).toBe(1);
  await pass(400);
  expect(works).toBe(2);
  queue.remind("a");
  await pass(1_500);
  expect(works).toBe(2);
  fails = false;
  await pass(1_000);
  expect(works).toBe(3);
  queue.remind("a");
  await pass(200);
  expect(works).toBe(4);
  await queue.stop();
});

test("after stop nothing more happens", async () => {
  let works = 0;
  const queue = queueOf(async (keys) => (works++, keys));
  queue.add("a");
  await pass(200);
  await queue.stop();
  queue.add("b");
  await pass(60_000);
  expect(works).toBe(1);
});
