// A registry's files in a folder of this machine.

import { createReadStream } from "node:fs";
import { open, readdir, stat, type FileHandle } from "node:fs/promises";
import { join } from "node:path";

import { SourceError, type SourceBlob } from "./import-source.ts";
import type { LayoutTree } from "./layout-tree.ts";

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

  async read(path: string, maxBytes: number): Promise<Buffer | undefined> {
    const opened = await this.#find(path, openFile);
    if (opened === undefined) return undefined;
    try {
      if (opened.size > maxBytes) throw new SourceError("Unsupported", `${path} has ${opened.size} bytes; at most ${maxBytes} are read`);
      return await opened.handle.readFile();
    } catch (error) {
      throw this.#failure(path, error);
    } finally {
      await opened.handle.close();
    }
  }

  async has(path: string): Promise<boolean> {
    return (await this.#find(path, (file) => stat(file)))?.isFile() === true;
  }

  async open(path: string, from: number): Promise<SourceBlob | undefined> {
    const found = await this.#find(path, (file) => stat(file));
    if (found === undefined || !found.isFile()) return undefined;
    return { start: from, size: found.size, body: this.#pieces(path, from) };
  }

  async close(): Promise<void> {}

  /** Opened when the first piece is taken, so that a body that nobody reads holds nothing. */
  async *#pieces(path: string, from: number): AsyncGenerator<Uint8Array> {
    try {
      yield* createReadStream(join(this.name, path), { start: from, highWaterMark: pieceSize });
    } catch (error) {
      throw this.#failure(path, error);
    }
  }

  async #isFolder(path: string): Promise<boolean> {
    return (await this.#find(path, (file) => stat(file)))?.isDirectory() === true;
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

async function openFile(file: string): Promise<{ readonly handle: FileHandle; readonly size: number }> {
  const handle = await open(file);
  return { handle, size: (await handle.stat()).size };
}

const codeOf = (error: unknown) => (error as { code?: string }).code ?? "unknown error";
