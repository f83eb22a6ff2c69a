// Downloads whose clients are slow or silent, against a real service: none of them keeps a connection that somebody else needs.

import { randomBytes } from "node:crypto";

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { startS3Service, type S3Service } from "../../../test/support/s3-service.ts";
import { digestOf } from "../../domain/digest.ts";
import type { BlobReader } from "./blob-store.ts";
import { S3BlobStore } from "./s3-store.ts";

const mebibyte = 1024 * 1024;
/** Taken in pieces: its connection is in use until the last. */
const large = randomBytes(8 * mebibyte);
const small = randomBytes(1000);

let service: S3Service;
let store: S3BlobStore;
const readers: BlobReader[] = [];
beforeAll(async () => {
  service = await startS3Service();
});
afterAll(() => service.stop());
beforeEach(async () => {
  store = await S3BlobStore.open({ ...service.settings, connections: 4 });
});
afterEach(async () => {
  for (const reader of readers.splice(0)) await reader.close();
  await store.close();
});

async function put(bytes: Buffer): Promise<string> {
  const writer = await store.create(async () => undefined);
  try {
    await writer.write([bytes]);
    return await writer.commit(digestOf(bytes));
  } finally {
    await writer.close();
  }
}

async function open(key: string): Promise<BlobReader> {
  const reader = await store.open(key);
  readers.push(reader);
  return reader;
}

/** What `reader` has from `start` to `end`. */
async function take(reader: BlobReader, start: number, end: number): Promise<Buffer> {
  const bytes = Buffer.alloc(end - start);
  for (let at = 0; at < bytes.byteLength;) at += await reader.read(bytes.subarray(at), start + at);
  return bytes;
}

test("however many read slowly, who comes later is served, pushes and deletes go on, and each has all of its bytes", async () => {
  const [key, other] = [await put(large), await put(small)];
  const slow: BlobReader[] = [];
  for (let number = 0; number < 8; number++) {
    const reader = await open(key);
    expect((await take(reader, 0, mebibyte)).equals(large.subarray(0, mebibyte))).toBe(true);
    slow.push(reader);
  }
  expect((await take(await open(other), 0, small.byteLength)).equals(small)).toBe(true);
  const pushed = await put(large);
  expect((await store.delete([pushed, other])).size).toBe(2);

  for (let at = mebibyte; at < large.byteLength; at += 2 * mebibyte) {
    const end = Math.min(at + 2 * mebibyte, large.byteLength);
    const pieces = await Promise.all(slow.map((reader) => take(reader, at, end)));
    expect(pieces.every((piece) => piece.equals(large.subarray(at, end)))).toBe(true);
  }
});

test("a place comes back however a download ends", async () => {
  const [key, other] = [await put(large), await put(small)];
  for (let number = 0; number < 8; number++) {
    await expect(store.open(crypto.randomUUID()), "nothing there").rejects.toMatchObject({ code: "NotFound" });
    const ended = await open(other);
    await take(ended, 0, small.byteLength);
    const left = await open(key);
    const reading = left.read(Buffer.alloc(mebibyte), 0);
    await left.close();
    await reading.catch(() => undefined);
    await (await open(key)).close();
    expect(await ended.read(Buffer.alloc(10), small.byteLength), "behind its end").toBe(0);
  }
  expect((await take(await open(other), 0, small.byteLength)).equals(small)).toBe(true);
});
