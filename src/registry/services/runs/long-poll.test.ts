import { expect, test } from "vitest";

import { askUntil, Bell } from "./long-poll.ts";

const listening = (waitSeconds: number) => ({ waitSeconds, signal: new AbortController().signal });

test("a ring between the question and the ear is not lost", async () => {
  const bell = new Bell();
  let asked = 0;
  const answer = await askUntil(
    bell,
    async () => {
      asked++;
      // The event happens while the first question is on its way, after it was answered.
      if (asked === 1) queueMicrotask(() => bell.ring());
      return asked;
    },
    (count) => count === 2,
    listening(20),
  );
  expect(answer).toBe(2);
});

test("without patience there is one question", async () => {
  let asked = 0;
  const answer = await askUntil(
    new Bell(),
    () => Promise.resolve(++asked),
    () => false,
    listening(0),
  );
  expect(answer).toBe(1);
});

/** A bell that knows how many listen. */
class CountingBell extends Bell {
  ears = 0;

  override async heard(milliseconds: number, signal: AbortSignal): Promise<void> {
    this.ears++;
    await super.heard(milliseconds, signal);
    this.ears--;
  }
}

test("a question that fails ends the wait, and leaves no ear and no timer behind", async () => {
  const bell = new CountingBell();
  const failing = askUntil(
    bell,
    () => Promise.reject(new Error("database away")),
    () => true,
    { ...listening(60), lookAgain: false },
  );
  expect(bell.ears).toBe(1);
  await expect(failing).rejects.toThrow("database away");
  expect(bell.ears).toBe(0);
});
