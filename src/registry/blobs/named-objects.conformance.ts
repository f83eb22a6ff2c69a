// What every store must do with objects that have a name. An adapter's test file calls this with a way to open an empty store.

import { randomBytes } from "node:crypto";

import { afterEach, describe, expect, test } from "vitest";

import { digestOf } from "../../domain/digest.ts";
import { BlobStoreError } from "./blob-store.ts";
import type { NamedObject, NamedObjects } from "./named-objects.ts";
import { mebibyte, type BlobStoreUnderTest } from "./store-under-test.conformance.ts";

/** Declares the tests of the port for one adapter. */
export function namedObjectsConformance(adapter: string, open: () => Promise<BlobStoreUnderTest>): void {
  describe(`${adapter} keeps named objects`, () => {
    const opened: BlobStoreUnderTest[] = [];
    const freshStore = async () => {
      const one = await open();
      opened.push(one);
      return one.store;
    };
    const fresh = async () => (await freshStore()).named;
    afterEach(async () => {
      for (const one of opened.splice(0)) await one.dispose();
    });

    test.each([
      ["nothing", []],
      ["empty pieces", [0, 3, 0]],
      ["some pieces", [1, 4_096, 70_001]],
      ["more than a part, in pieces that fit none", [3 * mebibyte, 3 * mebibyte, 3 * mebibyte, 9 * mebibyte, 1]],
      ["a part to the byte", [8 * mebibyte]],
    ])("%s comes back as it was put", async (_, sizes) => {
      const named = await fresh();
      const pieces = sizes.map((size) => randomBytes(size));
      const whole = Buffer.concat(pieces);
      expect(await named.put("backup/one/data.gz", piecesOf(pieces))).toBe(whole.byteLength);
      expect((await content(named, "backup/one/data.gz")).equals(whole)).toBe(true);
      expect(await all(named, "backup/")).toMatchObject([{ name: "backup/one/data.gz", size: whole.byteLength, finished: true }]);
    });

    test("a second put takes the place of the first", async () => {
      const named = await fresh();
      await named.put("marker/a", piecesOf([Buffer.from("first and long")]));
      await named.put("marker/a", piecesOf([Buffer.from("second")]));
      expect((await content(named, "marker/a")).toString()).toBe("second");
    });

    test.each([
      ["at once", []],
      ["after a little", [10]],
      ["after more than a part", [9 * mebibyte, 9 * mebibyte]],
    ])("what breaks %s leaves nothing to read, and what was there before", async (_, sizes) => {
      const named = await fresh();
      const broken = () =>
        piecesOf(
          sizes.map((size) => randomBytes(size)),
          true,
        );
      await expect(named.put("backup/new", broken())).rejects.toThrow("the source broke");
      await expect(content(named, "backup/new")).rejects.toSatisfy(is("NotFound"));
      await named.put("backup/old", piecesOf([Buffer.from("old")]));
      await expect(named.put("backup/old", broken())).rejects.toThrow("the source broke");
      expect((await content(named, "backup/old")).toString()).toBe("old");
      expect(await all(named, "backup/")).toMatchObject([{ name: "backup/old" }]);
    });

    test("the list has what begins with the prefix, and nothing for one that nobody used", async () => {
      const named = await fresh();
      for (const name of ["backup/a/1", "backup/a/2", "backup/ab/1", "marker/a"]) await named.put(name, piecesOf([Buffer.from(name)]));
      const names = async (prefix: string) => (await all(named, prefix)).map(({ name }) => name).sort();
      expect(await names("backup/a")).toEqual(["backup/a/1", "backup/a/2", "backup/ab/1"]);
      expect(await names("backup/a/")).toEqual(["backup/a/1", "backup/a/2"]);
      expect(await names("marker/")).toEqual(["marker/a"]);
      expect(await names("backup/none/")).toEqual([]);
      expect((await all(named, "backup/")).every(({ modified }) => Math.abs(modified.getTime() - Date.now()) < 3_600_000)).toBe(true);
    });

    test("deleted is gone, absent too, and others stay", async () => {
      const named = await fresh();
      for (const name of ["backup/a/1", "backup/a/2", "backup/b/1"]) await named.put(name, piecesOf([Buffer.from(name)]));
      await named.delete(["backup/a/1", "backup/a/2", "backup/never"]);
      await expect(content(named, "backup/a/1")).rejects.toSatisfy(is("NotFound"));
      expect((await all(named, "backup/")).map(({ name }) => name)).toEqual(["backup/b/1"]);
      await named.put("backup/a/1", piecesOf([Buffer.from("again")]));
      expect((await content(named, "backup/a/1")).toString()).toBe("again");
    });

    test("they and the blobs do not see each other", async () => {
      const store = await freshStore();
      await store.named.put("backup/a", piecesOf([Buffer.from("snapshot")]));
      const writer = await store.create(async () => undefined);
      await writer.write([Buffer.from("blob")]);
      const key = await writer.commit(digestOf("blob"));
      const keys: string[] = [];
      for await (const listed of store.list()) keys.push(listed.key);
      expect(keys).toEqual([key]);
      expect((await all(store.named, "backup/")).map(({ name }) => name)).toEqual(["backup/a"]);
    });

    test("a name of any other form is refused", async () => {
      const named = await fresh();
      const bad = [
        "",
        "backup",
        "backup/",
        "backup/../objects/x",
        "/etc/passwd",
        "objects/ab/x",
        "backup/.hidden",
        "backup/UPPER",
        "backup//a",
      ];
      for (const name of bad) {
        await expect(named.put(name, piecesOf([]))).rejects.toSatisfy(is("Failed"));
        await expect(content(named, name)).rejects.toSatisfy(is("Failed"));
        await expect(named.delete([name])).rejects.toSatisfy(is("Failed"));
      }
      for (const prefix of ["", "objects/", "backup/../", "/"]) await expect(all(named, prefix)).rejects.toSatisfy(is("Failed"));
    });
  });
}

async function* piecesOf(pieces: readonly Uint8Array[], breaks = false): AsyncGenerator<Uint8Array> {
  yield* pieces;
  if (breaks) throw new Error("the source broke");
}

function is(code: BlobStoreError["code"]): (error: unknown) => boolean {
  return (error) => error instanceof BlobStoreError && error.code === code;
}

async function content(named: NamedObjects, name: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of named.get(name)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function all(named: NamedObjects, prefix: string): Promise<NamedObject[]> {
  const found: NamedObject[] = [];
  for await (const object of named.list(prefix)) found.push(object);
  return found;
}
