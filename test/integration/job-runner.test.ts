// Two runs of one policy: the second waits for the first, and only for a run.

import { afterEach, beforeEach, expect, test } from "vitest";

import { ControlClient } from "../../src/client/control-client.ts";
import { createJobRunner } from "../../src/standalone/job-runner.ts";
import { adminToken, publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { pino } from "pino";

const request = { kind: "prune", policy: "default/builds", trigger: "manual" } as const;

let registry: TestRegistry;
let control: ControlClient;

beforeEach(async () => {
  registry = await startTestRegistry();
  control = new ControlClient({ url: registry.url, token: adminToken });
});
afterEach(async () => {
  await control.close();
  await registry.stop();
});

async function publish({ suspend }: { suspend: boolean }): Promise<void> {
  const spec = { repositories: { include: ["team-a/**"] }, keep: [{ name: "newest", mostRecentlyPushed: 1 }] };
  await publishFirst(registry.url, [{ kind: "RetentionPolicy", name: "builds", suspend, spec }]);
}

const runner = (progress: (line: string) => void) =>
  createJobRunner({ url: registry.url, token: adminToken, logger: pino({ level: "silent" }), progress });

test("a run of the same policy that is under way is named, waited for, and followed by ours", async () => {
  await publish({ suspend: false });
  const { id } = await control.startRun(request);
  await expect(control.startRun(request)).rejects.toMatchObject({ code: "Conflict", detail: { run: id } });
  let waits = (_line: string): void => undefined;
  const waiting = new Promise<string>((resolve) => (waits = resolve));
  const ours = runner((line) => waits(line)).run(request, new AbortController().signal);
  expect(await waiting).toMatch(new RegExp(`^A prune run of default/builds is under way since .*: ${id}\\. Waiting for it to end\\.$`));
  await control.updateRun(id, { state: "succeeded" });
  const end = await ours;
  expect(end.succeeded).toBe(true);
  expect(end.run).not.toBe(id);
});

test("who is told to end while he waits for a run says why, and not that something was aborted", async () => {
  await publish({ suspend: false });
  await control.startRun(request);
  const ending = new AbortController();
  const end = await runner(() => ending.abort(new Error("stopped: told to end"))).run(request, ending.signal);
  expect(end).toMatchObject({ run: "", succeeded: false, message: "stopped: told to end" });
});

test("a suspended policy is refused at once: nothing would come to wait for", async () => {
  await publish({ suspend: true });
  const end = await runner(() => undefined).run(request, new AbortController().signal);
  expect(end).toMatchObject({ run: "", succeeded: false, message: expect.stringContaining("is suspended") as string });
});
