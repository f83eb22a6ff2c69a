import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { mark } from "./form.ts";
import { writeFiles } from "./write-files.ts";

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), "wharfinger-files-"))));
afterEach(() => rm(folder, { recursive: true }));

const at = (name: string) => join(folder, name);
const modeOf = async (name: string) => (await stat(at(name))).mode & 0o777;

test("files are written below it, those with a password for their owner alone", async () => {
  const files = [
    { name: "a/b.toml", text: `${mark}\na\n` },
    { name: "secret", text: "password", secret: true },
    { name: "run", text: "#!/bin/sh\n", executable: true },
  ];
  expect(await writeFiles(folder, files)).toEqual(files.map(({ name }) => at(name)));
  expect(await readFile(at("a/b.toml"), "utf8")).toBe(`${mark}\na\n`);
  expect(await Promise.all(["a/b.toml", "secret", "run"].map(modeOf))).toEqual([0o644, 0o600, 0o755]);
  expect((await readdir(folder)).toSorted()).toEqual(["a", "run", "secret"]);
  // Again, and with another content: it bears the mark.
  await writeFiles(folder, [{ name: "a/b.toml", text: `${mark}\nb\n` }]);
  expect(await readFile(at("a/b.toml"), "utf8")).toBe(`${mark}\nb\n`);
});

test("what somebody else wrote stays, and nothing is written beside it", async () => {
  await writeFile(at("daemon.json"), "{}");
  const files = [
    { name: "other", text: "x" },
    { name: "daemon.json", text: '{"registry-mirrors": []}' },
  ];
  await expect(writeFiles(folder, files)).rejects.toThrow("did not write it: nothing was written");
  expect(await readdir(folder)).toEqual(["daemon.json"]);
  expect(await readFile(at("daemon.json"), "utf8")).toBe("{}");
});
