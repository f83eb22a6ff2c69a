import { afterEach, expect, test, vi } from "vitest";

import { createLogger } from "./logger.ts";
import { Obstacles } from "./obstacles.ts";

afterEach(() => void vi.useRealTimers());

test("an obstacle that stays is announced again before the API server forgets it, and no more often", () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const announced: string[] = [];
  const obstacles = new Obstacles({
    logger: createLogger({ level: "silent" }),
    announce: ({ type, reason, message }) => void announced.push(`${type} ${reason}: ${message}`),
    over: { reason: "Ready", message: "It serves." },
  });
  const met = { reason: "DatabaseMissing", message: "Make it." };
  for (let seconds = 0; seconds < 400; seconds += 4) {
    obstacles.meet(met);
    vi.advanceTimersByTime(4_000);
  }
  expect(announced).toEqual(["Warning DatabaseMissing: Make it.", "Warning DatabaseMissing: Make it."]);
  expect(obstacles.current).toEqual(met);
  obstacles.overcome();
  obstacles.overcome();
  expect(announced.slice(2)).toEqual(["Normal Ready: It serves."]);
  expect(obstacles.current).toBeUndefined();
});
