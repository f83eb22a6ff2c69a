import { expect, test } from "vitest";

import { renderGc } from "./gc.ts";

test("what waits, what went, and why nothing goes", () => {
  const shown = renderGc({
    queue: 12,
    due: 3,
    oldestDueSeconds: 61.4,
    uploading: 1,
    live: 100,
    doomed: 2,
    doomedBytes: 3 * 1024 ** 3,
    oldestDoomedSeconds: null,
    swept: 4,
    sweptLately: 5,
    sweptLatelyBytes: 2048,
    paused: [{ reason: "brake", detail: "much would go", since: "2026-11-22T02:00:00.000Z" }],
  });
  expect(shown.split("\n")).toEqual([
    "queue      12 (3 due, the oldest for 1m1s)",
    "uploading  1",
    "live       100",
    "doomed     2 (3.0 GiB)",
    "swept      4 under way, 5 within 24 hours (2.0 KiB)",
    "paused     brake since 2026-11-22T02:00:00.000Z: much would go",
  ]);
});
