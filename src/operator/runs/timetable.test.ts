import { Cron } from "croner";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Timetable, type ScheduledPolicy } from "./timetable.ts";

beforeEach(() => void vi.useFakeTimers({ now: new Date("2026-11-21T10:05:00Z") }));
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const id = "tag-sync team/nginx";
const policy: ScheduledPolicy = {
  key: { kind: "TagPolicy", namespace: "team", name: "nginx" },
  revision: "a",
  schedule: "*/30 * * * *",
  timeZone: "Europe/Berlin",
  requestedAt: undefined,
};

test("when a policy runs next is computed once for each time of its schedule, however often it is asked for", async () => {
  const started: string[] = [];
  const timetable = new Timetable((_, { name }) => started.push(name));
  timetable.set(id, "tag-sync", policy);
  const first = timetable.nextStart(id);
  const asked = vi.spyOn(Cron.prototype, "nextRun");
  timetable.set(id, "tag-sync", { ...policy, revision: "b" });
  expect(timetable.nextStart(id)).toEqual(first);
  expect(asked).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(30 * 60_000);
  expect(started).toEqual(["nginx"]);
  expect(timetable.nextStart(id)?.getTime()).toBe((first?.getTime() ?? 0) + 30 * 60_000);
  timetable.set(id, "tag-sync", { ...policy, schedule: "0 3 * * *" });
  expect(timetable.nextStart(id)?.toISOString()).toMatch(/^2026-11-22T02:/);
  timetable.stop();
});
