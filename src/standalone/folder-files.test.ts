// What a look at the folder may cost: links that multiply, and folders without end.

import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { listFolder } from "./folder-files.ts";
import { watchFolder } from "./folder-watch.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-config-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const names = async (limits?: { entries: number; depth: number }) => {
  const { files, unreadable } = await listFolder(folder, limits === undefined ? {} : { limits });
  return [files.map(({ name }) => name), unreadable.map(({ name, message }) => `${name}: ${message}`)];
};

/** Hidden folders with two links each to the next one: 2^levels ways to the last. */
async function doubling(levels: number): Promise<void> {
  for (let level = 0; level <= levels; level++) {
    const path = join(folder, `.${level}`);
    await mkdir(path);
    if (level === levels) await writeFile(join(path, "deep.yaml"), "a: 1\n");
    else for (const name of ["a", "b"]) await symlink(`../.${level + 1}`, join(path, name));
  }
  await symlink(".0", join(folder, "z"));
}

test("links that double at every level are one way each, and a file removed beside them is heeded", async () => {
  await doubling(28);
  await writeFile(join(folder, "revoked.yaml"), "a: 1\n");
  const deep = `z/${"a/".repeat(28)}deep.yaml`;
  expect(await names()).toEqual([["revoked.yaml", deep], []]);
  const { promise: told, resolve: tell } = Promise.withResolvers<readonly string[]>();
  const stop = watchFolder({
    folder,
    known: await listFolder(folder),
    times: { pause: 10, settle: 10 },
    onChange: async ({ files }) => tell(files.map(({ name }) => name)),
    onError: (error) => expect.unreachable(String(error)),
  });
  await rm(join(folder, "revoked.yaml"));
  expect(await told).toEqual([deep]);
  await stop();
});

test("a folder with two names is read under one, the least deep", async () => {
  await mkdir(join(folder, "b"));
  await writeFile(join(folder, "b/x.yaml"), "a: 1\n");
  await symlink("b", join(folder, "c"));
  expect(await names()).toEqual([["b/x.yaml"], []]);
  await symlink("b", join(folder, "a"));
  expect(await names()).toEqual([["a/x.yaml"], []]);
  await mkdir(join(folder, "0"));
  await symlink("../b", join(folder, "0/deeper"));
  expect(await names()).toEqual([["a/x.yaml"], []]);
});

test("more than is looked at is said, and not taken for gone", async () => {
  for (const name of ["a", "b", "c"]) await writeFile(join(folder, `${name}.yaml`), "a: 1\n");
  expect(await names({ entries: 3, depth: 32 })).toEqual([["a.yaml", "b.yaml", "c.yaml"], []]);
  const excess = ": has more than 2 files and folders, and the rest is not read: keep configuration alone in it";
  expect(await names({ entries: 2, depth: 32 })).toEqual([["a.yaml", "b.yaml"], [excess]]);
  await mkdir(join(folder, "0"));
  await writeFile(join(folder, "0/deepest.yaml"), "a: 1\n");
  const four = excess.replace("2", "4");
  expect(await names({ entries: 4, depth: 32 })).toEqual([["a.yaml", "b.yaml", "c.yaml"], [four]]);
  await rm(join(folder, "0"), { recursive: true });
  await mkdir(join(folder, "d/e"), { recursive: true });
  await writeFile(join(folder, "d/e/f.yaml"), "a: 1\n");
  const deep = "d/e: cannot be read (more than 1 folders deep)";
  expect(await names({ entries: 50, depth: 1 })).toEqual([["a.yaml", "b.yaml", "c.yaml"], [deep]]);
});

test("a look ends when the watch does", async () => {
  await writeFile(join(folder, "a.yaml"), "a: 1\n");
  const over = new AbortController();
  const look = listFolder(folder, { signal: over.signal });
  over.abort();
  await expect(look).rejects.toThrow("aborted");

  const looking = Promise.withResolvers<void>();
  const stop = watchFolder({
    folder,
    known: { files: [], unreadable: [] },
    times: { pause: 1, settle: 1 },
    look: async (_, { signal }) => {
      looking.resolve();
      return new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error)));
    },
    onChange: async () => expect.unreachable(),
    onError: (error) => expect.unreachable(String(error)),
  });
  await looking.promise;
  await stop();
});
