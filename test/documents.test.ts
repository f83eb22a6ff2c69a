// Our own validation says of every document in test/documents what it is to say (./support/documents.ts); an API server says the same
// (./kubernetes/documents.test.ts).

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { kinds } from "../src/domain/resource.ts";
import { tagNames } from "../src/domain/version-tags.ts";
import { parseVersion } from "../src/domain/version.ts";
import { codeRules } from "../src/validation/code-rules.ts";
import { specSchemaOf, schemaOf, type Schema } from "../src/validation/crds.ts";
import { readDocuments } from "../src/validation/documents.ts";
import { validateResource } from "../src/validation/validate-resource.ts";
import { documentCases, documentsFolder, judge } from "./support/documents.ts";

describe.each(kinds)("%s", (kind) => {
  const valid = documentCases(kind, "valid");
  const invalid = documentCases(kind, "invalid");

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
  const invalid = kinds.flatMap((kind) => documentCases(kind, "invalid"));
  const used = new Set(invalid.flatMap((entry) => (judge(entry).problems ?? []).map(({ rule }) => rule)));
  expect(codeRules.filter((rule) => !used.has(rule))).toEqual([]);
});

test.each(["fullVersion", "version", "major", "minor", "patch", "build"])("{%s}: schema and tag names agree", (placeholder) => {
  const file = "tags-placeholder.valid.yaml";
  const text = readFileSync(join(documentsFolder, "tagpolicy", file), "utf8");
  const template = `v{${placeholder}}`;
  const document = readDocuments([{ name: file, text: text.replace("{fullVersion}", template) }]).resources[0];
  const version = parseVersion("1.27.3-r2");
  if (document === undefined || version === undefined) throw new Error("neither can be missing");
  const accepted = validateResource(document).problems === undefined;
  const { refused } = tagNames(version, { templates: [template], suffix: "", sourceTags: ["latest"] });
  expect(refused.length === 0).toBe(accepted);
});
