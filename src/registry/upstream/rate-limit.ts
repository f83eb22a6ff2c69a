// What an upstream says about its limits: `ratelimit-limit: 100;w=21600` (Docker Hub), `Retry-After` in seconds, as a date, or as an epoch.

export interface RateLimit {
  readonly limit: number;
  readonly remaining: number;
  /** Milliseconds since 1970; undefined where nobody says. */
  readonly resetsAt: number | undefined;
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** Longest a Retry-After is believed, seconds. */
const maxRetryAfter = 6 * 3600;

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

/** Seconds to wait, at least 1; undefined when the header is absent or nonsense. `now` in milliseconds. */
export function readRetryAfter(headers: Headers, now: number): number | undefined {
  const text = first(headers["retry-after"])?.trim();
  if (text === undefined || text === "") return undefined;
  const at = /^\d{1,12}(\.\d+)?$/.test(text) ? epochOf(Number(text), now) : Date.parse(text);
  if (!Number.isFinite(at)) return undefined;
  return Math.min(Math.max(1, Math.ceil((at - now) / 1000)), maxRetryAfter);
}

/** Seconds from now, unless the number is so large that it can only be a point in time (Docker Hub sends both). */
const epochOf = (seconds: number, now: number) => (seconds > 1_000_000_000 ? seconds * 1000 : now + seconds * 1000);

/** `76;w=21600` */
function parseQuota(header: string | string[] | undefined): { count: number } | undefined {
  const match = /^\s*(\d{1,12})(?:\s*[;,].*)?$/.exec(first(header) ?? "");
  return match === null ? undefined : { count: Number(match[1]) };
}

const first = (header: string | string[] | undefined) => (Array.isArray(header) ? header[0] : header);
