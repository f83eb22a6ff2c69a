// What this process said last of a resource.

import { expect, test } from "vitest";

import { StatusStore, type Status } from "./status-store.ts";

const key = { kind: "AccessPolicy", namespace: "a", name: "one" } as const;
const spec = { actions: ["pull"] };
const statusOf = (ready: "True" | "False"): Status => ({
  key,
  generation: 2,
  source: undefined,
  spec,
  recordedGeneration: 2,
  revision: undefined,
  conditions: [{ type: "Ready", status: ready, reason: "Succeeded", message: "" }],
  details: {},
});

test("a resource was said to be Ready as long as it is the same and nothing else was said of it", () => {
  const store = new StatusStore();
  const same = { key, generation: 2, spec: { actions: ["pull"] } };
  expect(store.saidReady(same)).toBe(false);
  store.replace([statusOf("True")]);
  expect(store.saidReady(same)).toBe(true);
  expect(store.saidReady({ ...same, generation: 3 })).toBe(false);
  expect(store.saidReady({ ...same, generation: undefined })).toBe(false);
  // Deleted and made again: its generations begin anew.
  expect(store.saidReady({ ...same, spec: { actions: ["push"] } })).toBe(false);
  store.replace([statusOf("False")]);
  expect(store.saidReady(same)).toBe(false);
});
