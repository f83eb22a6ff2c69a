// `Retry-After` as it is really sent: seconds, a date, or a point in time (RFC 9110, 10.2.3, and Docker Hub).

/** Longest a Retry-After is believed, seconds. */
const maxRetryAfter = 6 * 3600;

/** Seconds to wait, at least 1; undefined when the header is absent or nonsense. `now` in milliseconds. */
export function readRetryAfter(headers: Readonly<Record<string, string | string[] | undefined>>, now: number): number | undefined {
  const header = headers["retry-after"];
  const text = (Array.isArray(header) ? header[0] : header)?.trim();
  if (text === undefined || text === "") return undefined;
  const at = /^\d{1,12}(\.\d+)?$/.test(text) ? epochOf(Number(text), now) : Date.parse(text);
  if (!Number.isFinite(at)) return undefined;
  return Math.min(Math.max(1, Math.ceil((at - now) / 1000)), maxRetryAfter);
}

/** Milliseconds since 1970. Seconds from `now`, unless the number is so large that it can only be a point in time (Docker Hub sends both). */
export function epochOf(seconds: number, now: number): number {
  return seconds > 1_000_000_000 ? seconds * 1000 : now + seconds * 1000;
}
