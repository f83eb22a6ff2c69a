// Buffers of downloads, used again and again: two a stream, so that one is filled while the other is on its way.

const large = 256 * 1024;
const small = 128 * 1024;
/** Above this many streams each gets the smaller pair: 64 streams stay below 24 MiB. */
const largeStreams = 16;
/** Pairs kept for later; more are left to the garbage collector. */
const spare = 16;

export type BufferPair = readonly [Buffer, Buffer];

export class BlobBuffers {
  readonly #free: BufferPair[] = [];
  #taken = 0;

  take(): BufferPair {
    this.#taken++;
    const size = this.#taken > largeStreams ? small : large;
    const index = this.#free.findLastIndex(([buffer]) => buffer.length === size);
    const [found] = index < 0 ? [] : this.#free.splice(index, 1);
    return found ?? [Buffer.allocUnsafeSlow(size), Buffer.allocUnsafeSlow(size)];
  }

  /** `reusable` false: somebody may still write into the pair. */
  give(pair: BufferPair, options: { reusable: boolean }): void {
    this.#taken--;
    if (options.reusable && this.#free.length < spare) this.#free.push(pair);
  }
}
