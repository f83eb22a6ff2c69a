// A holder that slept. Who holds a Lease on a real API server: test/kubernetes/lease.test.ts.

import { pino } from "pino";
import { afterEach, expect, test, vi } from "vitest";

import { KubeError } from "./errors.ts";
import type { KubeClient, KubeRequest } from "./kube-client.ts";
import { LeaseHolder } from "./lease.ts";
import { Leases } from "./leases.ts";
import type { Events } from "./events.ts";

// With the timers that a test may hold.
vi.mock("node:timers/promises", () => ({
  setTimeout: (milliseconds: number, value: unknown, { signal }: { readonly signal: AbortSignal }) =>
    new Promise((resolve, reject) => {
      const ended = () => {
        clearTimeout(timer);
        reject(new Error("ended"));
      };
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", ended);
        resolve(value);
      }, milliseconds);
      signal.addEventListener("abort", ended, { once: true });
    }),
}));
afterEach(() => void vi.useRealTimers());

test("who slept for longer than the Lease is surely his gives it up, although the API server would let him renew it", async () => {
  let stored: unknown;
  let writes = 0;
  const send = async ({ method, body }: KubeRequest) => {
    if (method === "GET" && stored === undefined) throw new KubeError(404, "not found", { reason: "NotFound" });
    if (method !== "GET") {
      stored = body;
      writes++;
    }
    return stored;
  };
  const holder = new LeaseHolder({
    client: { send } as unknown as KubeClient,
    namespace: "default",
    identity: "one",
    installation: "ours",
    logger: pino({ level: "silent" }),
    times: { duration: 30_000, renewWithin: 1_000, retry: 100 },
  });
  holder.start();
  await holder.acquired;
  const before = writes;
  // Nothing runs meanwhile: as in a process that was stopped, or is busy with one thing.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_200);
  expect(await holder.lost).toBe("it could not be renewed in time");
  expect(writes).toBe(before);
  await holder.stop();
});

/** Of leases: reads, and writes over what was read. */
function fakeServer() {
  const leases = new Map<string, { metadata: { resourceVersion: string }; spec: { holderIdentity?: string } }>();
  let version = 0;
  const written: string[] = [];
  const send = async ({ method = "GET", path, body }: KubeRequest) => {
    const namespace = /namespaces\/([^/]+)/.exec(path)?.[1] ?? "";
    const found = leases.get(namespace);
    if (method === "GET" || (method === "PUT" && found === undefined)) {
      if (found === undefined) throw new KubeError(404, "not found", { reason: "NotFound" });
      return found;
    }
    const wanted = body as NonNullable<typeof found>;
    if (method === "POST" ? found !== undefined : wanted.metadata.resourceVersion !== found?.metadata.resourceVersion)
      throw new KubeError(409, "conflict", { reason: method === "POST" ? "AlreadyExists" : "Conflict" });
    written.push(namespace);
    const stored = { ...wanted, metadata: { ...wanted.metadata, resourceVersion: String(++version) } };
    leases.set(namespace, stored);
    return stored;
  };
  return { leases, written, client: { send } as unknown as KubeClient };
}

function installation(client: KubeClient, name: string, namespaces: readonly [string, ...string[]]): Leases {
  const events = { say: async () => undefined } as unknown as Events;
  const common = { client, namespaces, events, changed: () => undefined, logger: pino({ level: "silent" }) };
  return new Leases({ ...common, identity: `${name}-process`, installation: name });
}

test("fifty further namespaces cost a write a second", async () => {
  vi.useFakeTimers();
  const { written, client } = fakeServer();
  const further = Array.from({ length: 50 }, (_, index) => `team-${index}`);
  const leases = installation(client, "ours", ["home", ...further]);
  leases.start();
  await vi.advanceTimersByTimeAsync(10_000);
  written.length = 0;
  await vi.advanceTimersByTimeAsync(600_000);
  const [home, others] = [written.filter((namespace) => namespace === "home"), written.filter((namespace) => namespace !== "home")];
  expect(home.length).toBeGreaterThan(240);
  expect(others.length).toBeLessThanOrEqual(500);
  for (const namespace of further) expect(others.filter((one) => one === namespace).length).toBeGreaterThanOrEqual(7);
  expect(further.filter((namespace) => leases.barred(namespace) !== undefined)).toEqual([]);
  const stopped = leases.stop();
  await vi.advanceTimersByTimeAsync(100);
  await stopped;
});

test("two installations never hold one namespace at the same time: not when its Lease is deleted, nor when one is gone without a word", async () => {
  vi.useFakeTimers();
  const { leases: stored, client } = fakeServer();
  let cut = false;
  const send = (request: KubeRequest) => (cut ? Promise.reject(new KubeError(0, "no answer")) : client.send(request));
  const ours = installation({ send } as unknown as KubeClient, "ours", ["our-home", "shared"]);
  const theirs = installation(client, "theirs", ["their-home", "shared"]);
  const both = [ours, theirs];
  const holders: number[] = [];
  const pass = async (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      await vi.advanceTimersByTimeAsync(1_000);
      holders.push(both.filter((one) => one.barred("shared") === undefined).length);
    }
  };
  ours.start();
  await pass(5);
  theirs.start();
  await pass(60);
  for (let times = 0; times < 5; times++) {
    stored.delete("shared");
    await pass(45);
  }
  expect([ours.barred("shared"), theirs.barred("shared")]).toEqual([undefined, expect.stringContaining("of another installation")]);
  cut = true;
  await pass(400);
  expect([ours.barred("shared"), theirs.barred("shared")]).toEqual([expect.any(String), undefined]);
  expect(Math.max(...holders)).toBe(1);
  cut = false;
  await pass(120);
  expect(Math.max(...holders)).toBe(1);
  const stopped = Promise.all(both.map((one) => one.stop()));
  await vi.advanceTimersByTimeAsync(100);
  await stopped;
});
