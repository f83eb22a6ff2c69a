import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { targetUrl } from "../../domain/registry-address.ts";
import { RateBudget } from "./budget.ts";
import type { UpstreamTarget } from "./target.ts";

const target: UpstreamTarget = {
  key: "default/hub",
  url: targetUrl("https://docker.io"),
  insecure: false,
  allowedHosts: [],
  credentials: { state: "anonymous" },
  tls: {},
  timeouts: { connect: 1000, firstByte: 1000, idle: 1000 },
  rateLimit: { reservePercent: 20 },
};
const quota = (remaining: number) => ({ "ratelimit-limit": "100;w=21600", "ratelimit-remaining": `${remaining};w=21600` });

beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 10, 21, 12) }));
afterEach(() => void vi.useRealTimers());

const budget = (rateLimit = target.rateLimit) => new RateBudget({ ...target, rateLimit }, { now: Date.now });

test("what is left below the reserve is for pulls", async () => {
  const it = budget();
  it.learn(200, quota(20));
  await Promise.all([it.admit("pull"), it.admit("tag-sync"), it.admit("prefetch")]);
  it.learn(200, quota(19));
  await it.admit("pull");
  for (const priority of ["tag-sync", "prefetch"] as const) {
    await expect(it.admit(priority)).rejects.toMatchObject({
      code: "RateLimited",
      message: "registry-1.docker.io has 19 of 100 requests left, which are kept for pulls",
    });
  }
  // What was learned does not count for ever.
  vi.advanceTimersByTime(6 * 3600_000);
  await it.admit("prefetch");
});

test("after a 429 nobody asks until it said so", async () => {
  const it = budget();
  expect(it.learn(429, { "retry-after": "30" })).toBe(30);
  await expect(it.admit("pull")).rejects.toMatchObject({
    code: "RateLimited",
    retryAfter: 30,
    message: "registry-1.docker.io answers 429 until 2026-11-21T12:00:30.000Z",
  });
  expect(it.blockedUntil()).toBe(Date.UTC(2026, 10, 21, 12, 0, 30));
  vi.advanceTimersByTime(30_000);
  await it.admit("pull");
  expect(it.blockedUntil()).toBeUndefined();
});

test("requestsPerSecond spreads requests", async () => {
  const it = budget({ reservePercent: 0, requestsPerSecond: 4 });
  const admitted: number[] = [];
  const began = Date.now();
  const all = Promise.all(Array.from({ length: 5 }, () => it.admit("pull").then(() => admitted.push(Date.now() - began))));
  await vi.advanceTimersByTimeAsync(2000);
  await all;
  expect(admitted).toEqual([0, 250, 500, 750, 1000]);
});
