// One test an operation: it is stopped at each of its failpoints while each of the others runs.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { Explorer, meet } from "./explore.ts";
import { collecting, deleting, pushing, versions, type Operation } from "./operations.ts";
import { makeWorld, type World } from "./world.ts";

const everything = [...pushing, ...deleting, ...versions, ...collecting];

/** `others` by default: all. */
export function interleave(
  where: string,
  stopped: readonly Operation[],
  options: { readonly others?: readonly Operation[]; readonly inOneProcess?: boolean; readonly world?: () => Promise<World> } = {},
): void {
  const { others = everything, inOneProcess = false, world: make = makeWorld } = options;
  describe(`${where}: stopped at each of its failpoints while another operation runs`, () => {
    let world: World;
    let explorer: Explorer;

    beforeAll(async () => {
      world = await make();
      explorer = new Explorer(world);
    });

    afterAll(async () => {
      await explorer?.close();
      await world?.close();
      const { interleavings, waited, deadlocks } = explorer.explored;
      process.stderr.write(`interleavings: ${interleavings}, in ${waited} the second waited for the first, ${deadlocks} deadlocks\n`);
    });

    // A busy machine needs most of a second for each.
    test.each(stopped.map((operation) => ({ name: operation.name, operation })))("$name", { timeout: 900_000 }, async ({ operation }) => {
      const { explored } = explorer;
      const before = explored.interleavings;
      for (const other of others.filter((candidate) => meet(operation, candidate))) await explorer.pair(operation, other, { inOneProcess });
      expect(explored.problems.splice(0)).toEqual([]);
      expect(explored.interleavings).toBeGreaterThan(before);
    });
  });
}
