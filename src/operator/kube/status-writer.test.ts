// When a status that the API server refuses is sent again. What is written, and to whom: test/kubernetes/status-writer.test.ts.

import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { ResourceView } from "../../api/control/resources.ts";
import { KubeError } from "./errors.ts";
import { StatusWriter } from "./status-writer.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const view = (revision: string): ResourceView => ({
  kind: "Upstream",
  namespace: "default",
  name: "one",
  generation: 1,
  spec: {},
  status: { observedGeneration: 1, revision, conditions: [] },
});

test("rounds that have nothing new to say do not send it again before its pause is over", async () => {
  let asked = 0;
  const writer = new StatusWriter({
    client: { apply: () => (asked++, Promise.reject(new KubeError(422, "Invalid"))) },
    events: { say: async () => undefined },
    object: () => ({ metadata: { name: "one", namespace: "default", uid: "u", resourceVersion: "1" } }),
    logger: pino({ level: "silent" }),
  });
  const same = view("a");
  for (let round = 0; round < 9; round++) {
    writer.take([same]);
    await vi.advanceTimersByTimeAsync(100);
  }
  expect(asked).toBe(1);
  await vi.advanceTimersByTimeAsync(300);
  expect(asked).toBe(2);
  // Something else is to be said: that may be right.
  writer.take([view("b")]);
  await vi.advanceTimersByTimeAsync(100);
  expect(asked).toBe(3);
  await writer.stop();
});
