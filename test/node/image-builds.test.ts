// The image is a function of what goes into it, on every platform that it is for.

import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { openImage, type ImageTree } from "../support/image-tree.ts";
import { freshImage } from "../support/image.ts";

const platforms = ["linux/amd64", "linux/arm64"];
const archives = [1, 2].map((number) => join(tmpdir(), `wharfinger-image-${process.pid}-${number}.tar`));
const trees: ImageTree[] = [];
const digests: string[] = [];

beforeAll(async () => {
  for (const output of archives)
    digests.push(
      await freshImage({ output, platforms, reference: "wharfinger:test", revision: "0123456789abcdef", created: 1_700_000_000 }),
    );
  for (const architecture of ["amd64", "arm64"]) trees.push(await openImage(archives[0] ?? "", architecture));
}, 1_800_000);
afterAll(async () => {
  await Promise.all(trees.map((tree) => tree.remove()));
  for (const archive of archives) await rm(archive, { force: true });
});

test("two builds of the same have one digest", () => {
  expect(digests[0]).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(digests[1]).toBe(digests[0]);
});

test("both platforms have the same files, but for those that are of a platform", () => {
  const neutral = trees.map((tree) =>
    tree.entries
      .map(({ path }) => path.replace(/linux-(x64|arm64)|(x86_64|aarch64)-linux-gnu/, "…"))
      .filter((path) => !/\.so(\.|$)|\.node$|^(usr\/)?lib64$|status\.d|usr\/share\/doc/.test(path))
      .sort(),
  );
  expect(new Set(neutral[1]).symmetricDifference(new Set(neutral[0]))).toEqual(new Set());
});

test("what each executes is of its own platform, and names the commit", async () => {
  // ELF: e_machine, 18 bytes from its beginning.
  const machines = { amd64: 0x3e, arm64: 0xb7 };
  for (const tree of trees) {
    const { architecture, config } = tree.config;
    const postgres = tree.entries.find(({ path }) => path.endsWith("/native/bin/postgres"))?.path ?? "";
    for (const path of ["usr/local/bin/node", "usr/bin/git", "usr/bin/ssh", "usr/bin/tini", postgres])
      expect([path, (await tree.file(path)).readUInt16LE(18)]).toEqual([path, machines[architecture as keyof typeof machines]]);
    expect(config).toMatchObject({ Labels: { "org.opencontainers.image.revision": "0123456789abcdef" } });
  }
});
