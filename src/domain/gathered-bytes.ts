// A body read whole, in one buffer. A list of its chunks would cost what its sender likes: an object and a piece of a socket's buffer for
// every chunk, and a chunk may be one byte.

const firstCapacity = 16 * 1024;

export class GatheredBytes {
  readonly #limit: number;
  #buffer = Buffer.alloc(0);
  #size = 0;

  /** `limit`: most bytes that are taken. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes of memory that it takes, at most twice what came and never above the limit. */
  get capacity(): number {
    return this.#buffer.length;
  }

  /** False when the chunk goes beyond the limit; nothing of it is taken then. */
  add(chunk: Uint8Array): boolean {
    const size = this.#size + chunk.length;
    if (size > this.#limit) return false;
    if (size > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(this.#limit, Math.max(size, 2 * this.#buffer.length, firstCapacity)));
      this.#buffer.copy(grown, 0, 0, this.#size);
      this.#buffer = grown;
    }
    this.#buffer.set(chunk, this.#size);
    this.#size = size;
    return true;
  }

  /** What came, without the room that was left. */
  bytes(): Buffer {
    const filled = this.#buffer.subarray(0, this.#size);
    return this.#size === this.#buffer.length ? filled : Buffer.from(filled);
  }
}
