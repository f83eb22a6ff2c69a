// A registry's files in a folder of this machine.

import { constants } from "node:fs";
import { open, readdir, realpath, stat, type FileHandle } from "node:fs/promises";
import { join } from "node:path";

import { SourceError, type SourceBlob } from "./import-source.ts";
import { wholeWithin, type LayoutTree } from "./layout-tree.ts";

const pieceSize = 1024 * 1024;

export class FolderTree implements LayoutTree {
  readonly name: string;

  constructor(folder: string) {
    this.name = folder;
  }

  async folders(path: string): Promise<readonly string[]> {
    const entries = await this.#find(path, (file) => readdir(file, { withFileTypes: true }));
    // A registry's folder on another disk may be linked in.
    const folders = (entries ?? []).map(async (entry) =>
      entry.isDirectory() || (entry.isSymbolicLink() && (await this.#isFolder(`${path}/${entry.name}`))) ? [entry.name] : [],
    );
    return (await Promise.all(folders)).flat();
  }

  async place(path: string): Promise<string> {
    return (await this.#find(path, (file) => realpath(file))) ?? path;
  }

  async read(path: string, maxBytes: number): Promise<Buffer | undefined> {
    const handle = await this.#find(path, openFile);
    if (handle === undefined) return undefined;
    try {
      // Not by the size that it says: it may grow meanwhile. Iterating closes the handle.
      return await wholeWithin(path, handle.createReadStream({ end: maxBytes }), maxBytes);
    } catch (error) {
      throw this.#failure(path, error);
    }
  }

  async has(path: string): Promise<boolean> {
    return (await this.#find(path, (file) => stat(file)))?.isFile() === true;
  }

  async open(path: string, from: number): Promise<SourceBlob | undefined> {
    const found = await this.#find(path, (file) => stat(file));
    if (found === undefined || !found.isFile()) return undefined;
    return { start: from, size: found.size, body: this.#pieces(path, from), discard: () => {} };
  }

  async close(): Promise<void> {}

  /** Opened when the first piece is taken, so that a body that nobody reads holds nothing. */
  async *#pieces(path: string, from: number): AsyncGenerator<Uint8Array> {
    try {
      const handle = await openFile(join(this.name, path));
      yield* handle.createReadStream({ start: from, highWaterMark: pieceSize });
    } catch (error) {
      throw this.#failure(path, error);
    }
  }

  /** Also when it cannot be told: whoever goes in is told why not, and only he. */
  async #isFolder(path: string): Promise<boolean> {
    try {
      return (await this.#find(path, (file) => stat(file)))?.isDirectory() === true;
    } catch {
      return true;
    }
  }

  /** Undefined: there is no such file or folder. */
  async #find<T>(path: string, ask: (file: string) => Promise<T>): Promise<T | undefined> {
    try {
      return await ask(join(this.name, path));
    } catch (error) {
      if (["ENOENT", "ENOTDIR"].includes(codeOf(error))) return undefined;
      throw this.#failure(path, error);
    }
  }

  #failure(path: string, error: unknown): SourceError {
    if (error instanceof SourceError) return error;
    const code = codeOf(error);
    const file = join(this.name, path);
    if (code === "EACCES" || code === "EPERM")
      return new SourceError("Denied", `${file} may not be read by this user; run the import as the user whose files they are`, {
        cause: error,
      });
    // A bad sector stays bad; whether to go on without it is for the person to judge.
    return new SourceError("BrokenLink", `${file} cannot be read (${code})`, { cause: error });
  }
}

/** Without waiting for whoever might write into a pipe, and nothing but a file: the others have no end. */
async function openFile(file: string): Promise<FileHandle> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if ((await handle.stat()).isFile()) return handle;
    throw new SourceError("BrokenLink", `${file} is not a file`);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

const codeOf = (error: unknown) => (error as { code?: string }).code ?? "unknown error";
