// `helm lint --strict`: what Helm itself minds, of each profile. What it would only recommend (an icon) is no warning.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";
import { stringify } from "yaml";

import { chartFolder, profiles, type Values } from "../../support/chart.ts";
import { program } from "../../support/programs.ts";
import { tool } from "../../support/tools.ts";

async function lint(values: Values) {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-lint-"));
  try {
    const file = join(folder, "values.yaml");
    await writeFile(file, stringify(values, { version: "1.1" }));
    return await program(await tool("helm"), ["lint", "--strict", "--kube-version", "1.35.0", chartFolder, "--values", file]);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test.each(Object.entries(profiles))("helm lint --strict has nothing against %s", async (_, values) => {
  const { code, stdout, stderr } = await lint(values);
  expect(`${stdout}${stderr}`).not.toMatch(/\[(WARNING|ERROR)\]/);
  expect(code).toBe(0);
});

test("what is wrong is found", async () => {
  expect(await lint({ profile: "embedded", extraObjects: ["no object"] })).toMatchObject({ code: 1 });
});
