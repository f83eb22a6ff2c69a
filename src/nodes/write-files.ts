// Files below a folder: whole or not at all, and never over what somebody else wrote.

import { chmod, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import { FormError, mark, type NodeFile } from "./form.ts";

/** Resolves with their paths. Rejects with FormError, before anything is written, when one of them is somebody else's. */
export async function writeFiles(folder: string, files: readonly NodeFile[]): Promise<readonly string[]> {
  const placed = files.map((file) => ({ ...file, path: join(folder, file.name) }));
  for (const { path, text } of placed) {
    const there = await textOf(path);
    if (there === undefined || there === text || there.startsWith(mark) || there.startsWith(`#!/bin/sh\n${mark}`)) continue;
    throw new FormError(
      `${path} is there, and \`wharfinger hosts\` did not write it: nothing was written. Merge them by hand, or move it away first.`,
    );
  }
  for (const { path, text, secret, executable } of placed) {
    await mkdir(dirname(path), { recursive: true });
    await writeWhole(path, text, secret === true ? 0o600 : executable === true ? 0o755 : 0o644);
  }
  return placed.map(({ path }) => path);
}

/** Undefined where there is none. */
export async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}

/** Readers see what was there or what is there now, also after a crash of the machine. */
export async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  // With a dot in front, and no ending of a certificate: container runtimes take whatever else they find for one.
  const partial = join(dirname(path), ".wharfinger.partial");
  await rm(partial, { force: true });
  const file = await open(partial, "wx", mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  // Whatever the umask is.
  await chmod(partial, mode);
  await rename(partial, path);
}
