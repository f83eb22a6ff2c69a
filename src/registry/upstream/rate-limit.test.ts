import { expect, test } from "vitest";

import { readRateLimit } from "./rate-limit.ts";

const now = Date.UTC(2026, 10, 21, 12);

test.each([
  [
    "Docker Hub",
    { "ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600" },
    { limit: 100, remaining: 76, resetsAt: undefined },
  ],
  [
    "IETF draft with reset",
    { "ratelimit-limit": "10", "ratelimit-remaining": "0", "ratelimit-reset": "60" },
    { limit: 10, remaining: 0, resetsAt: now + 60_000 },
  ],
  [
    "GitHub: reset as a point in time",
    { "x-ratelimit-limit": "60", "x-ratelimit-remaining": "59", "x-ratelimit-reset": String(now / 1000 + 5) },
    { limit: 60, remaining: 59, resetsAt: now + 5000 },
  ],
  ["more left than there is", { "ratelimit-limit": "10", "ratelimit-remaining": "99" }, { limit: 10, remaining: 10, resetsAt: undefined }],
  ["one of two", { "ratelimit-limit": "10" }, undefined],
  ["nonsense", { "ratelimit-limit": "many", "ratelimit-remaining": "-1" }, undefined],
  ["nothing", {}, undefined],
])("limit: %s", (_, headers, expected) => {
  expect(readRateLimit(headers, now)).toEqual(expected);
});
