import { afterAll, beforeAll, expect, test } from "vitest";

import { openOwnRegistry, type OwnRegistry } from "../../../../test/support/own-registry.ts";
import { readinessOf } from "./readiness.ts";

let registry: OwnRegistry;
beforeAll(async () => {
  registry = await openOwnRegistry();
});
afterAll(() => registry.close());

test("a probe asks one small question, whatever is published; who may read the reasons has them", async () => {
  const { database, store } = registry;
  const readiness = readinessOf({
    database,
    store,
    configuration: { current: () => ({ revision: null }) },
    stopping: new AbortController().signal,
  });
  registry.statements();
  expect((await readiness({ detailed: false })).map(({ name, ready }) => [name, ready])).toEqual([
    ["database", true],
    ["blobs", true],
    ["process", true],
  ]);
  expect(registry.statements()).toEqual(["readiness"]);
  expect((await readiness({ detailed: true })).map(({ name }) => name)).toEqual(["database", "blobs", "record", "collector", "process"]);
  expect(registry.statements().toSorted()).toEqual(["gc-pauses", "readiness", "record-refused"]);
});
