// What README and guides show works as it stands, copied beside the quickstart.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { expect, test } from "vitest";

import { parseSettings } from "../src/config/load-settings.ts";
import { defaultSettings } from "../src/config/settings.ts";
import { formatFinding, validateFiles } from "../src/validation/validate-files.ts";

const root = resolve(import.meta.dirname, "..");
const quickstart = join(root, "examples/quickstart");

test.each([
  ["README.md", 1],
  ["docs/guides/access.md", 1],
  ["docs/guides/retention.md", 1],
  ["docs/guides/versions-from-evidence.md", 1],
])("the resources in %s are valid beside the quickstart, and refer to what is there", async (page, count) => {
  const text = await readFile(join(root, page), "utf8");
  const blocks = [...text.matchAll(/^```yaml\n(apiVersion:[^]*?)^```$/gm)].map(([, block = ""]) => block);
  expect(blocks).toHaveLength(count);
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-snippets-"));
  try {
    const files = blocks.map((_, index) => join(folder, `${index}.yaml`));
    await Promise.all(files.map((file, index) => writeFile(file, blocks[index] ?? "")));
    const { valid, documents, problems } = await validateFiles([quickstart, ...files]);
    const shown = documents.filter(({ source }) => source.startsWith(folder));
    expect([...problems, ...shown.flatMap(({ findings }) => findings)].map(formatFinding)).toEqual([]);
    expect(shown.every(({ verdict }) => verdict === "valid")).toBe(true);
    expect(valid).toBe(true);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the settings in docs/guides/limits.md are settings", async () => {
  const text = await readFile(join(root, "docs/guides/limits.md"), "utf8");
  const blocks = [...text.matchAll(/^```yaml\n([^]*?)^```$/gm)].map(([, block = ""]) => block);
  expect(blocks.length).toBeGreaterThan(0);
  for (const block of blocks) expect(parseSettings(block, "limits.md")).not.toEqual(defaultSettings);
});
