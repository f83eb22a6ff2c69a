// What an upstream says about its limits: `ratelimit-limit: 100;w=21600` (Docker Hub).

import { epochOf } from "../../domain/retry-after.ts";

export interface RateLimit {
  readonly limit: number;
  readonly remaining: number;
  /** Milliseconds since 1970; undefined where nobody says. */
  readonly resetsAt: number | undefined;
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** The limit that these response headers state; undefined when they state none. `now` in milliseconds. */
export function readRateLimit(headers: Headers, now: number): RateLimit | undefined {
  const limit = parseQuota(headers["ratelimit-limit"] ?? headers["x-ratelimit-limit"]);
  const remaining = parseQuota(headers["ratelimit-remaining"] ?? headers["x-ratelimit-remaining"]);
  if (limit === undefined || remaining === undefined || limit.count <= 0) return undefined;
  const reset = parseQuota(headers["ratelimit-reset"] ?? headers["x-ratelimit-reset"])?.count;
  return {
    limit: limit.count,
    remaining: Math.min(remaining.count, limit.count),
    resetsAt: reset === undefined ? undefined : epochOf(reset, now),
  };
}

/** `76;w=21600` */
function parseQuota(header: string | string[] | undefined): { count: number } | undefined {
  const match = /^\s*(\d{1,12})(?:\s*[;,].*)?$/.exec(first(header) ?? "");
  return match === null ? undefined : { count: Number(match[1]) };
}

const first = (header: string | string[] | undefined) => (Array.isArray(header) ? header[0] : header);
