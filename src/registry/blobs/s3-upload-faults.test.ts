// Uploads of several parts that a bucket's service keeps, forgets or mixes up: no other bytes are taken for ours, and none stay behind.

import { randomBytes, randomUUID } from "node:crypto";

import { CreateMultipartUploadCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { large, S3BehindHop, small } from "../../../test/support/s3-behind-hop.ts";
import { unannounced } from "../../../test/support/whole-blobs.ts";
import { digestOf } from "../../domain/digest.ts";

let s3: S3BehindHop;
beforeAll(async () => {
  s3 = await S3BehindHop.start();
});
afterAll(() => s3.stop());
beforeEach(() => s3.open());
afterEach(() => s3.close());
const put = (bytes: Buffer) => s3.put(bytes);
const content = (key: string) => s3.content(key);

test("a service that copies no parts is read from, once", async () => {
  const suspended = await s3.suspended(large);
  s3.hop.fail(/^PUT .*UploadPartCopy/, { answer: 501, body: "<Error><Code>NotImplemented</Code></Error>" }, 1000);
  const { suspended: gathered, bytes } = await s3.store.reread(suspended, unannounced);
  for await (const piece of bytes) expect(piece.byteLength).toBeGreaterThan(0);
  s3.hop.reads();
  const again = await s3.store.resume(gathered, unannounced);
  await again.write([small]);
  const whole = Buffer.concat([large, small]);
  const key = await again.commit(digestOf(whole));
  expect(s3.hop.reads().bytes).toBe(large.byteLength);
  expect((await content(key)).equals(whole)).toBe(true);
});

test("a part that the service keeps as another writer stored it: the upload is gone, and begins again", async () => {
  s3.hop.fail(/^PUT .*partNumber=2/, { answer: 501, body: "<Error><Code>NotImplemented</Code></Error>" }, 1000);
  await expect(put(large)).rejects.toMatchObject({ code: "NotFound" });
});

test("a service that knows no uploads where none was ever begun", async () => {
  const key = await put(large);
  s3.hop.fail(/^GET .*uploads/, { answer: 404, body: "<Error><Code>NoSuchUpload</Code></Error>" }, 1000);
  expect(await s3.store.delete([key])).toEqual(new Map([[key, undefined]]));
  expect(s3.hop.done).toHaveLength(1);
});

test("a late part over the last one, while an upload is gathered: it is gathered again", async () => {
  const suspended = await s3.suspended(large);
  const body = "<Error><Code>InvalidPart</Code></Error>";
  s3.hop.fail(/^POST .*uploadId=/, { answer: 400, body });
  const { bytes } = await s3.store.reread(suspended, unannounced);
  const pieces: Uint8Array[] = [];
  for await (const piece of bytes) pieces.push(piece);
  expect(Buffer.concat(pieces).equals(large)).toBe(true);
  expect(s3.hop.done).toHaveLength(1);
});

test("a late part over the tail, while an upload is completed: the tail is made a part again", async () => {
  const suspended = await s3.suspended(large);
  // It resumed where the newer writer does, and has lost the session since.
  const late = await s3.store.resume(suspended, unannounced);
  const disturbed = Promise.withResolvers<void>();
  s3.hop.fail(/^POST .*uploadId=/, { after: disturbed.promise });
  const writer = await s3.store.resume(suspended, unannounced);
  const committed = writer.commit(digestOf(large));
  await expect.poll(() => s3.hop.done).toHaveLength(1);
  await late.write([randomBytes(large.byteLength)]);
  await late.suspend();
  disturbed.resolve();
  expect((await content(await committed)).equals(large)).toBe(true);
  expect(s3.hop.answered.filter((line) => /^POST .*uploadId=/.test(line))).toHaveLength(2);
  await late.close();
});

test("a lost answer to the gathering of an upload that is read again", async () => {
  const suspended = await s3.suspended(large);
  s3.hop.fail(/^POST .*uploadId=/, "lost answer");
  const { bytes } = await s3.store.reread(suspended, unannounced);
  const pieces: Uint8Array[] = [];
  for await (const piece of bytes) pieces.push(piece);
  expect(Buffer.concat(pieces).equals(large)).toBe(true);
  expect(s3.hop.done).toHaveLength(1);
});

describe("an unfinished upload of a key", () => {
  const begun = async () => {
    const keys: string[] = [];
    const writer = await s3.store.create(async (key) => void keys.push(key));
    await writer.write([large]);
    await writer.suspend();
    await writer.close();
    return keys;
  };
  const listed = async () => {
    const found: string[] = [];
    for await (const { key } of s3.store.list()) found.push(key);
    return found;
  };

  test("is aborted until none is left, before the object is deleted", async () => {
    const keys = await begun();
    // The service says yes, and a part that was on its way keeps the upload.
    s3.hop.fail(/^DELETE .*uploadId=/, { answer: 204 }, 2);
    expect(await s3.store.delete(keys)).toEqual(new Map(keys.map((key) => [key, undefined])));
    expect(s3.hop.done).toHaveLength(2);
    expect(await listed()).not.toContain(keys[0]);
    const asked = s3.hop.requests.filter((line) => /^DELETE|[?&]delete/.test(line));
    expect(asked.map((line) => line.split(" ")[0])).toEqual(["DELETE", "DELETE", "DELETE", "POST"]);
  });

  test("that cannot be aborted is this key's result alone", async () => {
    const keys = await begun();
    const whole = await put(small);
    s3.hop.fail(/^DELETE .*uploadId=/, { answer: 204 }, 1000);
    const results = await s3.store.delete([...keys, whole]);
    expect(results.get(keys[0]!)).toMatchObject({ code: "Failed", message: expect.stringContaining("unfinished upload") });
    expect(results.get(whole)).toBeUndefined();
    await expect(s3.store.open(whole)).rejects.toMatchObject({ code: "NotFound" });
  });

  test("is looked for where there may be one: not where the object was known to be small", async () => {
    const [one, other] = [await put(small), await put(large)];
    const before = s3.hop.requests.length;
    await s3.store.delete(
      [one, other],
      new Map([
        [one, small.byteLength],
        [other, large.byteLength],
      ]),
    );
    const lists = s3.hop.requests.slice(before).filter((line) => /^GET .*[?&]uploads/.test(line));
    expect(lists).toEqual([expect.stringContaining(other)]);
  });

  test("of one that became whole is looked for with all others of these in one listing", async () => {
    const keys = Array.from({ length: 200 }, () => randomUUID());
    const before = s3.hop.requests.length;
    const results = await s3.store.delete(keys, new Map(keys.map((key) => [key, large.byteLength])));
    expect([...results.values()].filter((failure) => failure !== undefined)).toEqual([]);
    expect(s3.hop.requests.slice(before).filter((line) => /^GET .*[?&]uploads/.test(line))).toHaveLength(1);
  });

  test("is found by its own key, also where a service lists by whole keys alone", async () => {
    const [one, other] = [await begun(), await begun()];
    const nothing = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>";
    s3.hop.fail(/^GET (?!.*prefix=blobs%2F[0-9a-f-]{36}(&|$)).*[?&]uploads/, { answer: 200, body: nothing }, 1000);
    await s3.store.delete([...one, ...other]);
    s3.hop.calm();
    expect(await listed()).not.toEqual(expect.arrayContaining([one[0]]));
    expect(await listed()).not.toEqual(expect.arrayContaining([other[0]]));
  });

  test("is found behind a thousand others, and all of them are listed", async () => {
    const uploads: string[] = [];
    const { bucket, endpoint, region, credentials } = s3.service.settings;
    const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials });
    for (let some = 0; some < 1_100; some += 50) {
      const keys = Array.from({ length: 50 }, () => randomUUID());
      await Promise.all(keys.map((key) => client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: `blobs/${key}` }))));
      uploads.push(...keys);
    }
    client.destroy();
    expect((await listed()).filter((key) => uploads.includes(key))).toHaveLength(uploads.length);
    const results = await s3.store.delete(uploads, new Map(uploads.map((key) => [key, large.byteLength])));
    expect([...results.values()].filter((failure) => failure !== undefined)).toEqual([]);
    expect((await listed()).filter((key) => uploads.includes(key))).toEqual([]);
  });
});

test("an upload that was completed with other bytes is not taken for ours", async () => {
  const writer = await s3.store.create(unannounced);
  await writer.write([large]);
  const suspended = await writer.suspend();
  await writer.commit(digestOf(large));
  const again = await s3.store.resume(suspended, unannounced);
  // A service may break the connection while the part is still on its way.
  await expect(again.commit(digestOf("something else"))).rejects.toMatchObject({ code: expect.stringMatching(/^(NotFound|Unavailable)$/) });
});
