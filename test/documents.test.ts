// One valid and one invalid document for each rule of the four kinds: test/documents/<kind>/<rule>.{valid,invalid}.yaml.
// The leading comments of an invalid one are what the person must read, word for word. Of two documents in a file the first is
// what counted before. Rules whose name starts with `code-` are ours alone: an API server accepts those documents.

import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { describe, expect, test } from "vitest";

import { kinds, type Kind } from "../src/domain/resource.ts";
import { tagNames } from "../src/domain/version-tags.ts";
import { parseVersion } from "../src/domain/version.ts";
import { codeRules } from "../src/validation/code-rules.ts";
import { specSchemaOf, schemaOf, type Schema } from "../src/validation/crds.ts";
import { readDocuments, type ResourceDocument } from "../src/validation/documents.ts";
import { validateResource } from "../src/validation/validate-resource.ts";

const root = resolve(import.meta.dirname, "documents");

interface Case {
  readonly rule: string;
  readonly expected: readonly string[];
  readonly documents: readonly ResourceDocument[];
}

function casesOf(kind: Kind, suffix: "valid" | "invalid"): Case[] {
  const folder = join(root, kind.toLowerCase());
  return readdirSync(folder)
    .filter((file) => file.endsWith(`.${suffix}.yaml`))
    .map((file) => {
      const text = readFileSync(join(folder, file), "utf8");
      const documents = text.split(/^---$/m).map((part) => {
        const read = readDocuments([{ name: file, text: part }]);
        const document = read.resources[0];
        if (document === undefined) throw new Error(`${file}: ${JSON.stringify(read.problems)}`);
        return document;
      });
      const expected = [...text.matchAll(/^# (.*)$/gm)].map(([, line = ""]) => line);
      return { rule: file.slice(0, -`.${suffix}.yaml`.length), expected, documents };
    });
}

function judge({ documents }: Case) {
  const [first, second] = documents;
  if (first === undefined) throw new Error("no document");
  if (second === undefined) return validateResource(first);
  const before = validateResource(first);
  if (before.problems !== undefined) throw new Error(`the first document is invalid: ${JSON.stringify(before.problems)}`);
  return validateResource(second, { previous: before.spec });
}

describe.each(kinds)("%s", (kind) => {
  const valid = casesOf(kind, "valid");
  const invalid = casesOf(kind, "invalid");

  test.each(valid.map((entry) => [entry.rule, entry] as const))("%s: accepted", (_, entry) => {
    expect(judge(entry).problems).toBeUndefined();
  });

  test.each(invalid.map((entry) => [entry.rule, entry] as const))("%s: refused in these words", (rule, entry) => {
    const problems = judge(entry).problems ?? [];
    expect(problems.map(({ path, message }) => `${path}: ${message}`)).toEqual(entry.expected);
    expect(problems.map((problem) => problem.rule.startsWith("code-"))).toEqual(problems.map(() => rule.startsWith("code-")));
  });

  test("every rule has both", () => {
    expect(valid.map(({ rule }) => rule)).toEqual(invalid.map(({ rule }) => rule));
  });

  test("every CEL rule refuses something", () => {
    const said = invalid.flatMap(({ expected }) => expected).join("\n");
    const messages = [...celMessages(specSchemaOf(kind)), ...celMessages({ ...schemaOf(kind), properties: {} })];
    expect(messages.length).toBeGreaterThan(2);
    expect(messages.filter((message) => !said.includes(message))).toEqual([]);
  });
});

function celMessages(schema: Schema): string[] {
  const children = [...Object.values(schema.properties ?? {}), ...(schema.items === undefined ? [] : [schema.items])];
  return [...(schema["x-kubernetes-validations"] ?? []).map(({ message }) => message), ...children.flatMap(celMessages)];
}

test("every rule of code refuses something", () => {
  const invalid = kinds.flatMap((kind) => casesOf(kind, "invalid"));
  const used = new Set(invalid.flatMap((entry) => (judge(entry).problems ?? []).map(({ rule }) => rule)));
  expect(codeRules.filter((rule) => !used.has(rule))).toEqual([]);
});

test.each(["fullVersion", "version", "major", "minor", "patch", "build"])("{%s}: schema and tag names agree", (placeholder) => {
  const file = "tags-placeholder.valid.yaml";
  const text = readFileSync(join(root, "tagpolicy", file), "utf8");
  const template = `v{${placeholder}}`;
  const document = readDocuments([{ name: file, text: text.replace("{fullVersion}", template) }]).resources[0];
  const version = parseVersion("1.27.3-r2");
  if (document === undefined || version === undefined) throw new Error("neither can be missing");
  const accepted = validateResource(document).problems === undefined;
  const { refused } = tagNames(version, { templates: [template], suffix: "", sourceTags: ["latest"] });
  expect(refused.length === 0).toBe(accepted);
});
