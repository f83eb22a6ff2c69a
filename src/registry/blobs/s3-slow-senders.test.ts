// Senders that begin parts and do not go on, while others write: what a part holds while it fills is nothing that others wait for.

import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { startS3Service, type S3Service } from "../../../test/support/s3-service.ts";
import { readWhole, unannounced, writeWhole } from "../../../test/support/whole-blobs.ts";
import { digestOf } from "../../domain/digest.ts";
import type { BlobWriter } from "./blob-store.ts";
import { S3BlobStore } from "./s3-store.ts";

const mebibyte = 1024 * 1024;
/** For three parts that fill, and one that is sent. */
const partMemory = 32 * mebibyte;
const inMemory = 3;
const slow = 4;
const begin = randomBytes(2 * mebibyte);

let service: S3Service;
let store: S3BlobStore;
let paused: BlobWriter[];
beforeAll(async () => {
  service = await startS3Service();
});
afterAll(() => service.stop());
beforeEach(async () => {
  store = await S3BlobStore.open({ ...service.settings, partMemory });
  paused = [];
});
afterEach(async () => {
  await Promise.all(paused.map((writer) => writer.close()));
  await store.close();
});

async function pause(into = store): Promise<void> {
  const writer = await into.create(unannounced);
  paused.push(writer);
  await writer.write([begin]);
}

const put = (bytes: Buffer, { into = store, ...options }: { into?: S3BlobStore; bytes?: number } = {}) => writeWhole(into, bytes, options);
const content = (key: string) => readWhole(store, key);

test("with all memory in the hands of senders that pause, everybody else is stored, and they are too when they go on", async () => {
  for (let n = 0; n < slow; n++) await pause();
  const others = [randomBytes(10), randomBytes(18 * mebibyte), randomBytes(9 * mebibyte)];
  const keys = await Promise.all(others.map((bytes) => put(bytes)));
  for (const [n, key] of keys.entries()) expect((await content(key)).equals(others[n]!)).toBe(true);

  const rest = randomBytes(7 * mebibyte);
  const whole = Buffer.concat([begin, rest]);
  const digest = digestOf(whole);
  const slowKeys = await Promise.all(
    paused.map(async (writer) => {
      await writer.write([rest.subarray(0, mebibyte), rest.subarray(mebibyte)]);
      return writer.commit(digest);
    }),
  );
  for (const key of slowKeys) expect((await content(key)).equals(whole)).toBe(true);
  expect(await readdir(service.settings.spoolFolder)).toEqual([]);
});

test("what filled in the spool is suspended and gone on with like anything else", async () => {
  for (let n = 0; n < slow; n++) await pause();
  for (const size of [1, 6] as const) {
    const [first, second] = [randomBytes(size * mebibyte), randomBytes(3 * mebibyte)];
    const writer = await store.create(unannounced);
    await writer.write([first]);
    const suspended = await writer.suspend();
    await writer.close();
    const again = await store.resume(suspended, unannounced);
    await again.write([second]);
    const whole = Buffer.concat([first, second]);
    expect((await content(await again.commit(digestOf(whole)))).equals(whole)).toBe(true);
    await again.close();
  }
});

test("more bytes than were announced", async () => {
  const bytes = randomBytes(9 * mebibyte);
  expect((await content(await put(bytes, { bytes: 1000 }))).equals(bytes)).toBe(true);
});

test("without memory and without a spool it is Unavailable, until there is memory again", async () => {
  const spoolFolder = join(service.settings.spoolFolder, "gone");
  const into = await S3BlobStore.open({ ...service.settings, partMemory, spoolFolder });
  for (let n = 0; n < inMemory; n++) await pause(into);
  await expect(put(randomBytes(10), { into })).rejects.toMatchObject({ code: "Unavailable", message: expect.stringContaining("spool") });
  await paused[0]!.close();
  expect(await put(randomBytes(10), { into })).toBeTypeOf("string");
  await Promise.all(paused.map((writer) => writer.close()));
  await into.close();
});
