import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { ReadPlaces, type ReadPlace } from "./read-places.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const left: string[] = [];
beforeEach(() => void left.splice(0));

async function taken(places: ReadPlaces, name: string): Promise<ReadPlace> {
  const place = places.place();
  place.onLeave(() => left.push(name));
  await place.take();
  return place;
}

/** Takes in the background; `has` says whether it did. */
function waiting(places: ReadPlaces): { place: ReadPlace; has: () => boolean } {
  const place = places.place();
  let has = false;
  void place.take().then(() => (has = true));
  return { place, has: () => has };
}

test("a place that rests stays with who has it while nobody waits", async () => {
  const places = new ReadPlaces(1);
  const place = await taken(places, "a");
  place.rest();
  await vi.advanceTimersByTimeAsync(3_600_000);
  await place.take();
  expect(left).toEqual([]);
});

test("who waits has the place that rests the longest, once it has rested", async () => {
  const places = new ReadPlaces(2);
  const [first, second] = [await taken(places, "first"), await taken(places, "second")];
  second.rest();
  await vi.advanceTimersByTimeAsync(50);
  first.rest();
  const next = waiting(places);
  await vi.advanceTimersByTimeAsync(49);
  expect(next.has()).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect({ has: next.has(), left }).toEqual({ has: true, left: ["second"] });
  second.give();
  const last = waiting(places);
  await vi.advanceTimersByTimeAsync(50);
  expect({ has: last.has(), left }).toEqual({ has: true, left: ["second", "first"] });
});

test("one that is in use goes at the end of its turn, between two pieces, and comes back in turn", async () => {
  const places = new ReadPlaces(1);
  const busy = await taken(places, "busy");
  const next = waiting(places);
  for (let piece = 0; piece < 9; piece++) {
    await vi.advanceTimersByTimeAsync(100);
    busy.rest();
    await busy.take();
  }
  expect(next.has()).toBe(false);
  await vi.advanceTimersByTimeAsync(100);
  busy.rest();
  await vi.advanceTimersByTimeAsync(0);
  expect({ has: next.has(), left }).toEqual({ has: true, left: ["busy"] });
  let isBack = false;
  void busy.take().then(() => (isBack = true));
  await vi.advanceTimersByTimeAsync(99);
  expect(isBack).toBe(false);
  next.place.give();
  await vi.advanceTimersByTimeAsync(0);
  expect(isBack).toBe(true);
});

test("who came first is first, and what is given twice is one place", async () => {
  const places = new ReadPlaces(1);
  const place = await taken(places, "a");
  const [first, second] = [waiting(places), waiting(places)];
  place.give();
  place.give();
  await vi.advanceTimersByTimeAsync(1000);
  expect([first.has(), second.has()]).toEqual([true, false]);
});
