import { givenUp } from "../push/commit-blob.ts";
import type { ServiceError } from "../errors.ts";

const longest = 60_000;
/** Oftener than this would be work for nothing: no setting that lets an upload live is that short. */
const shortest = 100;

/** Milliseconds between two signs of life of a writer that is given up after the shortest of `limits` milliseconds without one. */
export function signOfLifeEvery(...limits: readonly number[]): number {
  return Math.max(shortest, Math.min(longest, ...limits.map((limit) => limit / 3)));
}

export interface Heartbeat {
  stop(): void;
}

/**
 * Says in the database that somebody still writes, so that the collector leaves the bytes alone: by a clock, also while not one byte arrives.
 * `beat` resolves with false when they were given up, then `onGivenUp` is told and nothing is said any more. A database that is away for a
 * moment ends nothing: the commit will tell.
 */
export function heartbeat(
  beat: () => Promise<boolean>,
  options: { readonly every?: number; readonly onGivenUp?: (reason: ServiceError) => void } = {},
): Heartbeat {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const schedule = () => {
    if (!stopped) timer = setTimeout(() => void next(), options.every ?? longest).unref();
  };
  const next = async () => {
    const alive = await beat().catch(() => true);
    if (alive) return schedule();
    if (!stopped) options.onGivenUp?.(givenUp());
  };
  schedule();
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
