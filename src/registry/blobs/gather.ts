// Bodies arrive in pieces of some kilobytes; a write a piece would cost more system calls than bytes are worth.
// Every piece is memory of its own outside the heap: for the garbage collector to find it again costs as much as to hash it.

/** What goes to the store in one write: 1 MiB, and at most as many pieces as one writev takes (IOV_MAX is 1,024). */
export const gatherBytes = 1024 * 1024;
export const gatherPieces = 1000;

/** Collects pieces until they are worth a write. Holds references, copies nothing. */
export class Gathered {
  #pieces: Uint8Array[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** True when it is time to `take`. */
  add(piece: Uint8Array): boolean {
    this.#pieces.push(piece);
    this.#bytes += piece.byteLength;
    return this.#bytes >= gatherBytes || this.#pieces.length >= gatherPieces;
  }

  take(): Uint8Array[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#bytes = 0;
    return pieces;
  }
}

/**
 * Gives the memory of pieces back at once: their bytes are gone for everybody who still looks at them. Only what has its ArrayBuffer to itself
 * is taken; a view of a part, such as a small Buffer out of Node's pool, is left to the garbage collector.
 */
export function giveBack(pieces: readonly Uint8Array[]): void {
  for (const { buffer, byteLength } of pieces) {
    if (buffer instanceof ArrayBuffer && byteLength > 0 && byteLength === buffer.byteLength) buffer.transfer(0);
  }
}

/** What is left of `pieces` after their first `count` bytes. */
export function behind(pieces: readonly Uint8Array[], count: number): Uint8Array[] {
  let skip = count;
  for (const [index, piece] of pieces.entries()) {
    if (skip < piece.byteLength) return [piece.subarray(skip), ...pieces.slice(index + 1)];
    skip -= piece.byteLength;
  }
  return [];
}
