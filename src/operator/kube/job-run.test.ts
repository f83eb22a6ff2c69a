import { pino } from "pino";
import { expect, test } from "vitest";

import type { ControlClient } from "../../client/control-client.ts";
import { ClientError } from "../../client/errors.ts";
import type { JobObject, PodObject } from "./job-objects.ts";
import { JobRun } from "./job-run.ts";

test("a Job that ended while the registry was away ended as its run did, also for an operator that never heard of that", async () => {
  const made: JobObject = { metadata: { name: "nginx-1", uid: "j" }, status: { conditions: [{ type: "Complete", status: "True" }] } };
  const labels = { "batch.kubernetes.io/controller-uid": "j" };
  const pod: PodObject = { metadata: { name: "nginx-1-a", labels }, status: { phase: "Succeeded" } };
  let away = 3;
  const control = {
    startRun: async () => {
      if (away-- > 0) throw new ClientError("Unreachable", "No answer from the registry");
      throw new ClientError("Conflict", "Pod nginx-1-a has run r1", { status: 409, detail: { podHas: "r1" } });
    },
    run: async () => ({ id: "r1", state: "succeeded", result: { message: "1 version" } }),
  };
  const said: unknown[] = [];
  const outcome = await new JobRun({
    job: { kind: "tag-sync", policy: "default/nginx", trigger: "schedule", slot: "1" },
    made,
    control: control as unknown as ControlClient,
    find: async () => made,
    pods: () => new Map([["nginx-1-a", pod]]),
    refusal: async () => "",
    remove: async () => undefined,
    // Something changes all the time.
    changed: async () => undefined,
    say: (event) => said.push(event),
    startWithin: 1_000,
    deadline: 10_000,
    logger: pino({ level: "silent" }),
  }).follow(new AbortController().signal);
  expect(outcome).toMatchObject({ run: "r1", succeeded: true, message: "1 version" });
  expect(said).toEqual([]);
  expect(away).toBeLessThan(0);
});
