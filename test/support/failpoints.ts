// Work of this process that is stopped at one of its failpoints, and work whose failpoints are heard.

import { observed } from "../../src/failpoints/armed.ts";
import type { Failpoint } from "../../src/failpoints/names.ts";

export interface Stopped<T> {
  /** Resolves when the work is at the failpoint, or ended before: false. */
  readonly reached: Promise<boolean>;
  /** Lets it go on. */
  release(): void;
  readonly result: Promise<T>;
}

/** Starts `work`, which stops at the failpoint that it reaches as number `at`, counted from 0. `points` are those that it has reached until then. */
export function stopAt<T>(at: number, work: () => Promise<T>, points: Failpoint[] = []): Stopped<T> {
  const here = Promise.withResolvers<boolean>();
  const gate = Promise.withResolvers<void>();
  let count = 0;
  const observer = (name: Failpoint): Promise<void> | undefined => {
    if (count <= at) points.push(name);
    if (count++ !== at) return undefined;
    here.resolve(true);
    return gate.promise;
  };
  const result = observed(observer, work);
  result.then(
    () => here.resolve(false),
    () => here.resolve(false),
  );
  return { reached: here.promise, release: () => gate.resolve(), result };
}

export interface Heard<T> {
  /** Failpoints so far, in their order. */
  readonly points: readonly Failpoint[];
  readonly result: Promise<T>;
}

export function hear<T>(work: () => Promise<T>): Heard<T> {
  const points: Failpoint[] = [];
  return { points, result: observed((name) => void points.push(name), work) };
}
