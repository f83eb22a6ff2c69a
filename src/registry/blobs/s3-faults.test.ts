// What a bucket's service and the network before it may do, against a real service behind a hop that does it.

import { randomBytes, randomUUID } from "node:crypto";

import { CreateMultipartUploadCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { startFaultyHop, type Fault, type FaultyHop } from "../../../test/support/faulty-hop.ts";
import { startS3Service, type S3Service } from "../../../test/support/s3-service.ts";
import { digestOf } from "../../domain/digest.ts";
import { S3BlobStore } from "./s3-store.ts";

const mebibyte = 1024 * 1024;
const announce = async () => undefined;

let service: S3Service;
let hop: FaultyHop;
let store: S3BlobStore;
beforeAll(async () => {
  service = await startS3Service();
});
afterAll(() => service.stop());
beforeEach(async () => {
  hop = await startFaultyHop(service.settings.endpoint ?? "");
  store = await S3BlobStore.open({ ...service.settings, endpoint: hop.url });
});
afterEach(async () => {
  await store.close();
  await hop.stop();
});

const small = randomBytes(1000);
const large = randomBytes(10 * mebibyte);

async function put(bytes: Buffer, into = store): Promise<string> {
  const writer = await into.create(announce);
  try {
    await writer.write([bytes]);
    return await writer.commit(digestOf(bytes));
  } finally {
    await writer.close();
  }
}

async function content(key: string, from = store): Promise<Buffer> {
  const reader = await from.open(key);
  const whole = Buffer.alloc(reader.size);
  try {
    for (let at = 0; at < whole.byteLength;) at += await reader.read(whole.subarray(at), at);
    return whole;
  } finally {
    await reader.close();
  }
}

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
    hop.fail(/^PUT /, fault);
    expect((await content(await put(small))).equals(small)).toBe(true);
    expect(hop.done).toHaveLength(1);
  });

  test("a part", async () => {
    hop.fail(/^PUT .*partNumber=2/, fault);
    expect((await content(await put(large))).equals(large)).toBe(true);
    expect(hop.done).toHaveLength(1);
  });

  test("the begin of an upload", async () => {
    hop.fail(/^POST .*uploads/, fault);
    expect((await content(await put(large))).equals(large)).toBe(true);
    expect(hop.done).toHaveLength(1);
  });

  test("the end of an upload", async () => {
    hop.fail(/^POST .*uploadId=/, fault);
    expect((await content(await put(large))).equals(large)).toBe(true);
    expect(hop.done).toHaveLength(1);
  });

  test("a read, a deletion", async () => {
    const key = await put(small);
    hop.fail(/^GET /, fault);
    expect((await content(key)).equals(small)).toBe(true);
    hop.fail(/^POST .*delete/, fault);
    expect(await store.delete([key])).toEqual(new Map([[key, undefined]]));
    expect(hop.done).toHaveLength(2);
  });
});

test("a read that breaks goes on from where it was, and never ends short", async () => {
  const key = await put(large);
  hop.fail(/^GET /, "cut answer", 3);
  expect((await content(key)).equals(large)).toBe(true);
  expect(hop.done).toHaveLength(3);
  hop.fail(/^GET /, "cut answer");
  hop.fail(/^GET /, "refused", 1000);
  const outcome = await content(key).then(
    () => "read",
    (error: unknown) => error,
  );
  expect(outcome).toMatchObject({ code: "Unavailable" });
});

describe("a service that says nothing", () => {
  let impatient: S3BlobStore;
  beforeEach(async () => {
    impatient = await S3BlobStore.open({ ...service.settings, endpoint: hop.url, silenceTimeout: 1_500 });
  });
  afterEach(() => impatient.close());

  test("is asked again: an object, a part, the begin of an upload, a deletion", async () => {
    hop.fail(/^PUT .*x-id=PutObject/, "silence");
    hop.fail(/^PUT .*partNumber=1/, "silence");
    hop.fail(/^POST .*uploads/, "silence");
    hop.fail(/^POST .*delete/, "silence");
    const keys = await Promise.all([put(small, impatient), put(large, impatient)]);
    expect((await content(keys[0])).equals(small)).toBe(true);
    expect((await content(keys[1])).equals(large)).toBe(true);
    expect([...(await impatient.delete(keys)).values()]).toEqual([undefined, undefined]);
    expect(hop.done).toHaveLength(4);
  });

  test("in the middle of an answer is asked again from there", async () => {
    const key = await put(large);
    hop.fail(/^GET /, "stalled answer", 2);
    expect((await content(key, impatient)).equals(large)).toBe(true);
    expect(hop.done).toHaveLength(2);
  });

  test("and goes on saying nothing is Unavailable", async () => {
    hop.fail(/^PUT /, "silence", 1000);
    await expect(put(small, impatient)).rejects.toMatchObject({ code: "Unavailable" });
  });
});

describe("200 with an error in it", () => {
  const body = "<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>";

  test("does not complete an upload", async () => {
    hop.fail(/^POST .*uploadId=/, { answer: 200, body }, 1000);
    await expect(put(large)).rejects.toMatchObject({ name: "BlobStoreError" });
  });

  test("once, and then the upload is completed", async () => {
    hop.fail(/^POST .*uploadId=/, { answer: 200, body });
    expect((await content(await put(large))).equals(large)).toBe(true);
    expect(hop.done).toHaveLength(1);
  });

  test("and the upload was completed all the same", async () => {
    hop.fail(/^POST .*uploadId=/, "error in 200");
    expect((await content(await put(large))).equals(large)).toBe(true);
    expect(hop.done).toHaveLength(1);
  });

  test("copies no part: its bytes are not taken for copied", async () => {
    const writer = await store.create(announce);
    await writer.write([large, small]);
    const suspended = await writer.suspend();
    await writer.close();
    const elsewhere = await S3BlobStore.open({ ...service.settings, endpoint: hop.url });
    hop.fail(/^PUT .*UploadPartCopy/, { answer: 200, body });
    const whole = Buffer.concat([large, small]);
    const again = await elsewhere.resume(suspended, announce);
    expect((await content(await again.commit(digestOf(whole)))).equals(whole)).toBe(true);
    expect(hop.done).toHaveLength(1);
    await elsewhere.close();
  });

  test("deletes nothing: no key counts as deleted", async () => {
    const key = await put(small);
    hop.fail(/^POST .*delete/, { answer: 200, body }, 1000);
    expect((await store.delete([key])).get(key)).toBeInstanceOf(Error);
    expect((await content(key)).equals(small)).toBe(true);
  });
});

test("a service that copies no parts is read from, once", async () => {
  const writer = await store.create(announce);
  await writer.write([large]);
  const suspended = await writer.suspend();
  await writer.close();
  hop.fail(/^PUT .*UploadPartCopy/, { answer: 501, body: "<Error><Code>NotImplemented</Code></Error>" }, 1000);
  const { suspended: gathered, bytes } = await store.reread(suspended, announce);
  for await (const piece of bytes) expect(piece.byteLength).toBeGreaterThan(0);
  hop.reads();
  const again = await store.resume(gathered, announce);
  await again.write([small]);
  const whole = Buffer.concat([large, small]);
  const key = await again.commit(digestOf(whole));
  expect(hop.reads().bytes).toBe(large.byteLength);
  expect((await content(key)).equals(whole)).toBe(true);
});

test("a part that the service keeps as another writer stored it: the upload is gone, and begins again", async () => {
  hop.fail(/^PUT .*partNumber=2/, { answer: 501, body: "<Error><Code>NotImplemented</Code></Error>" }, 1000);
  await expect(put(large)).rejects.toMatchObject({ code: "NotFound" });
});

test("a service that knows no uploads where none was ever begun", async () => {
  const key = await put(large);
  hop.fail(/^GET .*uploads/, { answer: 404, body: "<Error><Code>NoSuchUpload</Code></Error>" }, 1000);
  expect(await store.delete([key])).toEqual(new Map([[key, undefined]]));
  expect(hop.done).toHaveLength(1);
});

test("a late part over the last one, while an upload is gathered: it is gathered again", async () => {
  const writer = await store.create(announce);
  await writer.write([large]);
  const suspended = await writer.suspend();
  await writer.close();
  const body = "<Error><Code>InvalidPart</Code></Error>";
  hop.fail(/^POST .*uploadId=/, { answer: 400, body });
  const { bytes } = await store.reread(suspended, announce);
  const pieces: Uint8Array[] = [];
  for await (const piece of bytes) pieces.push(piece);
  expect(Buffer.concat(pieces).equals(large)).toBe(true);
  expect(hop.done).toHaveLength(1);
});

test("a late part over the tail, while an upload is completed: the tail is made a part again", async () => {
  const begun = await store.create(announce);
  await begun.write([large]);
  const suspended = await begun.suspend();
  await begun.close();
  // It resumed where the newer writer does, and has lost the session since.
  const late = await store.resume(suspended, announce);
  const disturbed = Promise.withResolvers<void>();
  hop.fail(/^POST .*uploadId=/, { after: disturbed.promise });
  const writer = await store.resume(suspended, announce);
  const committed = writer.commit(digestOf(large));
  await expect.poll(() => hop.done).toHaveLength(1);
  await late.write([randomBytes(large.byteLength)]);
  await late.suspend();
  disturbed.resolve();
  expect((await content(await committed)).equals(large)).toBe(true);
  expect(hop.answered.filter((line) => /^POST .*uploadId=/.test(line))).toHaveLength(2);
  await late.close();
});

test("a lost answer to the gathering of an upload that is read again", async () => {
  const writer = await store.create(announce);
  await writer.write([large]);
  const suspended = await writer.suspend();
  await writer.close();
  hop.fail(/^POST .*uploadId=/, "lost answer");
  const { bytes } = await store.reread(suspended, announce);
  const pieces: Uint8Array[] = [];
  for await (const piece of bytes) pieces.push(piece);
  expect(Buffer.concat(pieces).equals(large)).toBe(true);
  expect(hop.done).toHaveLength(1);
});

test("a list that fails is asked again, and never ends short", async () => {
  const keys = new Set([await put(small), await put(large)]);
  const listed = async () => {
    const found = new Set<string>();
    for await (const { key, finished } of store.list()) if (finished && keys.has(key)) found.add(key);
    return found;
  };
  hop.fail(/^GET .*(uploads|list-type)/, { answer: 503, body: "<Error><Code>SlowDown</Code></Error>" }, 2);
  hop.fail(/^GET .*list-type/, "cut answer");
  expect(await listed()).toEqual(keys);
  expect(hop.done).toHaveLength(3);
  hop.fail(/^GET .*list-type/, { answer: 503, body: "" }, 1000);
  await expect(listed()).rejects.toMatchObject({ code: "Unavailable" });
});

test("a service that stays away is Unavailable, and no word of its own gets out", async () => {
  hop.fail(/./, { answer: 503, body: "<Error><Code>SlowDown</Code><Message>secret</Message></Error>" }, 1000);
  await expect(put(small)).rejects.toMatchObject({ code: "Unavailable", message: expect.not.stringContaining("secret") });
  const [result] = (await store.delete(["00000000-0000-4000-8000-000000000000"])).values();
  expect(result).toMatchObject({ code: "Unavailable" });
});

test("a bucket without space is NoSpace", async () => {
  hop.fail(/^PUT /, { answer: 507, body: "<Error><Code>XMinioStorageFull</Code></Error>" }, 1000);
  await expect(put(small)).rejects.toMatchObject({ code: "NoSpace" });
});

test("a key that the service does not delete is told apart from those it did", async () => {
  const [kept, gone] = [await put(small), await put(small)];
  const body = `<DeleteResult><Error><Key>blobs/${kept}</Key><Code>InternalError</Code></Error></DeleteResult>`;
  hop.fail(/^POST .*delete/, { answer: 200, body });
  const results = await store.delete([kept, gone]);
  expect(results.get(kept)).toMatchObject({ code: "Failed" });
  expect(results.get(gone)).toBeUndefined();
});

describe("an unfinished upload of a key", () => {
  const begun = async () => {
    const keys: string[] = [];
    const writer = await store.create(async (key) => void keys.push(key));
    await writer.write([large]);
    await writer.suspend();
    await writer.close();
    return keys;
  };
  const listed = async () => {
    const found: string[] = [];
    for await (const { key } of store.list()) found.push(key);
    return found;
  };

  test("is aborted until none is left, before the object is deleted", async () => {
    const keys = await begun();
    // The service says yes, and a part that was on its way keeps the upload.
    hop.fail(/^DELETE .*uploadId=/, { answer: 204 }, 2);
    expect(await store.delete(keys)).toEqual(new Map(keys.map((key) => [key, undefined])));
    expect(hop.done).toHaveLength(2);
    expect(await listed()).not.toContain(keys[0]);
    const asked = hop.requests.filter((line) => /^DELETE|[?&]delete/.test(line));
    expect(asked.map((line) => line.split(" ")[0])).toEqual(["DELETE", "DELETE", "DELETE", "POST"]);
  });

  test("that cannot be aborted is this key's result alone", async () => {
    const keys = await begun();
    const whole = await put(small);
    hop.fail(/^DELETE .*uploadId=/, { answer: 204 }, 1000);
    const results = await store.delete([...keys, whole]);
    expect(results.get(keys[0]!)).toMatchObject({ code: "Failed", message: expect.stringContaining("unfinished upload") });
    expect(results.get(whole)).toBeUndefined();
    await expect(store.open(whole)).rejects.toMatchObject({ code: "NotFound" });
  });

  test("is looked for where there may be one: not where the object was known to be small", async () => {
    const [one, other] = [await put(small), await put(large)];
    const before = hop.requests.length;
    await store.delete(
      [one, other],
      new Map([
        [one, small.byteLength],
        [other, large.byteLength],
      ]),
    );
    const lists = hop.requests.slice(before).filter((line) => /^GET .*[?&]uploads/.test(line));
    expect(lists).toEqual([expect.stringContaining(other)]);
  });

  test("of one that became whole is looked for with all others of these in one listing", async () => {
    const keys = Array.from({ length: 200 }, () => randomUUID());
    const before = hop.requests.length;
    const results = await store.delete(keys, new Map(keys.map((key) => [key, large.byteLength])));
    expect([...results.values()].filter((failure) => failure !== undefined)).toEqual([]);
    expect(hop.requests.slice(before).filter((line) => /^GET .*[?&]uploads/.test(line))).toHaveLength(1);
  });

  test("is found by its own key, also where a service lists by whole keys alone", async () => {
    const [one, other] = [await begun(), await begun()];
    const nothing = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>";
    hop.fail(/^GET (?!.*prefix=blobs%2F[0-9a-f-]{36}(&|$)).*[?&]uploads/, { answer: 200, body: nothing }, 1000);
    await store.delete([...one, ...other]);
    hop.calm();
    expect(await listed()).not.toEqual(expect.arrayContaining([one[0]]));
    expect(await listed()).not.toEqual(expect.arrayContaining([other[0]]));
  });

  test("is found behind a thousand others, and all of them are listed", { timeout: 120_000 }, async () => {
    const uploads: string[] = [];
    const { bucket, endpoint, region, credentials } = service.settings;
    const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials });
    for (let some = 0; some < 1_100; some += 50) {
      const keys = Array.from({ length: 50 }, () => randomUUID());
      await Promise.all(keys.map((key) => client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: `blobs/${key}` }))));
      uploads.push(...keys);
    }
    client.destroy();
    expect((await listed()).filter((key) => uploads.includes(key))).toHaveLength(uploads.length);
    const results = await store.delete(uploads, new Map(uploads.map((key) => [key, large.byteLength])));
    expect([...results.values()].filter((failure) => failure !== undefined)).toEqual([]);
    expect((await listed()).filter((key) => uploads.includes(key))).toEqual([]);
  });
});

test.each([
  ["uploads", /[?&]uploads/, "ListMultipartUploadsResult"],
  ["objects", /list-type=2/, "ListBucketResult"],
])("a list of %s that breaks off without a word where it goes on is not asked for for ever", async (_, matching, name) => {
  hop.fail(new RegExp(`^GET .*${matching.source}`), { answer: 200, body: `<${name}><IsTruncated>true</IsTruncated></${name}>` }, 1000);
  const all = async () => {
    for await (const object of store.list()) expect(object).toBeDefined();
  };
  await expect(all()).rejects.toMatchObject({ code: "Failed", message: expect.stringContaining("broke off") });
});

test("other bytes than were asked for are not passed on", async () => {
  const key = await put(large);
  const place = new RegExp(`^GET .*${key}`);
  hop.fail(place, { answer: 200, body: "x".repeat(2_000) }, 1000);
  await expect(store.open(key, { start: 500, end: 600 })).rejects.toMatchObject({ code: "Unavailable" });
  hop.calm();
  hop.fail(place, { answer: 206, body: "x".repeat(2_000), headers: { "content-range": "bytes 4096-6095/10485760" } }, 1000);
  await expect(store.open(key, { start: 500, end: 600 })).rejects.toMatchObject({ code: "Unavailable" });
});

test("who has read his range keeps nobody from a connection, also when the service sends more than was asked for", async () => {
  const narrow = await S3BlobStore.open({ ...service.settings, endpoint: hop.url, connections: 1 });
  try {
    const [key, other] = [await put(large, narrow), await put(small, narrow)];
    hop.fail(new RegExp(`^GET .*${key}`), {
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

test("an upload that was completed with other bytes is not taken for ours", async () => {
  const writer = await store.create(announce);
  await writer.write([large]);
  const suspended = await writer.suspend();
  await writer.commit(digestOf(large));
  const again = await store.resume(suspended, announce);
  // A service may break the connection while the part is still on its way.
  await expect(again.commit(digestOf("something else"))).rejects.toMatchObject({ code: expect.stringMatching(/^(NotFound|Unavailable)$/) });
});

test.each([
  ["no bucket", { bucket: "nowhere" }, "BucketMissing"],
  ["wrong credentials", { credentials: { accessKeyId: "wharfinger", secretAccessKey: "wrong" } }, "BucketKeyRefused"],
  ["nobody there", { endpoint: "http://127.0.0.1:9" }, "BucketUnreachable"],
])("a start with %s says what is in the way", async (_, wrong, reason) => {
  await expect(S3BlobStore.open({ ...service.settings, ...wrong })).rejects.toMatchObject({ name: "Obstacle", reason });
});
