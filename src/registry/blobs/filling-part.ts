// A part of an upload while it fills, which takes as long as its sender likes: in memory while there is some to spare, else in a file of the spool.
// So a slow sender costs the others no more than that.

import { BlobStoreError } from "./blob-store.ts";
import { closeFile, codeOfFile, isFull, readFile, writeFilePieces } from "./file.ts";
import { behind } from "./gather.ts";
import type { PartBuffer, PartMemory } from "./part-memory.ts";
import { openUnnamed } from "./spool.ts";

export class FillingPart {
  readonly #memory: PartMemory;
  readonly #spoolFolder: string;
  #buffer: PartBuffer | undefined;
  /** Descriptor. */
  #file: number | undefined;
  #filled = 0;

  /** `expected`: bytes that will come, as far as one knows. */
  constructor(options: { readonly memory: PartMemory; readonly spoolFolder: string; readonly expected: number }) {
    this.#memory = options.memory;
    this.#spoolFolder = options.spoolFolder;
    this.#buffer = options.memory.tryAcquire(options.expected);
  }

  /** Bytes. */
  get filled(): number {
    return this.#filled;
  }

  /** Rejects with BlobStoreError Unavailable when there is no memory and the spool cannot take it. */
  async add(bytes: Uint8Array): Promise<void> {
    const buffer = this.#buffer;
    if (buffer !== undefined && this.#filled + bytes.byteLength <= buffer.bytes.byteLength) {
      buffer.bytes.set(bytes, this.#filled);
      this.#filled += bytes.byteLength;
      return;
    }
    await spooling(async () => {
      this.#file ??= await this.#moveToFile();
      await writeAt(this.#file, bytes, this.#filled);
    });
    this.#filled += bytes.byteLength;
  }

  /** All of it in memory, to be sent at once. The part is used up, and to be closed. */
  async whole(): Promise<PartBuffer> {
    const { bytes, release } = await this.#inMemory();
    return { bytes: bytes.subarray(0, this.#filled), release };
  }

  async close(): Promise<void> {
    this.#buffer?.release();
    this.#buffer = undefined;
    const file = this.#file;
    this.#file = undefined;
    if (file !== undefined) await closeFile(file);
  }

  async #inMemory(): Promise<PartBuffer> {
    const file = this.#file;
    const filled = this.#buffer;
    this.#buffer = undefined;
    if (filled !== undefined) return filled;
    const buffer = await this.#memory.acquire(this.#filled);
    try {
      if (file !== undefined) await spooling(() => readAll(file, buffer.bytes));
      return buffer;
    } catch (error) {
      buffer.release();
      throw error;
    }
  }

  /** Also where more came than was expected. */
  async #moveToFile(): Promise<number> {
    const file = await openUnnamed(this.#spoolFolder);
    const buffer = this.#buffer;
    this.#buffer = undefined;
    try {
      if (buffer !== undefined) await writeAt(file, buffer.bytes.subarray(0, this.#filled), 0);
      return file;
    } catch (error) {
      await closeFile(file);
      throw error;
    } finally {
      buffer?.release();
    }
  }
}

async function writeAt(file: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let rest = [bytes], at = position; rest.length > 0;) {
    const count = await writeFilePieces(file, rest, at);
    at += count;
    rest = behind(rest, count);
  }
}

async function readAll(file: number, into: Uint8Array): Promise<void> {
  for (let at = 0; at < into.byteLength;) {
    const count = await readFile(file, into.subarray(at), at);
    if (count === 0) throw new Error(`the file ends at byte ${at} of ${into.byteLength}`);
    at += count;
  }
}

/** Whatever is wrong with the spool: there may be memory a moment later. */
async function spooling<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const why = isFull(codeOfFile(cause)) ? "has no room" : "cannot be used";
    throw new BlobStoreError("Unavailable", `There is no memory for another part of an upload, and the spool ${why}.`, { cause });
  }
}
