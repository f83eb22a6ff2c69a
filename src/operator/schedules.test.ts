// Which runs carry a person's approval.

import { afterEach, expect, test } from "vitest";

import type { JobOutcome, JobRequest } from "./ports.ts";
import { Schedules } from "./schedules.ts";
import type { ScheduledPolicy } from "./timetable.ts";

const key = { kind: "RetentionPolicy", namespace: "default", name: "builds" } as const;
const policy: ScheduledPolicy = { key, revision: "r", schedule: "0 3 1 1 *", timeZone: "Etc/UTC", requestedAt: undefined };
const ended: JobOutcome = { run: "1", succeeded: true, message: "done", result: {} };

const requests: JobRequest[] = [];
const jobs = {
  run: async (request: JobRequest) => {
    requests.push(request);
    return ended;
  },
};
const schedules = new Schedules({ jobs, maxConcurrent: 4, changed: () => undefined });
afterEach(() => schedules.stop());

test("an approval is for one plan: the run that it starts, and later ones only while that plan waits", async () => {
  const run = () => schedules.run("prune", key, { trigger: "schedule", slot: "1" });
  const waits = (plan?: string) => schedules.hear("prune", key, { ...ended, finishedAt: "2026-11-21T10:00:00Z" }, plan);
  const approvals = () => requests.splice(0).map(({ approve }) => approve);

  schedules.update("prune", [policy]);
  schedules.update("prune", [{ ...policy, approve: "p1" }]);
  await run();
  expect(approvals()).toEqual(["p1"]);
  await run();
  expect(approvals()).toEqual([undefined]);
  waits("p1");
  await run();
  expect(approvals()).toEqual(["p1"]);
  waits("p2");
  await run();
  waits();
  await run();
  expect(approvals()).toEqual([undefined, undefined]);
});
