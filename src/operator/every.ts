// Doing something again and again until it is ended.

import { setTimeout as sleep } from "node:timers/promises";

/** Does `work` after each pause of so many milliseconds, never twice at once. Resolves when `signal` ends it, and leaves no listener on it. */
export async function every(milliseconds: number, signal: AbortSignal, work: () => void | Promise<void>): Promise<void> {
  const awake = (): Promise<boolean> => sleep(milliseconds, true, { signal, ref: false }).catch(() => false);
  while (await awake()) await work();
}
