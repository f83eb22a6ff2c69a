// JSON from strangers: bounded before it is parsed, and read by own properties alone, so that `__proto__` is a name like any other.

export interface JsonLimits {
  readonly maxDepth: number;
  /** Values, roughly: what decides how much memory the parsed form takes. */
  readonly maxTokens: number;
}

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

const quote = 0x22;
const backslash = 0x5c;
const opening = new Set([0x7b, 0x5b]); // { [
const closing = new Set([0x7d, 0x5d]); // } ]
const comma = 0x2c;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Parses UTF-8 JSON. Throws an Error with a short message, never with the content. */
export function parseJson(bytes: Uint8Array, limits: JsonLimits): Json {
  measure(bytes, limits);
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw new Error("not UTF-8");
  }
  try {
    return JSON.parse(text) as Json;
  } catch {
    throw new Error("not JSON");
  }
}

/** One pass over the bytes: cheap, and nothing is built for a document that is refused. */
function measure(bytes: Uint8Array, { maxDepth, maxTokens }: JsonLimits): void {
  let depth = 0;
  let tokens = 0;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index] ?? 0;
    if (byte === quote) index = endOfString(bytes, index);
    else if (opening.has(byte)) {
      tokens++;
      if (++depth > maxDepth) throw new Error(`nested deeper than ${maxDepth} levels`);
    } else if (closing.has(byte)) depth--;
    else if (byte === comma) tokens++;
    if (tokens > maxTokens) throw new Error(`more than ${maxTokens} values`);
  }
}

function endOfString(bytes: Uint8Array, start: number): number {
  let index = start + 1;
  while (index < bytes.length && bytes[index] !== quote) index += bytes[index] === backslash ? 2 : 1;
  return index;
}

/** An own property of an object; undefined for everything else. */
export function field(value: Json | undefined, name: string): Json | undefined {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

export function text(value: Json | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

export function list(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : [];
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
