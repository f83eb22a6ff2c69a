// YAML as it may come from anybody: size checked first, no anchors, aliases, merge keys or tags, no key twice, and every value knows its line.

import {
  Composer,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  visit,
  type CST,
  type Document,
  type Node,
  type Pair,
} from "yaml";

import { parsePath } from "./problem.ts";

/** Of one file. The largest Secret that Kubernetes takes has 1 MiB. */
export const maxFileBytes = 3 * 1024 * 1024;

/** Of one file: names, values, the signs between them, and lines. A thousand ordinary resources; some 3 µs each, and nothing else is done meanwhile. */
export const maxParts = 100_000;

const maxDepth = 64;
const maxProblems = 20;

export interface YamlProblem {
  readonly line: number | undefined;
  readonly message: string;
}

export interface YamlDocument {
  /** Where it starts, 1-based. */
  readonly line: number;
  readonly value: unknown;
  /** Line of a field, or of the nearest one around it that exists. */
  lineOf(path: string): number;
}

export interface YamlFile {
  readonly documents: readonly YamlDocument[];
  /** Not empty: a document is malformed, and it is not among `documents`. */
  readonly problems: readonly YamlProblem[];
}

/** Reads all documents of a text. Never throws. Messages never quote values: they may be secret. */
export function readYaml(text: string): YamlFile {
  if (Buffer.byteLength(text) > maxFileBytes) {
    return { documents: [], problems: [{ line: undefined, message: `is larger than ${maxFileBytes / 1024 / 1024} MiB: split it` }] };
  }
  const lines = new LineCounter();
  const composer = {
    // The library compares every key with every other; ours below is linear.
    uniqueKeys: false,
    merge: false,
    stringKeys: true,
    schema: "core",
    logLevel: "silent",
  } as const;
  const parsed = parseWithin(text, { lines, maxParts, composer });
  if (parsed.refused !== undefined) return { documents: [], problems: [{ line: undefined, message: parsed.refused }] };
  const judged = parsed.documents.map((document) => judge(document, lines));
  return { documents: judged.flatMap(({ documents }) => documents), problems: bounded(judged.flatMap(({ problems }) => problems)) };
}

/** Each is a line in somebody's log. */
function bounded(problems: readonly YamlProblem[]): readonly YamlProblem[] {
  if (problems.length <= maxProblems) return problems;
  const more = `has ${problems.length - maxProblems} more problems like these`;
  return [...problems.slice(0, maxProblems), { line: undefined, message: more }];
}

export type Parsed =
  | { readonly documents: readonly Document.Parsed[]; readonly refused?: undefined }
  /** Given up where the limit was passed: what comes after it was not looked at. */
  | { readonly refused: string };

/** Parses with limits on depth (the library composes recursively and would end its stack) and on parts, by which the time it takes grows. */
export function parseWithin(text: string, options: { lines: LineCounter; maxParts: number; composer: ComposerOptions }): Parsed {
  const { lines, maxParts } = options;
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  const tokens: CST.Token[] = [];
  let parts = 0;
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token);
    // The stack has the document and, in it, every collection that is open.
    if (parser.stack.length - 1 > maxDepth) return { refused: `is nested more than ${maxDepth} levels deep` };
    parts += 1;
    if (Math.max(parts, lines.lineStarts.length) > maxParts)
      return { refused: `has more than ${maxParts} parts (names, values, signs, lines): split it` };
  }
  for (const token of parser.end()) tokens.push(token);
  return { documents: withoutStacks(() => [...new Composer(options.composer).compose(tokens)]) };
}

type ComposerOptions = ConstructorParameters<typeof Composer>[0];

/** The library makes an Error of everything that is wrong with a text, a hundred thousand times if need be; nobody reads where in its code. */
function withoutStacks<T>(work: () => T): T {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return work();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

function judge(document: Document.Parsed, lines: LineCounter): YamlFile {
  const problems: YamlProblem[] = [
    ...document.errors.map(({ message, pos }) => ({ line: lines.linePos(pos[0]).line, message: `is no YAML: ${withoutValues(message)}` })),
    ...document.warnings.map(({ pos }) => ({ line: lines.linePos(pos[0]).line, message: tagMessage })),
    ...refused(document, lines),
  ];
  if (problems.length > 0) return { documents: [], problems };
  const { contents } = document;
  if (contents === null || (isScalar(contents) && contents.value === null)) return { documents: [], problems: [] };
  const line = lineAt(contents, lines) ?? 1;
  return {
    documents: [{ line, value: document.toJS({ maxAliasCount: 0 }), lineOf: (path) => findLine(contents, path, lines) ?? line }],
    problems,
  };
}

/** Some of the library's messages quote what they stumbled over. */
function withoutValues(message: string): string {
  return message.replaceAll(/: .*$/gs, "").replaceAll(/"[^"]*"/g, "…");
}

function lineAt(node: Node | null | undefined, lines: LineCounter): number | undefined {
  return node?.range ? lines.linePos(node.range[0]).line : undefined;
}

const tagMessage = "has a tag (!): tags are not read, put text in quotes instead";

function refused(document: Document.Parsed, lines: LineCounter): YamlProblem[] {
  const problems: YamlProblem[] = [];
  const add = (node: Node, message: string) => problems.push({ line: lineAt(node, lines), message });
  visit(document, {
    Node: (_, node) => {
      if (isAlias(node)) {
        add(node, "has an alias (*): write the value out, aliases are not read");
        return;
      }
      if (node.anchor !== undefined) add(node, "has an anchor (&): write the value out where it is needed, anchors are not read");
      if (isScalar(node) && node.tag !== undefined) add(node, tagMessage);
      if (!isMap(node)) return;
      const seen = new Set<unknown>();
      for (const { key } of node.items) {
        if (!isScalar(key)) continue;
        if (key.value === "<<") add(key, "has a merge key (<<): write the fields out, merge keys are not read");
        if (seen.has(key.value)) add(key, `has the key ${JSON.stringify(key.value)} twice: remove one of them`);
        seen.add(key.value);
      }
    },
  });
  return problems;
}

function findLine(root: Node, path: string, lines: LineCounter): number | undefined {
  let here: Node | null = root;
  let line = lineAt(root, lines);
  for (const segment of parsePath(path)) {
    const next: Node | Pair | undefined = childOf(here, segment);
    if (next === undefined) return line;
    const place = isPair(next) ? (next.key as Node) : next;
    line = lineAt(place, lines) ?? line;
    here = isPair(next) ? (next.value as Node | null) : next;
  }
  return line;
}

function childOf(node: Node | null, segment: string | number): Node | Pair | undefined {
  if (isSeq(node)) return typeof segment === "number" ? (node.items[segment] as Node | undefined) : undefined;
  if (!isMap(node)) return undefined;
  return node.items.find(({ key }) => isScalar(key) && key.value === segment);
}
