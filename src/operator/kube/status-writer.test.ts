// When a status that the API server refuses is sent again, and which conditions have events. What is written, and to whom: test/kubernetes/status-writer.test.ts.

import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { ResourceView } from "../../api/control/resources.ts";
import { KubeError } from "./errors.ts";
import type { EventDraft } from "./events.ts";
import type { CustomResource } from "./objects.ts";
import { statusOf } from "./status-of.ts";
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

test("a server that is away is one line of the log, however many statuses wait for it", async () => {
  const lines: string[] = [];
  const named = (name: string) => ({ ...view("a"), name });
  const writer = new StatusWriter({
    client: { apply: () => Promise.reject(new KubeError(0, "no answer from the API server: ECONNREFUSED")) },
    events: { say: async () => undefined },
    object: ({ name }) => ({ metadata: { name, namespace: "default", uid: "u", resourceVersion: "1" } }),
    logger: pino({ base: null, timestamp: false }, { write: (line: string) => void lines.push(line) }),
  });
  writer.take(["one", "two", "three"].map(named));
  await vi.advanceTimersByTimeAsync(100);
  const said = lines.map((line) => JSON.parse(line) as unknown);
  expect(said).toEqual([
    {
      level: 40,
      error: "KubeError: no answer from the API server: ECONNREFUSED",
      msg: expect.stringMatching(
        /^the status of upstream default\/\w+ and those of 2 other resources could not be written; it is tried again$/,
      ) as string,
    },
  ]);
  await writer.stop();
});

test("a command that a condition names is one that somebody with a kubeconfig can run", () => {
  const message = "paused: `npx wharfinger gc resume`";
  const [condition] =
    statusOf(
      {
        ...view("a"),
        status: {
          ...view("a").status,
          conditions: [
            {
              type: "Ready",
              status: "False",
              reason: "Paused",
              message,
              lastTransitionTime: "2026-11-22T09:30:00Z",
              observedGeneration: 1,
            },
          ],
        },
      },
      undefined,
    ).conditions ?? [];
  expect(condition?.message).toBe("paused: `kubectl wharfinger gc resume`");
});

const resource = (uid: string): CustomResource => ({
  metadata: { name: "one", namespace: "default", uid, generation: 1, resourceVersion: uid },
});

test("what was made anew while a status waited to be written again gets none of the one before", async () => {
  let object = resource("first");
  let looks = 0;
  let applied = 0;
  const apply = async () => {
    applied++;
    object = resource("second");
    throw new KubeError(503, "busy");
  };
  const look = () => {
    looks++;
    return object;
  };
  const writer = new StatusWriter({
    client: { apply },
    events: { say: async () => undefined },
    object: look,
    logger: pino({ level: "silent" }),
  });
  writer.take([view("a")]);
  await vi.advanceTimersByTimeAsync(100);
  const before = looks;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(looks).toBeGreaterThan(before);
  expect(applied).toBe(1);
  await writer.stop();
});

test("a view of more generations than there are is one of a predecessor", async () => {
  const applied: string[] = [];
  const apply = async (path: string) => {
    applied.push(path);
    throw new KubeError(404, "gone");
  };
  const events = { say: async () => undefined };
  const writer = new StatusWriter({ client: { apply }, events, object: () => resource("second"), logger: pino({ level: "silent" }) });
  writer.take([
    { ...view("a"), generation: 5 },
    { ...view("a"), name: "two" },
  ]);
  await vi.advanceTimersByTimeAsync(100);
  expect(applied).toEqual([expect.stringContaining("/two/")]);
  await writer.stop();
});

test("Shadowed is told of when it comes, says something else, and goes: not when a new process has heard of no run yet", async () => {
  const said: EventDraft[] = [];
  const writer = new StatusWriter({
    client: { apply: () => Promise.resolve({ metadata: { name: "one", resourceVersion: "1" } } as never) },
    events: { say: async (_, event) => void said.push(event) },
    object: () => resource("first"),
    logger: pino({ level: "silent" }),
  });
  const condition = (type: string, status: "True" | "Unknown", message: string) => ({
    type,
    status,
    message,
    reason: type === "Shadowed" ? "MintedTagWins" : "Succeeded",
    lastTransitionTime: "2026-11-22T10:00:00Z",
    observedGeneration: 1,
  });
  const synced = condition("Synced", "True", "done");
  const tell = async (...conditions: ReturnType<typeof condition>[]) => {
    const policy = view("a");
    writer.take([{ ...policy, kind: "TagPolicy", status: { ...policy.status, conditions } }]);
    await vi.advanceTimersByTimeAsync(1_000);
    return said.splice(0).map(({ type, reason, note }) => [type, reason, note]);
  };
  expect(await tell(synced)).toEqual([]);
  expect(await tell(synced, condition("Shadowed", "True", "a:1"))).toEqual([["Warning", "MintedTagWins", "a:1"]]);
  expect(await tell(condition("Synced", "True", "again"), condition("Shadowed", "True", "a:1"))).toEqual([]);
  expect(await tell(synced, condition("Shadowed", "True", "a:2"))).toEqual([["Warning", "MintedTagWins", "a:2"]]);
  expect(await tell()).toEqual([]);
  expect(await tell(synced, condition("Shadowed", "True", "a:2"))).toEqual([["Warning", "MintedTagWins", "a:2"]]);
  expect(await tell(synced)).toEqual([["Normal", "NoLongerShadowed", "upstream has no tag of the same name as a minted one any more"]]);
  await writer.stop();
});
