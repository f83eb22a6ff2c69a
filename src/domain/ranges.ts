// Byte ranges: `Range` of downloads (RFC 9110, section 14) and `Content-Range` of upload chunks (distribution spec, "Pushing a blob in chunks").

export type RequestedRange =
  | { readonly kind: "whole" }
  /** Both ends inclusive, within the size. */
  | { readonly kind: "part"; readonly start: number; readonly end: number }
  // Answered 416, with the size in Content-Range.
  | { readonly kind: "unsatisfiable" };

const whole: RequestedRange = { kind: "whole" };
const unsatisfiable: RequestedRange = { kind: "unsatisfiable" };

/**
 * What of `size` bytes a `Range` header asks for: `bytes=0-99`, `bytes=100-` or `bytes=-50`.
 * A header that is no range of bytes is ignored, as RFC 9110 14.2 says; several ranges get the whole, which every client of
 * zstd:chunked images understands.
 */
export function parseRange(header: string | undefined, size: number): RequestedRange {
  if (header === undefined) return whole;
  const match = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header);
  if (match === null) return whole;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return whole;
  return first === "" ? suffix(Number(last), size) : fromTo(Number(first), last === "" ? Infinity : Number(last), size);
}

function suffix(length: number, size: number): RequestedRange {
  if (length === 0) return unsatisfiable;
  if (size === 0) return whole;
  return { kind: "part", start: Math.max(0, size - length), end: size - 1 };
}

function fromTo(start: number, end: number, size: number): RequestedRange {
  // Malformed rather than unsatisfiable, but RFC 9110 allows the refusal, and the conformance suite asks for it.
  if (end < start) return unsatisfiable;
  // containerd asks for `bytes=0-` by habit: of nothing, nothing is all there is.
  if (start === 0 && size === 0) return whole;
  if (start >= size) return unsatisfiable;
  return { kind: "part", start, end: Math.min(end, size - 1) };
}

/** Inclusive ends of an upload chunk. */
export interface ChunkRange {
  readonly start: number;
  readonly end: number;
}

/** `Content-Range: <start>-<end>` of a chunk, as the distribution spec writes it (no unit); undefined when it is not one. */
export function parseChunkRange(header: string): ChunkRange | undefined {
  const match = /^(\d{1,16})-(\d{1,16})$/.exec(header);
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2]);
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || end < start) return undefined;
  return { start, end };
}

/** `Range` in answers about an upload: docker's client wants `0-<last>` without a unit and an end that is not below the start. */
export function formatUploadRange(offset: number): string {
  return `0-${Math.max(0, offset - 1)}`;
}
