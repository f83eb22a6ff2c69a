// What is wrong with a resource, for the person who wrote it.

export interface Problem {
  /** Where: `spec.images[0].repository`. */
  readonly path: string;
  /** What, and what to do about it; reads on after the path. */
  readonly message: string;
  /** Which rule: a keyword of the schema, `unknown-field`, `duplicate`, `cel`, or `code-…` for what no API server checks. */
  readonly rule: string;
}

export type PathSegment = string | number;

/** `["spec", "images", 0]` → `spec.images[0]`; names that are no words are quoted: `metadata.annotations["a/b"]`. */
export function formatPath(segments: readonly PathSegment[]): string {
  return segments.reduce<string>((text, segment) => {
    if (typeof segment === "number") return `${text}[${segment}]`;
    if (!/^\w+$/.test(segment)) return `${text}[${JSON.stringify(segment)}]`;
    return text === "" ? segment : `${text}.${segment}`;
  }, "");
}

/** The way back from `formatPath`. Anything else gives the segments that could be read. */
export function parsePath(path: string): PathSegment[] {
  const found = path.matchAll(/\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|(\w+)/g);
  return [...found].map(([, index, quoted, word]) => {
    if (index !== undefined) return Number(index);
    return quoted === undefined ? (word ?? "") : (JSON.parse(quoted) as string);
  });
}
