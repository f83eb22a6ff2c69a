// A write whose bytes lie in a local file too, for those who read them while they are on their way. The file has no name: whatever happens to
// the process, its space comes back.

import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";

import type { Digest } from "../../domain/digest.ts";
import { BlobStoreError, type BlobReader, type BlobWriter, type Suspended } from "./blob-store.ts";
import { codeOfFile, isFull, openFile, writeFilePieces } from "./file.ts";
import { FolderReader } from "./folder-reader.ts";
import { behind, gatherPieces } from "./gather.ts";

/** `folder` must be there. */
export async function spooled(writer: BlobWriter, folder: string): Promise<{ writer: BlobWriter; written: BlobReader }> {
  const descriptor = await openUnnamed(folder);
  return { writer: new SpooledWriter(writer, descriptor), written: new FolderReader(descriptor, 0) };
}

/** A file without a name, for reading and writing; its descriptor. */
export async function openUnnamed(folder: string): Promise<number> {
  const path = join(folder, randomUUID());
  const descriptor = await openFile(path, "wx+");
  await rm(path);
  return descriptor;
}

class SpooledWriter implements BlobWriter {
  readonly #writer: BlobWriter;
  readonly #descriptor: number;

  constructor(writer: BlobWriter, descriptor: number) {
    this.#writer = writer;
    this.#descriptor = descriptor;
  }

  get offset(): number {
    return this.#writer.offset;
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    const { offset } = this;
    await Promise.all([this.#writer.write(chunks), this.#spool(chunks, offset)]);
  }

  suspend(): Promise<Suspended> {
    return this.#writer.suspend();
  }

  commit(digest: Digest): Promise<string> {
    return this.#writer.commit(digest);
  }

  /** The file is closed by whoever reads it. */
  close(): Promise<void> {
    return this.#writer.close();
  }

  async #spool(chunks: readonly Uint8Array[], offset: number): Promise<void> {
    let position = offset;
    try {
      for (let from = 0; from < chunks.length; from += gatherPieces) {
        for (let rest = chunks.slice(from, from + gatherPieces); rest.length > 0;) {
          const count = await writeFilePieces(this.#descriptor, rest, position);
          position += count;
          rest = behind(rest, count);
        }
      }
    } catch (error) {
      throw new BlobStoreError(isFull(codeOfFile(error)) ? "NoSpace" : "Failed", "The spool could not be written.", { cause: error });
    }
  }
}
