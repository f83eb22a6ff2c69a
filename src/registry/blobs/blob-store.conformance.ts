// What every blob store must do. An adapter's test file calls this with a way to open an empty store.

import { randomBytes, randomUUID } from "node:crypto";

import { afterEach, describe, expect, test } from "vitest";

import { BlobStoreError, type BlobReader, type BlobStore } from "./blob-store.ts";

export interface BlobStoreUnderTest {
  readonly store: BlobStore;
  /** Closes the store and removes what it stored. */
  dispose(): Promise<void>;
}

/** Declares the tests of the port for one adapter. */
export function blobStoreConformance(adapter: string, open: () => Promise<BlobStoreUnderTest>): void {
  describe(`${adapter} is a blob store`, () => {
    const opened: BlobStoreUnderTest[] = [];
    const fresh = async () => {
      const one = await open();
      opened.push(one);
      return one.store;
    };
    afterEach(async () => {
      for (const one of opened.splice(0)) await one.dispose();
    });

    test("keys are new each time", async () => {
      const store = await fresh();
      const keys = Array.from({ length: 1_000 }, () => store.newKey());
      expect(new Set(keys).size).toBe(1_000);
    });

    test.each([0, 1, 4_096, 3 * 1024 * 1024 + 7])("%d bytes come back as they were written", async (size) => {
      const store = await fresh();
      const bytes = randomBytes(size);
      const key = await put(store, bytes);
      const reader = await store.open(key);
      expect(reader.size).toBe(size);
      expect((await readAll(reader)).equals(bytes)).toBe(true);
      await reader.close();
    });

    test("many small pieces in one write keep their order", async () => {
      const store = await fresh();
      const pieces = Array.from({ length: 2_500 }, (_, index) => Buffer.from(`${index};`));
      pieces.splice(100, 0, Buffer.alloc(0));
      const writer = await store.create(store.newKey());
      await writer.write(pieces);
      expect(writer.offset).toBe(Buffer.concat(pieces).byteLength);
      await writer.commit();
      expect((await content(store, writer.key)).equals(Buffer.concat(pieces))).toBe(true);
    });

    test("a reader starts anywhere and gives 0 at the end", async () => {
      const store = await fresh();
      const bytes = randomBytes(10_000);
      const reader = await store.open(await put(store, bytes));
      const buffer = Buffer.alloc(100);
      expect(await reader.read(buffer, 5_000)).toBe(100);
      expect(buffer.equals(bytes.subarray(5_000, 5_100))).toBe(true);
      expect(await reader.read(buffer, 9_990)).toBe(10);
      expect(await reader.read(buffer, 10_000)).toBe(0);
      await reader.close();
      await expect(reader.read(buffer, 0)).rejects.toThrow("closed");
    });

    test("several reads at once do not disturb each other", async () => {
      const store = await fresh();
      const bytes = randomBytes(64 * 1024);
      const reader = await store.open(await put(store, bytes));
      const parts = await Promise.all(
        Array.from({ length: 64 }, async (_, index) => {
          const buffer = Buffer.alloc(1024);
          await reader.read(buffer, index * 1024);
          return buffer;
        }),
      );
      expect(Buffer.concat(parts).equals(bytes)).toBe(true);
      await reader.close();
    });

    test("nothing is readable before commit", async () => {
      const store = await fresh();
      const writer = await store.create(store.newKey());
      await writer.write([Buffer.from("half")]);
      await writer.flush();
      await expect(store.open(writer.key)).rejects.toSatisfy(is("NotFound"));
      await writer.commit();
      expect((await content(store, writer.key)).toString()).toBe("half");
    });

    test("an unfinished write goes on where it was, and what lies beyond is cut off", async () => {
      const store = await fresh();
      const first = await store.create(store.newKey());
      await first.write([Buffer.from("0123456789")]);
      await first.flush();
      await first.close();
      const second = await store.resume(first.key, 4);
      expect(second.offset).toBe(4);
      await second.write([Buffer.from("abc")]);
      await second.commit();
      expect((await content(store, first.key)).toString()).toBe("0123abc");
    });

    test("a commit whose transaction failed can be resumed and committed again", async () => {
      const store = await fresh();
      const key = await put(store, Buffer.from("0123456789"));
      const writer = await store.resume(key, 10);
      await writer.write([Buffer.from("more")]);
      await writer.commit();
      expect((await content(store, key)).toString()).toBe("0123456789more");
    });

    test("what is not there cannot be resumed, read or opened", async () => {
      const store = await fresh();
      const writer = await store.create(store.newKey());
      await writer.write([Buffer.from("four")]);
      await writer.close();
      await expect(store.resume(writer.key, 5)).rejects.toSatisfy(is("NotFound"));
      await expect(store.resume(store.newKey(), 0)).rejects.toSatisfy(is("NotFound"));
      await expect(store.open(store.newKey())).rejects.toSatisfy(is("NotFound"));
      await expect(collect(store.readUnfinished(store.newKey(), 1))).rejects.toSatisfy(is("NotFound"));
      await expect(collect(store.readUnfinished(writer.key, 5))).rejects.toSatisfy(is("NotFound"));
    });

    test("unfinished bytes are read again up to an end", async () => {
      const store = await fresh();
      const bytes = randomBytes(2 * 1024 * 1024 + 3);
      const writer = await store.create(store.newKey());
      await writer.write([bytes]);
      await writer.flush();
      await writer.close();
      expect((await collect(store.readUnfinished(writer.key, bytes.byteLength))).equals(bytes)).toBe(true);
      expect((await collect(store.readUnfinished(writer.key, 5))).equals(bytes.subarray(0, 5))).toBe(true);
      expect((await collect(store.readUnfinished(writer.key, 0))).byteLength).toBe(0);
    });

    test("delete takes finished, unfinished and absent keys, each with its result", async () => {
      const store = await fresh();
      const finished = await put(store, Buffer.from("a"));
      const unfinished = await store.create(store.newKey());
      await unfinished.write([Buffer.from("b")]);
      await unfinished.close();
      const keys = [finished, unfinished.key, store.newKey()];
      expect(await store.delete(keys)).toEqual(new Map(keys.map((key) => [key, undefined])));
      await expect(store.open(finished)).rejects.toSatisfy(is("NotFound"));
      await expect(store.resume(unfinished.key, 0)).rejects.toSatisfy(is("NotFound"));
      expect(await all(store)).toEqual([]);
    });

    test("who has opened a blob reads it to its end, also when it is deleted meanwhile", async () => {
      const store = await fresh();
      const key = await put(store, Buffer.from("still here"));
      const reader = await store.open(key);
      await store.delete([key]);
      expect((await readAll(reader)).toString()).toBe("still here");
      await reader.close();
    });

    test("the list names everything, finished and not", async () => {
      const store = await fresh();
      const finished = await put(store, Buffer.from("whole"));
      const unfinished = await store.create(store.newKey());
      await unfinished.write([Buffer.from("half")]);
      await unfinished.flush();
      await unfinished.close();
      const listed = (await all(store)).map(({ key, size, finished }) => ({ key, size, finished }));
      expect(listed.sort((a, b) => a.size - b.size)).toEqual([
        { key: unfinished.key, size: 4, finished: false },
        { key: finished, size: 5, finished: true },
      ]);
    });

    test("a key that is not one of its own is refused", async () => {
      const store = await fresh();
      for (const key of ["../../etc/passwd", "", "UPPER", `${randomUUID()}/x`]) {
        await expect(store.create(key)).rejects.toSatisfy(is("Failed"));
        await expect(store.open(key)).rejects.toSatisfy(is("Failed"));
      }
    });
  });
}

function is(code: BlobStoreError["code"]): (error: unknown) => boolean {
  return (error) => error instanceof BlobStoreError && error.code === code;
}

async function put(store: BlobStore, bytes: Uint8Array): Promise<string> {
  const writer = await store.create(store.newKey());
  if (bytes.byteLength > 0) await writer.write([bytes]);
  await writer.commit();
  return writer.key;
}

async function content(store: BlobStore, key: string): Promise<Buffer> {
  const reader = await store.open(key);
  try {
    return await readAll(reader);
  } finally {
    await reader.close();
  }
}

async function readAll(reader: BlobReader): Promise<Buffer> {
  const whole = Buffer.alloc(reader.size);
  for (let position = 0; position < reader.size;) position += await reader.read(whole.subarray(position), position);
  return whole;
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await toArray(pieces));
}

function all(store: BlobStore) {
  return toArray(store.list());
}

async function toArray<T>(values: AsyncIterable<T>): Promise<T[]> {
  const array: T[] = [];
  for await (const value of values) array.push(value);
  return array;
}
