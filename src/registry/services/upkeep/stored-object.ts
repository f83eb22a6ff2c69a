// What lies under a key of the store: whether it is there, and what it hashes to.

import { algorithmOf, finishDigest, startDigest, type Digest, type DigestAlgorithm } from "../../../domain/digest.ts";
import { BlobStoreError, type BlobStore } from "../../blobs/blob-store.ts";

type Openable = Pick<BlobStore, "open">;

const bufferSize = 1024 * 1024;

export async function isStored(store: Openable, key: string): Promise<boolean> {
  try {
    await (await store.open(key)).close();
    return true;
  } catch (error) {
    if (error instanceof BlobStoreError && error.code === "NotFound") return false;
    throw error;
  }
}

/** Its digest by each algorithm; reads it once. Rejects with BlobStoreError. */
export async function digestsOfObject(
  store: Openable,
  key: string,
  algorithms: ReadonlySet<DigestAlgorithm>,
  signal: AbortSignal,
): Promise<Digest[]> {
  const hashes = [...algorithms].map((algorithm) => ({ algorithm, hash: startDigest(algorithm) }));
  const reader = await store.open(key);
  try {
    const buffer = Buffer.allocUnsafe(Math.min(bufferSize, reader.size));
    for (let position = 0; position < reader.size;) {
      signal.throwIfAborted();
      const count = await reader.read(buffer, position);
      for (const { hash } of hashes) hash.update(buffer.subarray(0, count));
      position += count;
    }
  } finally {
    await reader.close();
  }
  return hashes.map(({ algorithm, hash }) => finishDigest(hash, algorithm));
}

/** Which of these blobs the object has the bytes of; undefined also when it is gone. */
export async function blobInObject<Blob extends { readonly digest: Digest }>(
  store: Openable,
  key: string,
  blobs: readonly Blob[],
  signal: AbortSignal,
): Promise<Blob | undefined> {
  try {
    const found = await digestsOfObject(store, key, new Set(blobs.map(({ digest }) => algorithmOf(digest))), signal);
    return blobs.find(({ digest }) => found.includes(digest));
  } catch (error) {
    if (error instanceof BlobStoreError && error.code === "NotFound") return undefined;
    throw error;
  }
}
