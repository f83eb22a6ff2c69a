// What README and guides show works as it stands, copied beside the quickstart.

import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { expect, test } from "vitest";

import { parseSettings } from "../src/config/load-settings.ts";
import { settingsSchema } from "../src/config/settings-schema.ts";
import { defaultSettings } from "../src/config/settings.ts";
import { formatFinding, validateFiles } from "../src/validation/validate-files.ts";

const root = resolve(import.meta.dirname, "..");
const quickstart = join(root, "examples/quickstart");

/** A reader's own public key, where `…` stands for it, and one to put there. */
const leftOut = /^( +)-----BEGIN PUBLIC KEY-----\n +…\n +-----END PUBLIC KEY-----\n/gm;
const pem = (_: string, indent: string) =>
  generateKeyPairSync("ed25519")
    .publicKey.export({ type: "spki", format: "pem" })
    .toString()
    .replaceAll(/^(?=.)/gm, indent);

test.each([
  ["README.md", 1],
  ["docs/guides/access.md", 3],
  ["docs/guides/nodes.md", 1],
  ["docs/guides/retention.md", 1],
  ["docs/guides/versions-from-evidence.md", 2],
])("the resources in %s are valid beside the quickstart, and refer to what is there", async (page, count) => {
  const text = await readFile(join(root, page), "utf8");
  const blocks = [...text.matchAll(/^```yaml\n(apiVersion:[^]*?)^```$/gm)].map(([, block = ""]) => block);
  expect(blocks).toHaveLength(count);
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-snippets-"));
  try {
    const files = blocks.map((_, index) => join(folder, `${index}.yaml`));
    await Promise.all(files.map((file, index) => writeFile(file, (blocks[index] ?? "").replaceAll(leftOut, pem))));
    const { valid, documents, problems } = await validateFiles([quickstart, ...files]);
    const shown = documents.filter(({ source }) => source.startsWith(folder));
    expect([...problems, ...shown.flatMap(({ findings }) => findings)].map(formatFinding)).toEqual([]);
    expect(shown.every(({ verdict }) => verdict === "valid")).toBe(true);
    expect(valid).toBe(true);
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** For what stands as `AAAA…`. */
const publicKey = Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from("ssh-ed25519"), Buffer.alloc(36)]).toString("base64");

test.each([
  ["access.md", 3],
  ["from-your-shell.md", 1],
  ["kubernetes.md", 1],
  ["limits.md", 2],
  ["postgresql.md", 1],
  ["record.md", 3],
  ["retention.md", 1],
  ["several-processes.md", 3],
])("the settings in docs/guides/%s are settings", async (page, count) => {
  const text = await readFile(join(root, "docs/guides", page), "utf8");
  const blocks = [...text.matchAll(/^```yaml\n(?:#.*\n)?((\w+):[^]*?)^```$/gm)].filter(
    ([, , key = ""]) => key in settingsSchema.properties,
  );
  expect(blocks).toHaveLength(count);
  for (const [, block = ""] of blocks) {
    expect(parseSettings(block.replaceAll("AAAA…", publicKey), page, { role: "registry" })).not.toEqual(defaultSettings);
  }
});
