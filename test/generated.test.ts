// What is generated is what the generators would write now, and the examples in the reference are valid.

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { promisify } from "node:util";

import { expect, test } from "vitest";

import { importOptions, loginFromEnvironment } from "../src/config/options/import.ts";
import { kinds } from "../src/domain/resource.ts";
import { readDocuments } from "../src/validation/documents.ts";
import { validateResource } from "../src/validation/validate-resource.ts";

const root = resolve(import.meta.dirname, "..");

test.each(["generate-types.mjs", "generate-reference.mjs", "generate-trusted-root.mjs", "generate-chart.mjs"])(
  "scripts/%s has nothing to write",
  async (script) => {
    const { stderr } = await promisify(execFile)(process.execPath, [resolve(root, "scripts", script), "--check"], { cwd: root });
    expect(stderr).toBe("");
  },
);

test.each(kinds)("the examples in the reference of %s are valid", (kind) => {
  const name = `docs/reference/${kind.toLowerCase()}.md`;
  const examples = [...readFileSync(resolve(root, name), "utf8").matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text = ""]) => text);
  expect(examples).not.toEqual([]);
  for (const text of examples) {
    const { resources, problems } = readDocuments([{ name, text }]);
    expect(problems).toEqual([]);
    expect(resources.flatMap((resource) => validateResource(resource).problems ?? [])).toEqual([]);
  }
});

test("the reference of import has every option with its twin and default", () => {
  const text = readFileSync(resolve(root, "docs/reference/import.md"), "utf8");
  for (const { flags, variable, ...rest } of Object.values(importOptions)) {
    const fallback = "fallback" in rest ? rest.fallback : undefined;
    const row = text.split("\n").find((line) => line.startsWith(`| \`${flags.replace(" [true|false]", "")}\``)) ?? flags;
    expect(row).toContain(` | \`${variable}\` | ${fallback === undefined ? "" : `${fallback} |`}`);
  }
  const logins = (["source", "target"] as const).flatMap((of) => loginFromEnvironment(of, {}).variables);
  for (const variable of logins) expect(text).toContain(`\`${variable}\``);
});
