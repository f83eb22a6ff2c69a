// What every blob store must do. An adapter's test file calls this with a way to open an empty store.

import { randomBytes, randomUUID } from "node:crypto";

import { afterEach, describe, expect, test } from "vitest";

import { digestOf } from "../../domain/digest.ts";
import { all, announced, content, is, mebibyte, put, readAll, reread, type BlobStoreUnderTest } from "./store-under-test.conformance.ts";

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

    test.each([0, 1, 4_096, 3 * mebibyte + 7, 21 * mebibyte + 5])("%d bytes come back as they were written", async (size) => {
      const store = await fresh();
      const bytes = randomBytes(size);
      const key = await put(store, bytes);
      const reader = await store.open(key);
      expect(reader.size).toBe(size);
      expect((await readAll(reader)).equals(bytes)).toBe(true);
      await reader.close();
    });

    test.each([
      ["too few", 10],
      ["too many", 9 * mebibyte],
    ])("the number of bytes that was promised is a hint: %s", async (_, promised) => {
      const store = await fresh();
      const bytes = randomBytes(8 * mebibyte + 1);
      const writer = await store.create(announced().announce, { bytes: promised });
      for (let from = 0; from < bytes.byteLength; from += 70_001) await writer.write([bytes.subarray(from, from + 70_001)]);
      expect((await content(store, await writer.commit(digestOf(bytes)))).equals(bytes)).toBe(true);
    });

    test("many small pieces in one write keep their order", async () => {
      const store = await fresh();
      const pieces = Array.from({ length: 2_500 }, (_, index) => Buffer.from(`${index};`));
      pieces.splice(100, 0, Buffer.alloc(0));
      const writer = await store.create(announced().announce);
      await writer.write(pieces);
      expect(writer.offset).toBe(Buffer.concat(pieces).byteLength);
      expect((await content(store, await writer.commit(digestOf(Buffer.concat(pieces))))).equals(Buffer.concat(pieces))).toBe(true);
    });

    test("every key that may have bytes was announced before, and each only once", async () => {
      const store = await fresh();
      const { keys, announce } = announced();
      const pieces = [3, 6 * mebibyte, 11 * mebibyte, 2].map((size) => randomBytes(size));
      let suspended = await (await store.create(announce)).suspend();
      for (const piece of pieces) {
        const writer = await store.resume(suspended, announce);
        await writer.write([piece]);
        suspended = await writer.suspend();
        await writer.close();
      }
      const key = await (await store.resume(suspended, announce)).commit(digestOf(Buffer.concat(pieces)));
      expect(keys).toContain(key);
      expect(new Set(keys).size).toBe(keys.length);
      for (const { key: listed } of await all(store)) expect(keys).toContain(listed);
    });

    test("what an announcement rejects with ends the write, and leaves nothing", async () => {
      const store = await fresh();
      const gone = async () => {
        const writer = await store.create(() => Promise.reject(new Error("given up")));
        await writer.write([Buffer.from("x")]);
        await writer.commit(digestOf("x"));
      };
      await expect(gone()).rejects.toThrow("given up");
      expect(await all(store)).toEqual([]);
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

    test("a reader of a span gives its bytes, and those outside of it too", async () => {
      const store = await fresh();
      const bytes = randomBytes(10_000);
      const reader = await store.open(await put(store, bytes), { start: 5_000, end: 5_100 });
      expect(reader.size).toBe(10_000);
      for (const [start, end] of [
        [5_000, 5_100],
        [5_050, 5_100],
        [5_050, 5_200],
        [0, 100],
        [9_900, 10_000],
      ] as const) {
        const buffer = Buffer.alloc(end - start);
        for (let at = 0; at < buffer.byteLength;) at += await reader.read(buffer.subarray(at), start + at);
        expect(buffer.equals(bytes.subarray(start, end))).toBe(true);
      }
      await reader.close();
    });

    test("several reads at once do not disturb each other", async () => {
      const store = await fresh();
      const bytes = randomBytes(64 * 1024);
      const reader = await store.open(await put(store, bytes));
      const parts = await Promise.all(
        Array.from({ length: 64 }, async (_, index) => {
          const buffer = Buffer.alloc(1024);
          for (let at = 0; at < 1024;) at += await reader.read(buffer.subarray(at), index * 1024 + at);
          return buffer;
        }),
      );
      expect(Buffer.concat(parts).equals(bytes)).toBe(true);
      await reader.close();
    });

    test("nothing is readable before commit", async () => {
      const store = await fresh();
      const { keys, announce } = announced();
      const writer = await store.create(announce);
      await writer.write([randomBytes(9 * mebibyte)]);
      const [key = ""] = keys;
      await expect(store.open(key)).rejects.toSatisfy(is("NotFound"));
      await writer.close();
    });

    test.each([
      ["small", [4, 3]],
      ["larger than a part", [9 * mebibyte, 3, 8 * mebibyte, 20 * mebibyte + 1]],
      ["larger than a part, after a small begin", [3, 9 * mebibyte, 6 * mebibyte, 0, 1]],
    ])("a suspended write goes on in pieces: %s", async (_, sizes) => {
      const store = await fresh();
      const { announce } = announced();
      const pieces = sizes.map((size) => randomBytes(size));
      let suspended = await (await store.create(announce)).suspend();
      for (const piece of pieces) {
        const writer = await store.resume(suspended, announce);
        expect(writer.offset).toBe(suspended.offset);
        await writer.write([piece]);
        suspended = await writer.suspend();
        await writer.close();
      }
      const key = await (await store.resume(suspended, announce)).commit(digestOf(Buffer.concat(pieces)));
      expect((await content(store, key)).equals(Buffer.concat(pieces))).toBe(true);
    });

    test("what was written after it was suspended is cut off", async () => {
      const store = await fresh();
      const { announce } = announced();
      const first = await store.create(announce);
      await first.write([Buffer.from("0123")]);
      const suspended = await first.suspend();
      await first.write([Buffer.from("456789")]);
      await first.suspend();
      await first.close();
      const second = await store.resume(suspended, announce);
      expect(second.offset).toBe(4);
      await second.write([Buffer.from("abc")]);
      expect((await content(store, await second.commit(digestOf("0123abc")))).toString()).toBe("0123abc");
    });

    test.each([4, 17 * mebibyte])("a commit whose transaction failed can be committed again: %d bytes", async (size) => {
      const store = await fresh();
      const { announce } = announced();
      const bytes = randomBytes(size);
      const writer = await store.create(announce);
      await writer.write([bytes]);
      const suspended = await writer.suspend();
      await writer.commit(digestOf(bytes));
      const key = await (await store.resume(suspended, announce)).commit(digestOf(bytes));
      expect((await content(store, key)).equals(bytes)).toBe(true);
    });

    test("knows how much may be written to the disk of its fetches", async () => {
      const store = await fresh();
      expect(await store.freeSpoolBytes()).toBeGreaterThan(0);
    });

    test("what is gone cannot be continued, read or opened", async () => {
      const store = await fresh();
      const { keys, announce } = announced();
      const writer = await store.create(announce);
      const bytes = randomBytes(9 * mebibyte);
      await writer.write([bytes]);
      const suspended = await writer.suspend();
      await writer.close();
      await store.delete(keys);
      const goOn = async () => {
        const again = await store.resume(suspended, announce);
        await again.commit(digestOf(bytes));
      };
      await expect(goOn()).rejects.toSatisfy(is("NotFound"));
      await expect(reread(store, suspended, announce)).rejects.toSatisfy(is("NotFound"));
      await expect(store.open(randomUUID())).rejects.toSatisfy(is("NotFound"));
    });

    test.each([[[]], [[4]], [[8 * mebibyte, 5]], [[3, 9 * mebibyte]]])(
      "a write can be read again from its begin, and goes on: %j",
      async (sizes) => {
        const store = await fresh();
        const { announce } = announced();
        const bytes = sizes.map((size) => randomBytes(size));
        const writer = await store.create(announce);
        await writer.write(bytes);
        const suspended = await writer.suspend();
        await writer.close();
        const again = await reread(store, suspended, announce);
        expect(again.bytes.equals(Buffer.concat(bytes))).toBe(true);
        const next = await store.resume(again.suspended, announce);
        await next.write([Buffer.from("and on")]);
        const whole = Buffer.concat([...bytes, Buffer.from("and on")]);
        expect((await content(store, await next.commit(digestOf(whole)))).equals(whole)).toBe(true);
      },
    );

    test("a write is read while it goes on, and after it was deleted", async () => {
      const store = await fresh();
      const { announce } = announced();
      const bytes = randomBytes(10 * mebibyte);
      const { writer, written } = await store.createReadable(announce);
      const buffer = Buffer.alloc(1024);
      expect(await written.read(buffer, 0)).toBe(0);
      await writer.write([bytes.subarray(0, 9 * mebibyte)]);
      expect(await written.read(buffer, 9 * mebibyte - 4)).toBe(4);
      await writer.write([bytes.subarray(9 * mebibyte)]);
      await store.delete([await writer.commit(digestOf(bytes))]);
      const whole = Buffer.alloc(bytes.byteLength);
      for (let at = 0; at < whole.byteLength;) at += await written.read(whole.subarray(at), at);
      expect(whole.equals(bytes)).toBe(true);
      await written.close();
    });

    test("delete takes finished, unfinished and absent keys, each with its result", async () => {
      const store = await fresh();
      const finished = await put(store, Buffer.from("a"));
      const { keys, announce } = announced();
      const unfinished = await store.create(announce);
      await unfinished.write([randomBytes(9 * mebibyte)]);
      const suspended = await unfinished.suspend();
      await unfinished.close();
      const doomed = [finished, ...keys, randomUUID()];
      expect(await store.delete(doomed)).toEqual(new Map(doomed.map((key) => [key, undefined])));
      await expect(store.open(finished)).rejects.toSatisfy(is("NotFound"));
      await expect(reread(store, suspended, announce)).rejects.toSatisfy(is("NotFound"));
      expect(await all(store)).toEqual([]);
    });

    test("more keys than one request takes", async () => {
      const store = await fresh();
      const keys = await Promise.all(Array.from({ length: 30 }, () => put(store, Buffer.from("x"))));
      const absent = Array.from({ length: 1_500 }, () => randomUUID());
      // Small ones: for the others a bucket is asked once a key.
      const results = await store.delete([...absent, ...keys], new Map(absent.map((key) => [key, 1])));
      expect([...results.values()].filter((error) => error !== undefined)).toEqual([]);
      expect(results.size).toBe(1_530);
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

    test("the list names what is finished, and what is not when it has bytes of its own", async () => {
      const store = await fresh();
      const finished = await put(store, Buffer.from("whole"));
      const { keys, announce } = announced();
      const unfinished = await store.create(announce);
      await unfinished.write([randomBytes(9 * mebibyte)]);
      await unfinished.suspend();
      await unfinished.close();
      const listed = await all(store);
      expect(listed.find(({ key }) => key === finished)).toMatchObject({ size: 5, finished: true });
      expect(listed.map(({ key }) => key).sort()).toEqual([finished, ...keys].sort());
      expect(listed.every(({ modified }) => Math.abs(modified.getTime() - Date.now()) < 3_600_000)).toBe(true);
    });

    test("a key that is not one of its own is refused", async () => {
      const store = await fresh();
      for (const key of ["../../etc/passwd", "", "UPPER", `${randomUUID()}/x`]) {
        await expect(store.open(key)).rejects.toSatisfy(is("Failed"));
        expect((await store.delete([key])).get(key)).toSatisfy(is("Failed"));
      }
    });
  });
}
