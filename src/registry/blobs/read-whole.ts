import type { BlobReader } from "./blob-store.ts";

const pieceBytes = 1024 * 1024;

/** All bytes, in pieces of their own that the caller may keep. The reader is closed at the end, or when the caller reads no further. */
export async function* readWhole(reader: BlobReader): AsyncGenerator<Uint8Array> {
  try {
    for (let position = 0; position < reader.size;) {
      const piece = Buffer.allocUnsafe(Math.min(pieceBytes, reader.size - position));
      const count = await reader.read(piece, position);
      yield piece.subarray(0, count);
      position += count;
    }
  } finally {
    await reader.close();
  }
}
