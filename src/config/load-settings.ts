// `--settings FILE` → Settings. Every mistake is named with its line; an unknown key is a mistake, not a comment.

import { readFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";

import { Ajv, type ErrorObject } from "ajv";
import ipaddr from "ipaddr.js";
import { isMap, isScalar, LineCounter, parseDocument, type Document } from "yaml";

import { isAllowedSigner } from "../domain/allowed-signers.ts";
import { formatDuration, parseDuration } from "../domain/duration.ts";
import { isGlob } from "../domain/glob.ts";
import { parseQuantity } from "../domain/quantity.ts";
import { formats, instead, least, most, registryOnly } from "./schema/fields.ts";
import { formatPatterns, formatSentences } from "./schema/forms.ts";
import { settingsSchema } from "./settings-schema.ts";
import { defaultSettings, type Settings } from "./settings.ts";

const maxBytes = 1024 * 1024;

/** `problems`: one `file:line: key: what is wrong` each. */
export class SettingsError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.name = "SettingsError";
    this.problems = problems;
  }
}

export interface LoadOptions {
  /** Who goes by them: what brings its own database and folder refuses settings that name others. `embedded`: `wharfinger registry --data`. */
  readonly role?: "serve" | "registry" | "embedded";
}

/** The defaults with what the file says over them. Rejects with SettingsError. */
export async function loadSettings(file: string | undefined, options: LoadOptions = {}): Promise<Settings> {
  if (file === undefined) return defaultSettings;
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new SettingsError([`${file}: cannot be read (${error.code ?? error.message})`]);
  });
  return parseSettings(text, file, options);
}

/** `file` is for messages. Throws SettingsError. */
export function parseSettings(text: string, file: string, { role }: LoadOptions = {}): Settings {
  if (text.length > maxBytes) throw new SettingsError([`${file}: larger than 1 MiB, which no settings are`]);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineAt = (offset: number) => lines.linePos(offset).line;
  const malformed = document.errors.map((error) => `${file}:${lineAt(error.pos[0])}: ${error.message}`);
  if (malformed.length > 0) throw new SettingsError(malformed);
  const value = valueOf(document, file);
  const found = validate(value)
    ? role === "serve" || role === "embedded"
      ? unheeded(settingsSchema, { base: defaultSettings, given: value, path: [], message: ofOthers[role] })
      : []
    : (validate.errors ?? []).filter(({ keyword }) => keyword !== "if").map(explain);
  if (found.length > 0) {
    const problems = found.map(({ path, message }) => ({
      line: lineAt(offsetOf(document, path)),
      text: `${path.length === 0 ? "" : `${written(path)}: `}${message}`,
    }));
    problems.sort((a, b) => a.line - b.line);
    throw new SettingsError(problems.map(({ line, text }) => `${file}:${line}: ${text}`));
  }
  return overlay(settingsSchema, defaultSettings, value) as Settings;
}

/** As a person would write them into the file: durations as text. Settings hold no secrets. */
export function describeSettings(settings: Settings): Record<string, unknown> {
  return describe(settingsSchema, settings) as Record<string, unknown>;
}

function valueOf(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 }) ?? {};
  } catch {
    throw new SettingsError([`${file}: anchors and aliases are not read here; write the value out`]);
  }
}

/** A limit of a duration or quantity. What is neither is the format's to refuse. */
function limit(keyword: typeof least | typeof most, holds: (value: number, limit: number) => boolean) {
  return {
    keyword,
    validate: (limit: number, given: unknown, node?: SchemaNode) => {
      const value = parsed(node ?? {}, given);
      return value === undefined || holds(value, limit);
    },
  };
}

const validate = new Ajv({
  allErrors: true,
  verbose: true, // parentSchema in the errors
  strict: false,
  keywords: [limit(least, (value, limit) => value >= limit), limit(most, (value, limit) => value <= limit)],
  formats: {
    [formats.duration]: (text: string) => parseDuration(text) !== undefined,
    [formats.positiveDuration]: (text: string) => (parseDuration(text) ?? 0) > 0,
    [formats.quantity]: (text: string) => parseQuantity(text) !== undefined,
    [formats.cidr]: (text: string) => hasForm(formats.cidr, text) && ipaddr.isValidCIDR(text), // which takes 10.1/16 for 10.0.0.1/16
    [formats.glob]: isGlob,
    [formats.signer]: isAllowedSigner,
    // Of a text its type is the mistake.
    [formats.administrator]: () => true,
    [formats.host]: (text: string) => hasForm(formats.host, text),
    [formats.url]: (text: string) => hasForm(formats.url, text) && isUrl(text),
    [formats.keySet]: (text: string) => hasForm(formats.keySet, text) && (!text.includes("://") || isUrl(text)),
    [formats.remote]: (text: string) => hasForm(formats.remote, text) && isRemote(text),
    [formats.postgres]: (text: string) => hasForm(formats.postgres, text) && isUrl(text),
  },
}).compile(settingsSchema);

/** What the chart asks, too. Its scheme, and that there is no password: secrets come from files, settings are printed. */
function hasForm(format: keyof typeof formatPatterns, text: string): boolean {
  return new RegExp(formatPatterns[format]).test(text);
}

function isUrl(text: string): boolean {
  return URL.canParse(text) && new URL(text).hostname !== "" && new URL(text).password === "";
}

/** What git can be given as it is: a scheme, a host, a path, and for ssh a user. */
function isRemote(text: string): boolean {
  if (!isUrl(text)) return false;
  const { pathname, search, hash } = new URL(text);
  return pathname.length > 1 && search === "" && hash === "";
}

interface Problem {
  readonly path: readonly string[];
  readonly message: string;
}

const ofOthers = {
  serve:
    "for `wharfinger registry` only: `wharfinger serve` brings its own database and a folder for the bytes. Take it out, or start `npx wharfinger registry`",
  embedded: "with --data the database and the bytes are in that folder. Take it out, or start without --data",
} as const;

interface Unheeded {
  readonly base: unknown;
  readonly given: unknown;
  readonly path: readonly string[];
  readonly message: string;
}

/** What somebody wants otherwise than it is, and who brings its own would not heed. */
function unheeded(schema: SchemaNode, { base, given, path, message }: Unheeded): Problem[] {
  if (given === undefined) return [];
  if (schema[registryOnly] === true) return isDeepStrictEqual(overlay(schema, base, given), base) ? [] : [{ path, message }];
  const [left, right] = [base, given] as (Record<string, unknown> | undefined)[];
  return Object.entries(schema.properties ?? {}).flatMap(([key, child]) =>
    unheeded(child, { base: left?.[key], given: right?.[key], path: [...path, key], message }),
  );
}

function explain({ instancePath, keyword, params, message, parentSchema }: ErrorObject): Problem {
  const path = instancePath.split("/").slice(1);
  const param = params as Record<string, unknown>;
  const node = (parentSchema ?? {}) as SchemaNode;
  const { format, properties } = node;
  if (keyword === "additionalProperties") {
    const known = Object.keys(properties ?? {});
    return { path: [...path, String(param["additionalProperty"])], message: `unknown key; known here: ${known.join(", ")}` };
  }
  if (format !== undefined && (keyword === "format" || keyword === "type")) return { path, message: formatSentences[format] ?? "" };
  if (keyword === "pattern") return { path, message: node[instead] ?? "" };
  if (keyword === least || keyword === most) {
    return { path, message: `must be at ${keyword === least ? "least" : "most"} ${writtenLimit(node, node[keyword] ?? 0)}` };
  }
  if (keyword === "dependencies")
    return { path, message: `${String(param["missingProperty"])} is missing; ${String(param["property"])} needs it` };
  if (keyword === "false schema") return { path, message: "is of another kind than this; take it out" };
  if (keyword === "required") return { path, message: `${String(param["missingProperty"])} is missing` };
  if (keyword === "enum") return { path, message: `must be one of ${(param["allowedValues"] as unknown[]).join(", ")}` };
  return { path, message: message ?? "is not valid" };
}

/** ["tenants", "0", "kinds"] → tenants[0].kinds */
function written(path: readonly string[]): string {
  return path.map((step, index) => (/^\d+$/.test(step) ? `[${step}]` : `${index === 0 ? "" : "."}${step}`)).join("");
}

/** Where the key of `path` stands, or as much of it as exists. */
function offsetOf(document: Document, path: readonly string[]): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => (isScalar(key) ? String(key.value) : "") === step);
      if (pair === undefined) break;
      offset = isScalar(pair.key) ? (pair.key.range?.[0] ?? offset) : offset;
      node = pair.value;
    } else {
      node = (node as { items?: unknown[] } | null)?.items?.[Number(step)];
      offset = (node as { range?: [number, number, number] } | null)?.range?.[0] ?? offset;
    }
  }
  return offset;
}

interface SchemaNode {
  readonly default?: unknown;
  readonly items?: SchemaNode;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly format?: string;
  readonly [instead]?: string;
  readonly [least]?: number;
  readonly [most]?: number;
  readonly [registryOnly]?: true;
}

/** What the file says over the defaults, group by group; lists replace. Durations become milliseconds, quantities bytes. */
function overlay(schema: SchemaNode, base: unknown, given: unknown): unknown {
  if (given === undefined) return base ?? (schema.default === undefined ? undefined : overlay(schema, undefined, schema.default));
  if (schema.properties !== undefined && typeof given === "object") {
    const [left, right] = [base, given] as Record<string, unknown>[];
    const merged = Object.entries(schema.properties).map(([key, child]) => [key, overlay(child, left?.[key], right?.[key])] as const);
    return Object.fromEntries(merged.filter(([, value]) => value !== undefined));
  }
  if (schema.items !== undefined) return (given as unknown[]).map((item) => overlay(schema.items ?? {}, undefined, item));
  return isDuration(schema) || schema.format === formats.quantity ? parsed(schema, given) : given;
}

/** Milliseconds or bytes; undefined for what is neither a duration nor a quantity. */
function parsed(schema: SchemaNode, given: unknown): number | undefined {
  if (isDuration(schema)) return typeof given === "string" ? parseDuration(given) : undefined;
  return typeof given === "string" || typeof given === "number" ? parseQuantity(given) : undefined;
}

/** As a person would write it: `1s`, `1Mi`. */
export function writtenLimit(schema: { readonly format?: string }, limit: number): string {
  return isDuration(schema) ? formatDuration(limit) : `${limit / 1024 ** 2}Mi`;
}

function describe(schema: SchemaNode, value: unknown): unknown {
  if (value === undefined) return undefined;
  if (schema.properties !== undefined) {
    const group = value as Record<string, unknown>;
    const described = Object.entries(schema.properties).map(([key, child]) => [key, describe(child, group[key])] as const);
    return Object.fromEntries(described.filter(([, part]) => part !== undefined));
  }
  return isDuration(schema) ? formatDuration(value as number) : value;
}

function isDuration({ format }: { readonly format?: string }): boolean {
  return format === formats.duration || format === formats.positiveDuration;
}
