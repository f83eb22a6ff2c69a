// Waiting for what comes by itself: asked again until it is there, never a pause of a guessed length.

import { setTimeout as sleep } from "node:timers/promises";

/** Milliseconds between two questions: what is soon there is soon seen, and who waits for long leaves the processor to what he waits for. */
const pauses = { first: 25, longest: 200, growth: 1.25 };
/** A limit for what never comes, not for a machine that has much to do: nothing that holds waits for it. */
const defaultSeconds = 60;

/** Asks until the assertions hold; fails with the last one that did not. */
export async function eventually(check: () => void | Promise<void>, seconds = defaultSeconds): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  for (let pause = pauses.first; ; pause = longer(pause)) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() < deadline) await sleep(pause);
      else throw inVain(error, seconds);
    }
  }
}

/** Asks until there is an answer: neither undefined nor an error. `context`: what else a failure should show, such as a log. */
export async function answerTo<T>(
  what: string,
  question: () => Promise<T | undefined> | T | undefined,
  options: { seconds?: number; context?: () => string } = {},
): Promise<T> {
  const { seconds = defaultSeconds, context = () => "" } = options;
  const deadline = performance.now() + seconds * 1000;
  let last: Error | undefined;
  let pause = pauses.first;
  do {
    try {
      const answer = await question();
      if (answer !== undefined) return answer;
      last = undefined;
    } catch (error) {
      last = error instanceof Error ? error : new Error(String(error));
    }
    await sleep(pause);
    pause = longer(pause);
  } while (performance.now() < deadline);
  const why = last === undefined ? "" : `; the last question failed: ${last.message}`;
  throw new Error(`Waited ${seconds} s in vain: ${what}${why}\n${context()}`, { cause: last });
}

const longer = (pause: number): number => Math.min(pauses.longest, pause * pauses.growth);

/** The same error, so that its diff is shown. */
function inVain(error: unknown, seconds: number): unknown {
  if (error instanceof Error) error.message = `Waited ${seconds} s in vain: ${error.message}`;
  return error;
}
