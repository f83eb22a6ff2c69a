import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { ControlClient } from "../client/control-client.ts";
import { ClientError, type ClientErrorCode } from "../client/errors.ts";
import { startHeartbeat } from "./heartbeat.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test.each<readonly [ClientErrorCode, boolean]>([
  ["Conflict", true],
  ["NotFound", true],
  // The token of a Pod ends with its run.
  ["Refused", true],
  ["Unreachable", false],
  ["Unauthorized", false],
  ["Failed", false],
])("an answer that is %s says whether the run has ended: %s", async (code, lost) => {
  const control = { updateRun: () => Promise.reject(new ClientError(code, "no")) } as unknown as ControlClient;
  const heartbeat = startHeartbeat(control, "run", () => ({}));
  await vi.advanceTimersByTimeAsync(30_000);
  expect(heartbeat.lost.aborted).toBe(lost);
  await heartbeat.stop();
});
