// JSON of strangers is measured before it is parsed: one pass over the bytes, and nothing is built for a document that is refused.

export interface JsonLimits {
  readonly maxDepth: number;
  /** Values, roughly: what decides how much memory the parsed form takes. */
  readonly maxTokens?: number;
}

const quote = 0x22;
const comma = 0x2c;
const openingBracket = 0x5b;
const backslash = 0x5c;
const closingBracket = 0x5d;
const openingBrace = 0x7b;
const closingBrace = 0x7d;

/** Throws an Error with a short message (`nested deeper than 32 levels`), never with the content. Says nothing about what is no JSON. */
export function measureJson(bytes: Uint8Array, { maxDepth, maxTokens = Infinity }: JsonLimits): void {
  let depth = 0;
  let tokens = 0;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index];
    if (byte === quote) index = endOfString(bytes, index);
    else if (byte === openingBrace || byte === openingBracket) {
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
