// Where the sources of the version before come from: a clone without its history asks its origin, and who has no clone is told what to do.

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { unpack } from "../support/previous.ts";
import { use } from "../support/programs.ts";

let folder: string;
let sources: string;
/** Of the two commits of a repository the older one. */
let commit: string;
let clone: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-sources-"));
  sources = await mkdtemp(join(folder, "sources-"));
  const origin = join(folder, "origin");
  const git = (...args: string[]) => use("git", ["-C", origin, "-c", "user.name=Ann", "-c", "user.email=ann@example.com", ...args]);
  await use("git", ["init", "-q", origin]);
  for (const part of ["src", "crds", "test/documents"]) await mkdir(join(origin, part), { recursive: true });
  for (const version of ["before", "now"]) {
    for (const file of ["src/main.ts", "crds/kind.yaml", "package.json", "test/documents/kind.yaml"])
      await writeFile(join(origin, file), version);
    await git("add", ".");
    await git("commit", "-qm", version);
  }
  commit = await git("rev-parse", "HEAD^");
  clone = join(folder, "clone");
  await use("git", ["clone", "-q", "--depth", "1", `file://${origin}`, clone]);
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

test("a clone without its history gets the commit from its origin", async () => {
  expect(await use("git", ["-C", clone, "rev-list", "--count", "HEAD"])).toBe("1");
  await unpack(commit, sources, clone);
  expect((await readdir(sources)).sort()).toEqual(["crds", "package.json", "src", "test"]);
  expect(await readFile(join(sources, "src/main.ts"), "utf8")).toBe("before");
});

test("a clone whose origin does not give it says what to do", async () => {
  await use("git", ["-C", clone, "remote", "set-url", "origin", join(folder, "nowhere")]);
  await expect(unpack(commit, sources, clone)).rejects.toThrow(
    /is not in this clone.*nowhere.*`git fetch --unshallow`.*WHARFINGER_TEST_PREVIOUS/s,
  );
});

test.each([
  ["a folder without .git", false],
  ["a folder in another repository", true],
])("%s says what to do", async (_, inAnother) => {
  if (inAnother) await use("git", ["init", "-q", folder]);
  const plain = await mkdtemp(join(folder, "plain-"));
  await expect(unpack(commit, sources, plain)).rejects.toThrow(/is not a clone of it.*`git clone --depth 1`.*WHARFINGER_TEST_PREVIOUS/s);
});
