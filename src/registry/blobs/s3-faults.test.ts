// What a bucket's service and the network before it may do, against a real service behind a hop that does it.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import type { Fault } from "../../../test/support/faulty-hop.ts";
import { large, mebibyte, S3BehindHop, small } from "../../../test/support/s3-behind-hop.ts";
import { unannounced } from "../../../test/support/whole-blobs.ts";
import { digestOf } from "../../domain/digest.ts";
import { S3BlobStore } from "./s3-store.ts";

let s3: S3BehindHop;
beforeAll(async () => {
  s3 = await S3BehindHop.start();
});
afterAll(() => s3.stop());
beforeEach(() => s3.open());
afterEach(() => s3.close());
const put = (bytes: Buffer, into?: S3BlobStore) => s3.put(bytes, into);
const content = (key: string, from?: S3BlobStore) => s3.content(key, from);

const passing: readonly (readonly [string, Fault])[] = [
  ["503", { answer: 503, body: "<Error><Code>SlowDown</Code></Error>" }],
  ["500", { answer: 500, body: "<Error><Code>InternalError</Code></Error>" }],
  ["429", { answer: 429, body: "<Error><Code>TooManyRequests</Code></Error>" }],
  ["a timeout that is called a mistake", { answer: 400, body: "<Error><Code>RequestTimeout</Code></Error>" }],
  ["a 502 in HTML", { answer: 502, body: "<html>bad gateway</html>" }],
  ["a broken connection", "refused"],
  ["a connection that breaks in the middle of a request", "cut request"],
  ["a lost answer", "lost answer"],
  ["a slow answer", { slow: 300 }],
];

describe.each(passing)("%s once, and then it works", (_, fault) => {
  test("an object", async () => {
    s3.hop.fail(/^PUT /, fault);
    expect((await content(await put(small))).equals(small)).toBe(true);
    expect(s3.hop.done).toHaveLength(1);
  });

  test("an upload: its begin, a part, its end", async () => {
    for (const place of [/^POST .*uploads/, /^PUT .*partNumber=2/, /^POST .*uploadId=/]) s3.hop.fail(place, fault);
    expect((await content(await put(large))).equals(large)).toBe(true);
    expect(s3.hop.done).toHaveLength(3);
  });

  test("a read, a deletion", async () => {
    const key = await put(small);
    s3.hop.fail(/^GET /, fault);
    expect((await content(key)).equals(small)).toBe(true);
    s3.hop.fail(/^POST .*delete/, fault);
    expect(await s3.store.delete([key])).toEqual(new Map([[key, undefined]]));
    expect(s3.hop.done).toHaveLength(2);
  });
});

test("a read that breaks goes on from where it was, and never ends short", async () => {
  const key = await put(large);
  s3.hop.fail(/^GET /, "cut answer", 3);
  expect((await content(key)).equals(large)).toBe(true);
  expect(s3.hop.done).toHaveLength(3);
  s3.hop.fail(/^GET /, "cut answer");
  s3.hop.fail(/^GET /, "refused", 1000);
  const outcome = await content(key).then(
    () => "read",
    (error: unknown) => error,
  );
  expect(outcome).toMatchObject({ code: "Unavailable" });
});

describe("a service that says nothing", () => {
  let impatient: S3BlobStore;
  beforeEach(async () => {
    impatient = await s3.another({ silenceTimeout: 1_500 });
  });
  afterEach(() => impatient.close());

  test("is asked again: an object, a part, the begin of an upload, a deletion", async () => {
    s3.hop.fail(/^PUT .*x-id=PutObject/, "silence");
    s3.hop.fail(/^PUT .*partNumber=1/, "silence");
    s3.hop.fail(/^POST .*uploads/, "silence");
    s3.hop.fail(/^POST .*delete/, "silence");
    const keys = await Promise.all([put(small, impatient), put(large, impatient)]);
    expect((await content(keys[0])).equals(small)).toBe(true);
    expect((await content(keys[1])).equals(large)).toBe(true);
    expect([...(await impatient.delete(keys)).values()]).toEqual([undefined, undefined]);
    expect(s3.hop.done).toHaveLength(4);
  });

  test("in the middle of an answer is asked again from there", async () => {
    const key = await put(large);
    s3.hop.fail(/^GET /, "stalled answer", 2);
    expect((await content(key, impatient)).equals(large)).toBe(true);
    expect(s3.hop.done).toHaveLength(2);
  });

  test("and goes on saying nothing is Unavailable", async () => {
    s3.hop.fail(/^PUT /, "silence", 1000);
    await expect(put(small, impatient)).rejects.toMatchObject({ code: "Unavailable" });
  });
});

describe("200 with an error in it", () => {
  const body = "<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>";

  test("does not complete an upload", async () => {
    s3.hop.fail(/^POST .*uploadId=/, { answer: 200, body }, 1000);
    await expect(put(large)).rejects.toMatchObject({ name: "BlobStoreError" });
  });

  test("once, and then the upload is completed", async () => {
    s3.hop.fail(/^POST .*uploadId=/, { answer: 200, body });
    expect((await content(await put(large))).equals(large)).toBe(true);
    expect(s3.hop.done).toHaveLength(1);
  });

  test("and the upload was completed all the same", async () => {
    s3.hop.fail(/^POST .*uploadId=/, "error in 200");
    expect((await content(await put(large))).equals(large)).toBe(true);
    expect(s3.hop.done).toHaveLength(1);
  });

  test("copies no part: its bytes are not taken for copied", async () => {
    const suspended = await s3.suspended(large, small);
    const elsewhere = await s3.another();
    s3.hop.fail(/^PUT .*UploadPartCopy/, { answer: 200, body });
    const whole = Buffer.concat([large, small]);
    const again = await elsewhere.resume(suspended, unannounced);
    expect((await content(await again.commit(digestOf(whole)))).equals(whole)).toBe(true);
    expect(s3.hop.done).toHaveLength(1);
    await elsewhere.close();
  });

  test("deletes nothing: no key counts as deleted", async () => {
    const key = await put(small);
    s3.hop.fail(/^POST .*delete/, { answer: 200, body }, 1000);
    expect((await s3.store.delete([key])).get(key)).toBeInstanceOf(Error);
    expect((await content(key)).equals(small)).toBe(true);
  });
});

test("a list that fails is asked again, and never ends short", async () => {
  const keys = new Set([await put(small), await put(large)]);
  const listed = async () => {
    const found = new Set<string>();
    for await (const { key, finished } of s3.store.list()) if (finished && keys.has(key)) found.add(key);
    return found;
  };
  s3.hop.fail(/^GET .*(uploads|list-type)/, { answer: 503, body: "<Error><Code>SlowDown</Code></Error>" }, 2);
  s3.hop.fail(/^GET .*list-type/, "cut answer");
  expect(await listed()).toEqual(keys);
  expect(s3.hop.done).toHaveLength(3);
  s3.hop.fail(/^GET .*list-type/, { answer: 503, body: "" }, 1000);
  await expect(listed()).rejects.toMatchObject({ code: "Unavailable" });
});

test("a service that stays away is Unavailable, and no word of its own gets out", async () => {
  s3.hop.fail(/./, { answer: 503, body: "<Error><Code>SlowDown</Code><Message>secret</Message></Error>" }, 1000);
  await expect(put(small)).rejects.toMatchObject({ code: "Unavailable", message: expect.not.stringContaining("secret") });
  const [result] = (await s3.store.delete(["00000000-0000-4000-8000-000000000000"])).values();
  expect(result).toMatchObject({ code: "Unavailable" });
});

test("a bucket without space is NoSpace", async () => {
  s3.hop.fail(/^PUT /, { answer: 507, body: "<Error><Code>XMinioStorageFull</Code></Error>" }, 1000);
  await expect(put(small)).rejects.toMatchObject({ code: "NoSpace" });
});

test("a key that the service does not delete is told apart from those it did", async () => {
  const [kept, gone] = [await put(small), await put(small)];
  const body = `<DeleteResult><Error><Key>blobs/${kept}</Key><Code>InternalError</Code></Error></DeleteResult>`;
  s3.hop.fail(/^POST .*delete/, { answer: 200, body });
  const results = await s3.store.delete([kept, gone]);
  expect(results.get(kept)).toMatchObject({ code: "Failed" });
  expect(results.get(gone)).toBeUndefined();
});

test.each([
  ["uploads", /[?&]uploads/, "ListMultipartUploadsResult"],
  ["objects", /list-type=2/, "ListBucketResult"],
])("a list of %s that breaks off without a word where it goes on is not asked for for ever", async (_, matching, name) => {
  s3.hop.fail(new RegExp(`^GET .*${matching.source}`), { answer: 200, body: `<${name}><IsTruncated>true</IsTruncated></${name}>` }, 1000);
  const all = async () => {
    for await (const object of s3.store.list()) expect(object).toBeDefined();
  };
  await expect(all()).rejects.toMatchObject({ code: "Failed", message: expect.stringContaining("broke off") });
});

test("other bytes than were asked for are not passed on", async () => {
  const key = await put(large);
  const place = new RegExp(`^GET .*${key}`);
  s3.hop.fail(place, { answer: 200, body: "x".repeat(2_000) }, 1000);
  await expect(s3.store.open(key, { start: 500, end: 600 })).rejects.toMatchObject({ code: "Unavailable" });
  s3.hop.calm();
  s3.hop.fail(place, { answer: 206, body: "x".repeat(2_000), headers: { "content-range": "bytes 4096-6095/10485760" } }, 1000);
  await expect(s3.store.open(key, { start: 500, end: 600 })).rejects.toMatchObject({ code: "Unavailable" });
});

test("who has read his range keeps nobody from a connection, also when the service sends more than was asked for", async () => {
  const narrow = await s3.another({ connections: 1 });
  try {
    const [key, other] = [await put(large, narrow), await put(small, narrow)];
    s3.hop.fail(new RegExp(`^GET .*${key}`), {
      answer: 200,
      body: "x".repeat(64 * mebibyte),
      headers: { "content-length": String(64 * mebibyte) },
    });
    const reader = await narrow.open(key, { start: 0, end: 100 });
    expect(await reader.read(Buffer.alloc(100), 0)).toBe(100);
    expect((await content(other, narrow)).equals(small)).toBe(true);
    await reader.close();
  } finally {
    await narrow.close();
  }
});

test.each([
  ["no bucket", { bucket: "nowhere" }, "BucketMissing"],
  ["wrong credentials", { credentials: { accessKeyId: "wharfinger", secretAccessKey: "wrong" } }, "BucketKeyRefused"],
  ["nobody there", { endpoint: "http://127.0.0.1:9" }, "BucketUnreachable"],
])("a start with %s says what is in the way", async (_, wrong, reason) => {
  await expect(S3BlobStore.open({ ...s3.service.settings, ...wrong })).rejects.toMatchObject({ name: "Obstacle", reason });
});
