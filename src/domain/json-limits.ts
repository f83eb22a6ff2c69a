// JSON of strangers is measured before it is parsed: one pass over the bytes, and nothing is built for a document that is refused.

import { randomInt } from "node:crypto";

export interface JsonLimits {
  readonly maxDepth: number;
  /** Values, roughly: what decides how much memory the parsed form takes. */
  readonly maxTokens?: number;
  /** Different names of members: each takes ten times the memory of a value. */
  readonly maxNames?: number;
}

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const space = 0x20;
const openingBracket = 0x5b;
const backslash = 0x5c;
const closingBracket = 0x5d;
const openingBrace = 0x7b;
const closingBrace = 0x7d;

/** Throws an Error with a short message (`nested deeper than 32 levels`), never with the content. Says nothing about what is no JSON. */
export function measureJson(bytes: Uint8Array, { maxDepth, maxTokens = Infinity, maxNames = Infinity }: JsonLimits): void {
  // Their hashes: two names with one hash are counted as one, and which have one nobody can prepare.
  const names = new Set<number>();
  let depth = 0;
  let tokens = 0;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index];
    if (byte === quote) {
      const end = endOfString(bytes, index);
      if (maxNames !== Infinity && isName(bytes, end) && names.add(hashOf(bytes, index + 1, end)).size > maxNames)
        throw new Error(`more than ${maxNames} different names`);
      index = end;
    } else if (byte === openingBrace || byte === openingBracket) {
      tokens++;
      if (++depth > maxDepth) throw new Error(`nested deeper than ${maxDepth} levels`);
    } else if (byte === closingBrace || byte === closingBracket) depth--;
    else if (byte === comma) tokens++;
    if (tokens > maxTokens) throw new Error(`more than ${maxTokens} values`);
  }
}

function endOfString(bytes: Uint8Array, start: number): number {
  let index = start + 1;
  while (index < bytes.length && bytes[index] !== quote) index += bytes[index] === backslash ? 2 : 1;
  return index;
}

/** Of the string that ends there. */
function isName(bytes: Uint8Array, end: number): boolean {
  let next = end + 1;
  while ((bytes[next] ?? Infinity) <= space) next++;
  return bytes[next] === colon;
}

/** In the place of FNV's constant: another one in each process. */
const basis = randomInt(2 ** 32);

/** As FNV-1a, 32 bits. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = basis;
  for (let index = start; index < end; index++) hash = Math.imul(hash ^ (bytes[index] ?? 0), 0x01000193);
  return hash;
}
