import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { readAll } from "../../../../test/support/proxy.ts";
import { digestOf } from "../../../domain/digest.ts";
import { FolderBlobStore } from "../../blobs/folder-store.ts";
import { Fill, type FillOptions } from "./fill.ts";

let folder: string;
let store: FolderBlobStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-fill-"));
  store = await FolderBlobStore.open({ folder });
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true, force: true });
});

async function fillOf(bytes: Buffer, body: AsyncIterable<Uint8Array>, more: Partial<FillOptions> = {}): Promise<Fill> {
  const { writer, written } = await store.createReadable(async () => undefined);
  return new Fill({
    digest: digestOf(bytes),
    size: bytes.byteLength,
    maxBytes: bytes.byteLength,
    first: { start: 0, size: bytes.byteLength, body, discard: () => undefined },
    again: () => Promise.resolve(undefined),
    writer,
    written,
    touch: () => Promise.resolve(true),
    keep: () => Promise.resolve(),
    toReaders: (error) => error,
    abandon: () => Promise.resolve(),
    ...more,
  });
}

test("what upstream sends is given back as soon as it is written, and readers read the file", async () => {
  const bytes = randomBytes(3 * 1024 * 1024);
  const pieces = Array.from({ length: 48 }, (_, index) =>
    Buffer.from(Uint8Array.from(bytes.subarray(index * 65_536, (index + 1) * 65_536)).buffer),
  );
  const body = (async function* () {
    yield* pieces;
  })();
  const fill = await fillOf(bytes, body);
  expect((await readAll(fill.reader())).equals(bytes)).toBe(true);
  await fill.kept;
  expect(pieces.map(({ byteLength }) => byteLength)).toEqual(pieces.map(() => 0));
});

/** The first byte, and the others once it is told to. Discarded, it ends. */
function dripping(bytes: Buffer) {
  const { promise: onward, resolve: go } = Promise.withResolvers<"all" | "none">();
  const body = (async function* () {
    yield Uint8Array.from(bytes.subarray(0, 1));
    if ((await onward) === "all") yield Uint8Array.from(bytes.subarray(1));
  })();
  return { first: { start: 0, size: bytes.byteLength, body, discard: () => go("none") }, all: () => go("all") };
}

test("a blob that drips ends when nobody reads it, and is waited for as long as somebody does", async () => {
  const bytes = randomBytes(16);
  const slowest = { bytes: 2, every: 50 };
  const { first } = dripping(bytes);
  const unread = await fillOf(bytes, first.body, { first, slowest });
  await expect(unread.kept).rejects.toThrow(/^upstream sent [01] bytes in 0\.05 s, and nobody reads them$/);

  let looks = 0;
  const second = dripping(bytes);
  const watched = {
    every: 500,
    get bytes() {
      return ++looks === 3 ? (second.all(), 2) : 2;
    },
  };
  const read = await fillOf(bytes, second.first.body, { first: second.first, slowest: watched });
  expect((await readAll(read.reader())).equals(bytes)).toBe(true);
  expect(looks).toBeGreaterThanOrEqual(3);
  await read.kept;
});
