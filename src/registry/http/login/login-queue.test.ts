import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { ServiceError } from "../../services/errors.ts";
import type { LoginAttempt } from "./login-places.ts";
import { LoginQueue } from "./login-queue.ts";

beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => vi.useRealTimers());

const attempt = (part: Partial<LoginAttempt> & { source: string }): LoginAttempt => ({
  network: part.source,
  failing: false,
  known: true,
  ...part,
});

/** Logins whose check takes until `end` is called. */
function waiting(queue: LoginQueue) {
  let end = () => {};
  const ended = new Promise<boolean>((resolve) => (end = () => resolve(true)));
  const login = (part: Partial<LoginAttempt> & { source: string }, count: number) =>
    Array.from({ length: count }, () =>
      queue.wait(attempt(part), 0, () => ended).catch((error: ServiceError) => [error.code, error.retryAfter]),
    );
  return { login, end };
}

const right = (count: number) => Array<boolean>(count).fill(true);
const busy = ["UNAVAILABLE", 2];
const slowed = ["TOOMANYREQUESTS", 8];

test("takes 8 of a source that fails and 32 of all that do, 48 of one source and 96 in all, again and again", async () => {
  const queue = new LoginQueue();
  for (let round = 0; round < 2; round++) {
    const { login, end } = waiting(queue);
    const failing = ["a", "b", "c", "d"].map((source) => login({ source, failing: true }, 9));
    const fifth = login({ source: "e", failing: true }, 1);
    const fresh = login({ source: "x" }, 49);
    const last = login({ source: "y" }, 17);
    end();
    for (const answers of failing) expect(await Promise.all(answers)).toEqual([...right(8), slowed]);
    expect(await Promise.all(fifth)).toEqual([slowed]);
    expect(await Promise.all(fresh)).toEqual([...right(48), busy]);
    expect(await Promise.all(last)).toEqual([...right(16), busy]);
  }
});

test("leaves half of the places to whom it has seen before, and takes 32 strangers of one network", async () => {
  const queue = new LoginQueue();
  for (let round = 0; round < 2; round++) {
    const { login, end } = waiting(queue);
    const site = Array.from({ length: 33 }, (_, n) => login({ source: `a${n}`, network: "a", known: false }, 1)).flat();
    const others = Array.from({ length: 17 }, (_, n) => login({ source: `b${n}`, known: false }, 1)).flat();
    const known = login({ source: "x" }, 48);
    end();
    expect(await Promise.all(site)).toEqual([...right(32), busy]);
    expect(await Promise.all(others)).toEqual([...right(16), busy]);
    expect(await Promise.all(known)).toEqual(right(48));
  }
});

test("a pause and the check have one place: pauses of those who guess take nothing from others", async () => {
  const queue = new LoginQueue();
  const guess = (source: string) =>
    queue.wait(attempt({ source, failing: true, known: false }), 8_000, async () => "checked").catch(({ code }: ServiceError) => code);
  const guesses = ["a", "b", "c", "d", "e"].flatMap((source) => Array.from({ length: 20 }, () => guess(source)));
  // While all of these pause others are checked at once.
  for (let login = 0; login < 200; login++) expect(await queue.wait(attempt({ source: "x" }), 0, async () => "checked")).toBe("checked");
  await vi.advanceTimersByTimeAsync(8_000);
  const answers = await Promise.all(guesses);
  expect([answers.filter((one) => one === "checked").length, answers.filter((one) => one === "TOOMANYREQUESTS").length]).toEqual([32, 68]);
});

test("who never failed pauses for what others did with his name, but not where half of the places are taken", async () => {
  const queue = new LoginQueue();
  const checked: string[] = [];
  const login = (source: string) => queue.wait(attempt({ source }), 8_000, async () => void checked.push(source));
  const pausing = Array.from({ length: 48 }, (_, n) => login(`s${n}`));
  await vi.advanceTimersByTimeAsync(7_999);
  expect(checked).toEqual([]);
  await login("late");
  expect(checked).toEqual(["late"]);
  await vi.advanceTimersByTimeAsync(1);
  await Promise.all(pausing);
  expect(checked).toHaveLength(49);
});
