// The CEL rules of the CRDs, judged as an API server judges them (Kubernetes: "Validation rules"): each at its place in the schema,
// `self` being the value there; rules that name `oldSelf` only where there is an old value.

import { Environment, type ParseResult } from "@marcbachmann/cel-js";
import { RE2JS } from "re2js";

import type { CelRule, Schema } from "./crds.ts";
import { formatPath, parsePath, type PathSegment, type Problem } from "./problem.ts";
import { isObject } from "./structure.ts";

// The library's `matches` is JavaScript's; Kubernetes' is RE2. Its own cannot be replaced, so ours has another name.
const environment = new Environment()
  .registerVariable("self", "dyn")
  .registerVariable("oldSelf", "dyn")
  .registerFunction("string.matchesRE2(string): bool", (text: string, pattern: string) => RE2JS.compile(pattern).matcher(text).find());

const parsed = new Map<string, ParseResult>();

function parseRule(rule: string): ParseResult {
  let program = parsed.get(rule);
  if (program === undefined) {
    program = environment.parse(rule.replaceAll(".matches(", ".matchesRE2("));
    parsed.set(rule, program);
  }
  return program;
}

/** Names that CEL reserves; Kubernetes writes them with underscores around. */
const reserved = new Set(
  "true false null in as break const continue else for function if import let loop package namespace return var void while".split(" "),
);

/** A value as CEL sees it: integers apart from doubles, reserved names escaped. Unknown fields must be gone. */
function toCel(schema: Schema, value: unknown): unknown {
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map((item: unknown) => toCel(schema.items ?? {}, item));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [reserved.has(key) ? `__${key}__` : key, toCel(schema.properties?.[key] ?? {}, child)]),
  );
}

/**
 * Judges a value. `old`: what stood there before, if anything did. `touched`: where the schema has refused something (touchedBy); rules that look
 * there are left out, as they would say of a typing mistake that something is missing.
 */
export function celProblems(
  schema: Schema,
  value: unknown,
  old: unknown,
  path: readonly PathSegment[],
  touched: ReadonlySet<string> = new Set(),
): Problem[] {
  const here = (schema["x-kubernetes-validations"] ?? [])
    .filter(({ rule }) => canBeJudged(rule, schema, path, touched))
    .flatMap((rule) => judge(rule, schema, value, old, path));
  if (Array.isArray(value) && schema.items !== undefined) {
    const items = schema.items;
    return [
      ...here,
      ...value.flatMap((item: unknown, index) => celProblems(items, item, oldItem(schema, item, old), [...path, index], touched)),
    ];
  }
  if (!isObject(value)) return here;
  const before = isObject(old) ? old : {};
  const inside = Object.entries(schema.properties ?? {})
    .filter(([field]) => value[field] !== undefined)
    .flatMap(([field, property]) => celProblems(property, value[field], before[field], [...path, field], touched));
  return [...here, ...inside];
}

/** Nothing that the rule names is wrong. A rule that looks at `self` as a whole names everything below it. */
function canBeJudged(rule: string, schema: Schema, path: readonly PathSegment[], touched: ReadonlySet<string>): boolean {
  const here = formatPath(path);
  if (!touched.has(here)) return true;
  // It may be what the rule misses, with a typing mistake.
  if (touched.has(strangerIn(here))) return false;
  const named = [...rule.matchAll(/\b(?:self|oldSelf)\b(?:\.(\w+))?/g)].map(([, field]) => field?.replace(/^__(.*)__$/, "$1"));
  return named.every(
    (field) => field !== undefined && schema.properties?.[field] !== undefined && !touched.has(formatPath([...path, field])),
  );
}

/** No path has a space. */
const strangerIn = (path: string) => `${path} ?`;

/** The paths of what is wrong, and of everything around it. */
export function touchedBy(problems: readonly Problem[]): ReadonlySet<string> {
  const touched = new Set<string>();
  for (const { path, rule } of problems) {
    const segments = parsePath(path);
    if (rule === "unknown-field") touched.add(strangerIn(formatPath(segments.slice(0, -1))));
    for (let length = segments.length; length >= 0; length--) {
      const around = formatPath(segments.slice(0, length));
      if (length < segments.length && touched.has(around)) break;
      touched.add(around);
    }
  }
  return touched;
}

/** Only entries of lists with keys have a past. */
function oldItem(schema: Schema, item: unknown, old: unknown): unknown {
  const keys = schema["x-kubernetes-list-map-keys"];
  if (keys === undefined || !isObject(item) || !Array.isArray(old)) return undefined;
  return old.find((other: unknown) => isObject(other) && keys.every((key) => other[key] === item[key]));
}

function judge(rule: CelRule, schema: Schema, value: unknown, old: unknown, path: readonly PathSegment[]): Problem[] {
  if (/\boldSelf\b/.test(rule.rule) && old === undefined) return [];
  const at = [...path, ...(rule.fieldPath?.split(".").slice(1) ?? [])];
  const problem = (reason: string): Problem[] => [{ path: formatPath(at), message: `${rule.message}${reason}`, rule: "cel" }];
  try {
    const context = { self: toCel(schema, value), oldSelf: toCel(schema, old) };
    return parseRule(rule.rule)(context) === true ? [] : problem("");
  } catch (error) {
    // An expression that fails says no, as at an API server; the reason is what the person needs to know.
    return problem(` (${(error as Error).message.split("\n")[0] ?? ""})`);
  }
}
