// YAML as the record takes it: one document, no anchors, no aliases, no tags, bounded before it is parsed.

import { isMap, isNode, isScalar, isSeq, LineCounter, visit, type Document, type Pair, type Scalar } from "yaml";

import { maxParts, parseWithin } from "../validation/yaml.ts";

export interface FileProblem {
  readonly path: string;
  /** 1-based; undefined when the whole file is meant. */
  readonly line: number | undefined;
  readonly message: string;
}

/** `spec.images[0].repository`, or its segments where names have dots. */
export type FieldPath = string | readonly (string | number)[];

export interface YamlFile {
  readonly document: Document.Parsed;
  /** Line of a field such as `spec.images[0].repository`, of its nearest parent when it is missing. */
  lineOf(field: FieldPath): number | undefined;
}

export interface FileLimits {
  readonly bytes: number;
  readonly parts: number;
}

/** A resource is bounded by its schema, a ledger grows with every version. */
export const fileLimits = {
  resource: { bytes: 256 * 1024, parts: maxParts },
  ledger: { bytes: 16 * 1024 * 1024, parts: 1_000_000 },
} as const satisfies Record<string, FileLimits>;

/** Parses, or says what is wrong and in which line. */
export function parseYaml(path: string, bytes: Buffer, limits: FileLimits): YamlFile | FileProblem {
  if (bytes.length > limits.bytes)
    return { path, line: undefined, message: `is ${bytes.length} bytes long; at most ${limits.bytes} are read` };
  const lines = new LineCounter();
  const composer = { stringKeys: true, uniqueKeys: false };
  const parsed = parseWithin(bytes.toString("utf8"), { lines, maxParts: limits.parts, composer });
  if (parsed.refused !== undefined) return { path, line: undefined, message: parsed.refused };
  const [document, second] = parsed.documents;
  if (document === undefined) return { path, line: undefined, message: "is empty" };
  if (second !== undefined)
    return { path, line: lineAt(lines, second.range[0]), message: "has a second document; one file is one document" };
  const [error] = [...document.errors, ...document.warnings];
  if (error !== undefined) return { path, line: lineAt(lines, error.pos[0]), message: error.message };
  const refused = refuse(document);
  if (refused !== undefined) return { path, line: lineAt(lines, refused.offset), message: refused.message };
  return { document, lineOf: (field) => lineOfField(document, lines, field) };
}

export function isProblem(file: object): file is FileProblem {
  return "message" in file;
}

function refuse(document: Document.Parsed): { offset: number; message: string } | undefined {
  let found: { offset: number; message: string } | undefined;
  visit(document, {
    Node(_, node) {
      const offset = node.range?.[0] ?? 0;
      if ("source" in node && node.constructor.name === "Alias")
        found = { offset, message: "aliases are not accepted: write the value out" };
      else if ("anchor" in node && node.anchor !== undefined) found = { offset, message: "anchors are not accepted: write the value out" };
      else if (node.tag !== undefined) found = { offset, message: `the tag ${node.tag} is not accepted: write the value plainly` };
      return found === undefined ? undefined : visit.BREAK;
    },
    // The library compares every key with every other; a ledger has thousands.
    Map(_, map) {
      const keys = new Set<unknown>();
      for (const { key } of map.items) {
        const { value, range } = key as { value?: unknown; range?: [number, number, number] };
        if (keys.has(value)) found = { offset: range?.[0] ?? 0, message: `"${String(value)}" is there twice` };
        keys.add(value);
      }
      return found === undefined ? undefined : visit.BREAK;
    },
    Pair(_, pair) {
      const key = pair.key as { value?: unknown; range?: [number, number, number] } | null;
      if (key?.value !== "<<") return undefined;
      found = { offset: key.range?.[0] ?? 0, message: "merge keys (<<) are not accepted: write the fields out" };
      return visit.BREAK;
    },
  });
  return found;
}

function lineOfField(document: Document.Parsed, lines: LineCounter, field: FieldPath): number | undefined {
  if (document.contents === null) return undefined;
  let node: unknown = document.contents;
  let line = 1;
  for (const key of typeof field === "string" ? segmentsOf(field) : field) {
    if (isMap(node)) {
      const pair: Pair | undefined = node.items.find((candidate) => isScalar(candidate.key) && candidate.key.value === String(key));
      if (pair === undefined) break;
      line = lineAt(lines, (pair.key as Scalar).range?.[0] ?? 0);
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(key)];
      if (!isNode(node)) break;
      line = lineAt(lines, node.range?.[0] ?? 0);
    } else break;
  }
  return line;
}

function segmentsOf(field: string): readonly string[] {
  return field.split(/[.[\]]+/).filter((part) => part !== "");
}

function lineAt(lines: LineCounter, offset: number): number {
  return lines.linePos(offset).line;
}
