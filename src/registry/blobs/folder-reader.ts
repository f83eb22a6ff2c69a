import { BlobStoreError, type BlobReader } from "./blob-store.ts";
import { closeFile, readFile } from "./file.ts";

/** A whole blob in a file. Reading goes straight into the caller's buffer. */
export class FolderReader implements BlobReader {
  readonly size: number;
  readonly #descriptor: number;
  #reads = 0;
  #closing = false;
  #closed: Promise<void> | undefined;

  constructor(descriptor: number, size: number) {
    this.#descriptor = descriptor;
    this.size = size;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    if (this.#closing) throw new Error("The blob was closed while it was read.");
    this.#reads++;
    try {
      const count = await readFile(this.#descriptor, buffer, position);
      if (count === 0 && position < this.size && buffer.byteLength > 0) {
        throw new BlobStoreError("Failed", `Only ${position} of ${this.size} bytes of the blob are still there.`);
      }
      return count;
    } finally {
      this.#reads--;
      if (this.#closing && this.#reads === 0) this.#closed ??= closeFile(this.#descriptor);
    }
  }

  /** Waits for nothing that is being read: the last read closes, since a number reused under it would read another file. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#reads === 0) this.#closed ??= closeFile(this.#descriptor);
    await this.#closed;
  }
}
