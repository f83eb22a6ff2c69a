// Named objects in the folder of the blobs: `backup/…` and `marker/…` as files of that name, written in `writing/` and renamed.

import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

import { closeFile, codeOfFile, openFile, syncFolder, writeFilePieces } from "./file.ts";
import { failing, folderFailure } from "./folder-errors.ts";
import { behind } from "./gather.ts";
import type { NamedObject, NamedObjects } from "./named-objects.ts";
import { checkedName, checkedPrefix } from "./object-name.ts";

/** Free space is asked again after this many bytes. */
const askAgainBytes = 64 * 1024 * 1024;
const unfinished = "writing";

export interface FolderNamedOptions {
  readonly folder: string;
  readonly sync: (descriptor: number) => Promise<void>;
  /** Asked for snapshots: later than for blobs, or pushes that fill the disk would end them. The marker is some bytes, and what frees space waits for it. */
  readonly refuseWhenLow: () => Promise<void>;
}

export class FolderNamedObjects implements NamedObjects {
  readonly #options: FolderNamedOptions;

  constructor(options: FolderNamedOptions) {
    this.#options = options;
  }

  /** Before the first `put`, in a folder that is this process's alone: takes away what an earlier process did not end. */
  static async prepare(folder: string): Promise<void> {
    await rm(join(folder, unfinished), { recursive: true, force: true });
    await mkdir(join(folder, unfinished), { mode: 0o700 });
  }

  async put(name: string, pieces: AsyncIterable<Uint8Array>): Promise<number> {
    const path = join(this.#options.folder, checkedName(name));
    const draft = join(this.#options.folder, unfinished, randomUUID());
    try {
      const bytes = await this.#write(draft, pieces, name.startsWith("backup/"));
      await this.#ensureFolder(dirname(path));
      await failing(`store ${name}`, rename(draft, path));
      await failing(`store ${name}`, syncFolder(dirname(path)));
      return bytes;
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
  }

  async *get(name: string): AsyncGenerator<Uint8Array> {
    try {
      yield* createReadStream(join(this.#options.folder, checkedName(name))) as AsyncIterable<Buffer>;
    } catch (error) {
      throw folderFailure(`read ${name}`, error);
    }
  }

  async *list(prefix: string): AsyncGenerator<NamedObject> {
    const { folder } = this.#options;
    const top = checkedPrefix(prefix).slice(0, prefix.lastIndexOf("/") + 1);
    const entries = await readdir(join(folder, top), { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw folderFailure(`list ${prefix}`, error);
    });
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name);
      const name = path.slice(join(folder, "/").length);
      if (!entry.isFile() || !name.startsWith(prefix)) continue;
      const found = await stat(path).catch(() => undefined);
      if (found !== undefined) yield { name, size: found.size, modified: found.mtime, finished: true };
    }
  }

  async delete(names: readonly string[]): Promise<void> {
    const { folder } = this.#options;
    const parents = new Set<string>();
    for (const name of names) {
      await failing(`delete ${name}`, rm(join(folder, checkedName(name)), { force: true }));
      parents.add(dirname(join(folder, name)));
    }
    for (const parent of parents) {
      // Empty now: the last of its objects went.
      if (await rmdir(parent).then(always, never)) await failing("delete", syncFolder(dirname(parent)));
      else await syncFolder(parent).catch(ignoreMissing);
    }
  }

  async #write(draft: string, pieces: AsyncIterable<Uint8Array>, mayBeMuch: boolean): Promise<number> {
    const { sync, refuseWhenLow } = this.#options;
    const descriptor = await failing("write", openFile(draft, "wx"));
    let bytes = 0;
    try {
      let askAt = 0;
      for await (const piece of pieces) {
        if (mayBeMuch && bytes >= askAt) {
          await refuseWhenLow();
          askAt = bytes + askAgainBytes;
        }
        for (let rest: readonly Uint8Array[] = [piece]; rest.length > 0 && piece.byteLength > 0;) {
          const count = await failing("write", writeFilePieces(descriptor, rest, bytes));
          bytes += count;
          rest = behind(rest, count);
        }
      }
      await failing("write", sync(descriptor));
    } finally {
      await closeFile(descriptor);
    }
    return bytes;
  }

  async #ensureFolder(path: string): Promise<void> {
    const made = await failing("make a folder", mkdir(path, { recursive: true, mode: 0o700 }));
    if (made === undefined) return;
    for (let at = path; at.length >= made.length; at = dirname(at)) await failing("make a folder", syncFolder(dirname(at)));
  }
}

const always = () => true;
const never = () => false;

function ignoreMissing(error: unknown): void {
  if (codeOfFile(error) !== "ENOENT") throw folderFailure("delete", error);
}
