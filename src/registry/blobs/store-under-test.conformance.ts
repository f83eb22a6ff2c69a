// What the conformance tests of stores write and read with.

import { digestOf } from "../../domain/digest.ts";
import { BlobStoreError, type Announce, type BlobReader, type BlobStore, type SuspendedAt } from "./blob-store.ts";

export interface BlobStoreUnderTest {
  readonly store: BlobStore;
  /** Closes the store and removes what it stored. */
  dispose(): Promise<void>;
}

export const mebibyte = 1024 * 1024;

export function announced(): { keys: string[]; announce: (key: string) => Promise<void> } {
  const keys: string[] = [];
  return { keys, announce: async (key) => void keys.push(key) };
}

export async function reread(store: BlobStore, from: SuspendedAt, announce: Announce): Promise<{ suspended: SuspendedAt; bytes: Buffer }> {
  const { suspended, bytes } = await store.reread(from, announce);
  return { suspended, bytes: await collect(bytes) };
}

export function is(code: BlobStoreError["code"]): (error: unknown) => boolean {
  return (error) => error instanceof BlobStoreError && error.code === code;
}

export async function put(store: BlobStore, bytes: Uint8Array): Promise<string> {
  const writer = await store.create(announced().announce, { bytes: bytes.byteLength });
  if (bytes.byteLength > 0) await writer.write([bytes]);
  return writer.commit(digestOf(bytes));
}

export async function content(store: BlobStore, key: string): Promise<Buffer> {
  const reader = await store.open(key);
  try {
    return await readAll(reader);
  } finally {
    await reader.close();
  }
}

export async function readAll(reader: BlobReader): Promise<Buffer> {
  const whole = Buffer.alloc(reader.size);
  for (let position = 0; position < reader.size;) position += await reader.read(whole.subarray(position), position);
  return whole;
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await toArray(pieces));
}

export function all(store: BlobStore) {
  return toArray(store.list());
}

async function toArray<T>(values: AsyncIterable<T>): Promise<T[]> {
  const array: T[] = [];
  for await (const value of values) array.push(value);
  return array;
}
