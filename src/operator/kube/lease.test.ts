// A holder that slept. Who holds a Lease on a real API server: test/kubernetes/lease.test.ts.

import { pino } from "pino";
import { expect, test } from "vitest";

import { KubeError } from "./errors.ts";
import type { KubeClient, KubeRequest } from "./kube-client.ts";
import { LeaseHolder } from "./lease.ts";

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
