// The schema's own keywords, judged by ajv, in words for the person who wrote the resource.

import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";

import type { Schema } from "./crds.ts";
import { formatPath, type PathSegment, type Problem } from "./problem.ts";
import { isObject } from "./structure.ts";
import { closest } from "./suggestion.ts";

const ajv = new Ajv({ strict: false, allErrors: true, verbose: true, messages: false, validateFormats: false });
const compiled = new WeakMap<Schema, ValidateFunction>();

const durationPattern = "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$";
/** `pattern` says it to a program; these say it to people. */
const forms: Readonly<Record<string, string>> = {
  [durationPattern]: "must be a duration of hours, minutes, seconds and milliseconds, for example 1h30m",
  "^[1-9][0-9]*(\\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?$": "must be a quantity of bytes above zero, for example 100Gi",
  "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$": "must be a name of lower case letters, digits, - and ., with a letter or digit at both ends",
  "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": "must be a name of lower case letters, digits and -, with a letter or digit at both ends",
  "^[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?$": "must be a name of letters, digits, . _ and -, with a letter or digit at both ends",
  "^[a-zA-Z0-9_][a-zA-Z0-9._-]*$": "must be a tag: letters, digits, . _ and -, not starting with . or -",
  "^[a-zA-Z0-9._-]*$": "may hold letters, digits, . _ and -",
};

/** Go's durations, which Kubernetes takes, know no days: people write them all the same. */
function inHours(pattern: string, data: unknown): string {
  const [, count, unit] = pattern === durationPattern && typeof data === "string" ? (/^(\d{1,6})([dw])$/.exec(data) ?? []) : [];
  return count === undefined ? "" : `; write ${Number(count) * (unit === "w" ? 168 : 24)}h`;
}

export function schemaProblems(schema: Schema, value: unknown, path: readonly PathSegment[]): Problem[] {
  let validate = compiled.get(schema);
  if (validate === undefined) {
    validate = ajv.compile(asJsonSchema(schema));
    compiled.set(schema, validate);
  }
  if (validate(value)) return [];
  return (validate.errors ?? []).map((error) => explain(error, path, value));
}

function asJsonSchema(schema: Schema): Record<string, unknown> {
  const { properties, items, default: _, ...rest } = schema;
  return {
    ...rest,
    ...(schema["x-kubernetes-int-or-string"] === true && { type: ["integer", "string"] }),
    ...(properties !== undefined && {
      properties: Object.fromEntries(Object.entries(properties).map(([key, child]) => [key, asJsonSchema(child)])),
    }),
    ...(items !== undefined && { items: asJsonSchema(items) }),
  };
}

function explain(error: ErrorObject, path: readonly PathSegment[], root: unknown): Problem {
  const segments = [...path, ...pointerSegments(error.instancePath, root)];
  const params = error.params as Readonly<Record<string, unknown>>;
  if (error.keyword === "required") {
    return { path: formatPath([...segments, String(params["missingProperty"])]), message: "is required", rule: "required" };
  }
  return { path: formatPath(segments), message: describe(error, params), rule: error.keyword };
}

function describe(error: ErrorObject, params: Readonly<Record<string, unknown>>): string {
  const limit = String(params["limit"]);
  switch (error.keyword) {
    case "type":
      return typeMessage([params["type"]].flat().map(String), error.data);
    case "enum":
      return enumMessage(params["allowedValues"] as readonly string[], error.data);
    case "pattern":
      return `${forms[String(params["pattern"])] ?? `must have the form ${String(params["pattern"])}`}${inHours(String(params["pattern"]), error.data)}`;
    case "minLength":
      return limit === "1" ? "must not be empty" : `must have at least ${limit} characters`;
    case "maxLength":
      return `must have at most ${limit} characters, has ${Array.from(error.data as string).length}`;
    case "minItems":
      return limit === "1" ? "must not be empty" : `must have at least ${limit} entries`;
    case "maxItems":
      return `must have at most ${limit} entries, has ${(error.data as unknown[]).length}`;
    case "minimum":
      return `must be at least ${limit}, is ${String(error.data)}`;
    case "maximum":
      return `must be at most ${limit}, is ${String(error.data)}`;
    default:
      return `breaks the rule "${error.keyword}"`;
  }
}

const article = (type: string) => (/^[aeio]/.test(type) ? `an ${type}` : `a ${type}`);

function typeMessage(expected: readonly string[], data: unknown): string {
  const words = expected.map((type) => (type === "array" ? "a list" : article(type))).join(" or ");
  const hint =
    expected.length === 1 && expected[0] === "string" && (typeof data === "number" || typeof data === "boolean")
      ? ": put it in quotes"
      : "";
  return `must be ${words}, is ${describeType(data)}${hint}`;
}

function describeType(data: unknown): string {
  if (data === null) return "empty (null)";
  if (Array.isArray(data)) return "a list";
  if (isObject(data)) return "an object";
  return article(typeof data);
}

function enumMessage(allowed: readonly string[], data: unknown): string {
  const guess = typeof data === "string" ? closest(data, allowed) : undefined;
  return `must be one of ${allowed.join(", ")}${guess === undefined ? "" : `; did you mean ${guess}?`}`;
}

/** A JSON pointer; whether `0` is an index is decided by what is there. */
function pointerSegments(pointer: string, root: unknown): PathSegment[] {
  let here = root;
  return pointer
    .split("/")
    .slice(1)
    .map((part) => {
      const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
      const segment = Array.isArray(here) ? Number(key) : key;
      here = (here as Record<PathSegment, unknown> | undefined)?.[segment];
      return segment;
    });
}
