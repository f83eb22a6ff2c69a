// The data folder: everything one standalone process keeps, for its owner only.

import { randomBytes } from "node:crypto";
import { access, chmod, constants, mkdir, open, readFile, realpath, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

import { clientOptions } from "../config/options/client.ts";
import { shellWord } from "../config/shell-word.ts";
import { lockFolder } from "./folder-lock.ts";

/** Files that the subcommands read. */
export const dataFiles = {
  /** URL of the running process; there only while it serves. */
  address: "address",
  /** The token that may do everything. */
  adminToken: "admin-token",
} as const;

/** The end of a command for a person, so that it works on this folder: nothing where commands look there by themselves. */
export function dataFlag(path: string): string {
  return path === clientOptions.data.fallback ? "" : ` --data ${shellWord(path)}`;
}

export interface DataFolder {
  /** As it was given, for messages; those below are absolute. */
  readonly path: string;
  /** Of this installation: made when it is asked for first. */
  adminToken(): Promise<string>;
  readonly postgres: string;
  readonly blobs: string;
  readonly record: string;
  /** Tells the subcommands where the process serves. */
  announce(url: string): Promise<void>;
  release(): Promise<void>;
}

/** Makes what is missing, and takes the folder for this process. Rejects with an Error that says what to do. */
export async function openDataFolder(path: string): Promise<DataFolder> {
  await make(path);
  const lock = lockFolder(path);
  const address = join(path, dataFiles.address);
  try {
    await rm(address, { force: true }); // of a process that was killed
    // One spelling, however it was written: a PostgreSQL that outlived a crash is known by its folder.
    const real = await realpath(path);
    const folder = {
      path,
      adminToken: () => adminToken(join(path, dataFiles.adminToken)),
      postgres: join(real, "postgres"),
      blobs: join(real, "blobs"),
      record: join(real, "record"),
    };
    for (const inside of [folder.blobs, folder.record]) await mkdir(inside, { recursive: true, mode: 0o700 });
    return {
      ...folder,
      announce: (url) => replace(address, `${url}\n`, 0o600),
      async release() {
        await rm(address, { force: true });
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function make(path: string): Promise<void> {
  try {
    const made = await mkdir(path, { recursive: true, mode: 0o700 });
    // As root PostgreSQL runs as somebody else, who must be able to pass through; what is inside stays closed.
    if (made !== undefined && process.getuid?.() === 0) await letPass(resolve(path), resolve(made));
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const reason =
      code === "EEXIST" || code === "ENOTDIR"
        ? "it is not a folder"
        : code === "EACCES" || code === "EROFS"
          ? "it cannot be written"
          : String(cause);
    throw new Error(`The data folder ${path} cannot be used: ${reason}. Choose another one with --data.`, { cause });
  }
}

async function letPass(path: string, first: string): Promise<void> {
  await chmod(path, 0o711);
  if (path !== first) await letPass(dirname(path), first);
}

async function adminToken(file: string): Promise<string> {
  const found = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  if (found.trim() !== "") {
    await chmod(file, 0o600); // a restored backup may have opened it
    return found.trim();
  }
  const token = randomBytes(32).toString("base64url");
  await replace(file, `${token}\n`, 0o600);
  return token;
}

/** Whole or not at all, also after a power cut. */
async function replace(file: string, text: string, mode: number): Promise<void> {
  const partial = `${file}.partial`;
  await rm(partial, { force: true });
  const handle = await open(partial, "wx", mode);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(partial, file);
}
