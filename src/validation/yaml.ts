// YAML as it may come from anybody: size checked first, no anchors, aliases, merge keys or tags, no key twice, and every value knows its line.

import {
  Composer,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
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

const maxDepth = 64;

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
  const tokens = parseTokens(text, lines);
  if (tokens === undefined) return { documents: [], problems: [{ line: undefined, message: tooDeep }] };
  const composer = new Composer({
    // The library compares every key with every other; ours below is linear.
    uniqueKeys: false,
    merge: false,
    stringKeys: true,
    schema: "core",
    logLevel: "silent",
  });
  const judged = [...composer.compose(tokens)].map((document) => judge(document, lines));
  return { documents: judged.flatMap(({ documents }) => documents), problems: judged.flatMap(({ problems }) => problems) };
}

export const tooDeep = `is nested more than ${maxDepth} levels deep`;

/** What a composer takes; undefined: too deep. The library composes recursively and would end its stack. */
export function parseTokens(text: string, lines: LineCounter): readonly CST.Token[] | undefined {
  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  return tokens.some((token) => isDeeperThan(token, maxDepth)) ? undefined : tokens;
}

/** Walks the tokens without recursion. */
function isDeeperThan(root: CST.Token, limit: number): boolean {
  let level: CST.Token[] = [root];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > limit) return true;
    level = level.flatMap(childrenOf);
  }
  return false;
}

function childrenOf(token: CST.Token): CST.Token[] {
  if (token.type === "document") return token.value === undefined ? [] : [token.value];
  if (!("items" in token)) return [];
  return token.items.flatMap(({ key, value }) => [key, value].filter((child) => child !== undefined && child !== null));
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
