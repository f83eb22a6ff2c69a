import { algorithmOf, finishDigest, startDigest, type Digest } from "../../domain/digest.ts";
import { BlobStoreError, type BlobStore } from "../blobs/blob-store.ts";

const bufferSize = 1024 * 1024;

/** Which of these blobs the object has the bytes of; undefined also when it is gone. Reads it once. */
export async function hashesTo<Blob extends { readonly digest: Digest }>(
  store: Pick<BlobStore, "open">,
  key: string,
  blobs: readonly Blob[],
  signal: AbortSignal,
): Promise<Blob | undefined> {
  const hashes = [...new Set(blobs.map(({ digest }) => algorithmOf(digest)))].map((algorithm) => ({
    algorithm,
    hash: startDigest(algorithm),
  }));
  try {
    const reader = await store.open(key);
    try {
      const buffer = Buffer.allocUnsafe(bufferSize);
      for (let position = 0; position < reader.size;) {
        signal.throwIfAborted();
        const count = await reader.read(buffer, position);
        for (const { hash } of hashes) hash.update(buffer.subarray(0, count));
        position += count;
      }
    } finally {
      await reader.close();
    }
  } catch (error) {
    if (error instanceof BlobStoreError && error.code === "NotFound") return undefined;
    throw error;
  }
  const digests = new Set(hashes.map(({ algorithm, hash }) => finishDigest(hash, algorithm)));
  return blobs.find(({ digest }) => digests.has(digest));
}
