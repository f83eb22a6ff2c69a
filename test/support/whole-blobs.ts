// Blobs of a store as one piece: how most tests write and read them.

import { digestOf } from "../../src/domain/digest.ts";
import type { S3BlobStore } from "../../src/registry/blobs/s3-store.ts";

/** Nobody is told of a key. */
export const unannounced = async () => undefined;

/** Resolves with its key. `bytes`: how many the store is told to expect. */
export async function writeWhole(store: S3BlobStore, content: Buffer, options: { readonly bytes?: number } = {}): Promise<string> {
  const writer = await store.create(unannounced, options);
  try {
    await writer.write([content]);
    return await writer.commit(digestOf(content));
  } finally {
    await writer.close();
  }
}

export async function readWhole(store: S3BlobStore, key: string): Promise<Buffer> {
  const reader = await store.open(key);
  const whole = Buffer.alloc(reader.size);
  try {
    for (let at = 0; at < whole.byteLength;) at += await reader.read(whole.subarray(at), at);
    return whole;
  } finally {
    await reader.close();
  }
}
