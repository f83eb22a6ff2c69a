// Work of many small steps beside everything else that a process does: Leases are renewed, probes and pulls answered meanwhile.

import { setImmediate } from "node:timers/promises";

/** Milliseconds of work in one piece. */
const atOnce = 20;

/** A function to be awaited between two steps: it lets others have their turn when that is due. */
export function turns(): () => Promise<void> {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < atOnce) return;
    await setImmediate();
    since = performance.now();
  };
}
