import { getEventListeners } from "node:events";

import { expect, test } from "vitest";

import { every } from "./every.ts";

test("goes on until it is ended, one at a time, and keeps one listener on the signal, not one a turn", async () => {
  const stopping = new AbortController();
  const listeners = new Set<number>();
  let [turns, beside, most] = [0, 0, 0];
  await every(1, stopping.signal, async () => {
    most = Math.max(most, ++beside);
    listeners.add(getEventListeners(stopping.signal, "abort").length);
    await Promise.resolve();
    beside--;
    if (++turns === 50) stopping.abort();
  });
  expect({ turns, most, listeners: [...listeners] }).toEqual({ turns: 50, most: 1, listeners: [0] });
  expect(getEventListeners(stopping.signal, "abort")).toEqual([]);
});

test("ended before it began, and while it pauses", async () => {
  let turns = 0;
  const work = (): void => void turns++;
  await every(1, AbortSignal.abort(), work);
  const stopping = new AbortController();
  const ended = every(600_000, stopping.signal, work);
  expect(getEventListeners(stopping.signal, "abort")).toHaveLength(1);
  stopping.abort();
  await ended;
  expect(turns).toBe(0);
  expect(getEventListeners(stopping.signal, "abort")).toEqual([]);
});
