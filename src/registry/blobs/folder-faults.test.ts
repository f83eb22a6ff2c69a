// What a disk may do, done for real wherever a test can make it.

import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rename, rm, rmdir, symlink, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { program } from "../../../test/support/programs.ts";
import { underSmallDisks } from "../../../test/support/small-disks.ts";
import { digestOf } from "../../domain/digest.ts";
import { FolderBlobStore } from "./folder-store.ts";

const announce = async () => undefined;
const bytes = randomBytes(100_000);

let folder: string;
let store: FolderBlobStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-blobs-"));
  store = await FolderBlobStore.open({ folder });
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true, force: true });
});

const finishedPath = (key: string) => join(folder, "objects", key.slice(0, 2), key);

test("a disk that fills up in the middle of an upload: NoSpace, and all that was acknowledged goes on", async () => {
  const small = join(folder, "small");
  const script = resolve(import.meta.dirname, "../../../test/support/folder-on-small-disk.ts");
  const [unshare = "", ...args] = await underSmallDisks({ [small]: 4 * 1024 * 1024 });
  const said = await program(unshare, [...args, process.execPath, script, small]);
  expect(JSON.parse(said.stdout || said.stderr)).toEqual({
    filled: "NoSpace",
    suspendedFull: "NoSpace",
    committedFull: "NoSpace",
    resumed: true,
    kept: true,
    listed: [true, true],
  });
});

test("a device that cannot be made durable fails the upload for good, and nothing becomes readable", async () => {
  const key = randomUUID();
  // It takes every byte and refuses fsync.
  await symlink("/dev/null", join(folder, "uploading", key));
  const writer = await store.resume({ offset: 0, state: key }, announce);
  await writer.write([bytes]);
  await expect(writer.suspend()).rejects.toMatchObject({ code: "Failed", cause: { syscall: "fsync" } });
  await expect(writer.commit(digestOf(bytes))).rejects.toMatchObject({ code: "Failed" });
  await writer.close();
  await expect(store.open(key)).rejects.toMatchObject({ code: "NotFound" });
});

test("a rename that fails fails the commit; the bytes stay, and the next attempt has them", async () => {
  const writer = await store.create(announce);
  await writer.write([bytes]);
  const suspended = await writer.suspend();
  await mkdir(finishedPath(writer.key), { recursive: true });
  await expect(writer.commit()).rejects.toMatchObject({ code: "Failed", cause: { syscall: "rename" } });
  await writer.close();
  await rmdir(finishedPath(writer.key));
  const again = await store.resume(suspended, announce);
  const reader = await store.open(await again.commit(digestOf(bytes)));
  expect(reader.size).toBe(bytes.byteLength);
  await reader.close();
});

test("a folder that is not there any more is a failure, and no upload that ended", async () => {
  await rename(join(folder, "uploading"), join(folder, "elsewhere"));
  await expect(store.create(announce)).rejects.toMatchObject({ code: "Failed", message: "The folder of the blob store is gone." });
  await rename(join(folder, "elsewhere"), join(folder, "uploading"));
  const writer = await store.create(announce);
  await writer.write([bytes]);
  await rm(dirname(finishedPath(writer.key)), { recursive: true, force: true });
  const reader = await store.open(await writer.commit());
  expect(reader.size).toBe(bytes.byteLength);
  await reader.close();
});

test("a blob that was cut short on the disk is never given as a whole one", async () => {
  const writer = await store.create(announce);
  await writer.write([bytes]);
  const key = await writer.commit();
  const reader = await store.open(key);
  await truncate(finishedPath(key), 1000);
  const buffer = Buffer.alloc(bytes.byteLength);
  expect(await reader.read(buffer, 0)).toBe(1000);
  await expect(reader.read(buffer, 1000)).rejects.toMatchObject({
    code: "Failed",
    message: "Only 1000 of 100000 bytes of the blob are still there.",
  });
  await reader.close();
});

test("an upload whose bytes are fewer than what was acknowledged is gone, and not continued", async () => {
  const writer = await store.create(announce);
  await writer.write([bytes]);
  const suspended = await writer.suspend();
  await writer.close();
  await truncate(join(folder, "uploading", writer.key), 99_999);
  await expect(store.resume(suspended, announce)).rejects.toMatchObject({ code: "NotFound" });
  const { bytes: again } = await store.reread(suspended);
  const read = async () => {
    for await (const piece of again) expect(piece.byteLength).toBeGreaterThan(0);
  };
  await expect(read()).rejects.toMatchObject({ code: "NotFound" });
});
