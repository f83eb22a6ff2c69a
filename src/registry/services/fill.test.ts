import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { readAll } from "../../../test/support/proxy.ts";
import { digestOf } from "../../domain/digest.ts";
import { FolderBlobStore } from "../blobs/folder-store.ts";
import { Fill } from "./fill.ts";

test("what upstream sends is given back as soon as it is written, and readers read the file", async () => {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-fill-"));
  const store = await FolderBlobStore.open({ folder });
  const bytes = randomBytes(3 * 1024 * 1024);
  const pieces = Array.from({ length: 48 }, (_, index) =>
    Buffer.from(Uint8Array.from(bytes.subarray(index * 65_536, (index + 1) * 65_536)).buffer),
  );
  const key = store.newKey();
  const writer = await store.create(key);
  const body = (async function* () {
    yield* pieces;
  })();
  const fill = new Fill({
    digest: digestOf(bytes),
    size: bytes.byteLength,
    maxBytes: bytes.byteLength,
    first: { start: 0, size: bytes.byteLength, body, discard: () => undefined },
    again: () => Promise.resolve(undefined),
    writer,
    written: await store.openUnfinished(key),
    touch: () => Promise.resolve(true),
    keep: () => Promise.resolve(),
    toReaders: (error) => error,
    abandon: () => Promise.resolve(),
  });
  expect((await readAll(fill.reader())).equals(bytes)).toBe(true);
  await fill.kept;
  expect(pieces.map(({ byteLength }) => byteLength)).toEqual(pieces.map(() => 0));
  await store.close();
  await rm(folder, { recursive: true, force: true });
});
