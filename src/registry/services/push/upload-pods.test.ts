// Upload sessions over several pods: begun on one, ended on another, taken over, with answers that got lost. On a folder, and on a bucket (project s3).

import { randomBytes } from "node:crypto";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";

import { bodyOf, brokenBody, openOwnRegistry, pusher, readBlob, type OwnRegistry } from "../../../../test/support/own-registry.ts";
import { digestOf, type DigestAlgorithm } from "../../../domain/digest.ts";
import { observed } from "../../../failpoints/armed.ts";
import type { Push } from "./push.ts";

let registry: OwnRegistry;
beforeAll(async () => {
  registry = await openOwnRegistry();
});
afterAll(() => registry.close());

const repository = "team/app";
const gone = { code: "BLOB_UPLOAD_UNKNOWN" };
const mebibyte = 1024 * 1024;
const start = async (algorithm: DigestAlgorithm = "sha256") => (await registry.push.startUpload(repository, pusher, { algorithm })).id;
const append = (push: Push, id: string, ...pieces: (Uint8Array | string)[]) =>
  push.append(repository, id, pusher, { body: bodyOf(...pieces) });
const complete = (push: Push, id: string, bytes: Uint8Array, ...pieces: Uint8Array[]) =>
  push.complete(repository, id, pusher, { digest: digestOf(bytes), body: bodyOf(...pieces) });
const pulled = (bytes: Uint8Array, algorithm: DigestAlgorithm = "sha256") =>
  readBlob(registry.pull, repository, digestOf(bytes, algorithm));

/** Bytes that were read of what is stored: at the bucket's service, or by a folder that reads a session again. */
let rereads = 0;
const read = () => {
  const bytes = registry.hop?.reads().bytes ?? rereads;
  rereads = 0;
  return bytes;
};
beforeEach(() => {
  const reread = registry.store.reread.bind(registry.store);
  vi.spyOn(registry.store, "reread").mockImplementation((suspended, announce) => {
    rereads += suspended.offset;
    return reread(suspended, announce);
  });
  read();
});
afterEach(() => vi.restoreAllMocks());

// What a bucket keeps in two ways: an object alone, and parts with an object behind them.
const sizes = [
  ["small", 1000],
  ["of parts and a tail", 9 * mebibyte],
] as const;

describe.each(sizes)("a blob %s", (_, size) => {
  test.each(["the same pod", "another pod"])("docker's PATCH and empty PUT read nothing: %s", async (where) => {
    const bytes = randomBytes(size);
    const id = await start();
    await append(registry.push, id, bytes);
    const push = where === "the same pod" ? registry.push : await registry.anotherPush();
    await complete(push, id, bytes);
    expect(read()).toBe(0);
    expect((await pulled(bytes)).equals(bytes)).toBe(true);
  });

  test("the first continuation on another pod reads what is there once, later ones anywhere read nothing of it", async () => {
    const pieces = [size, 300, 6 * mebibyte, 70_000].map((length) => randomBytes(length));
    const id = await start();
    await append(registry.push, id, pieces[0]!);
    await append(await registry.anotherPush(), id, pieces[1]!);
    expect(read()).toBe(size);
    await append(await registry.anotherPush(), id, pieces[2]!);
    await append(registry.push, id, pieces[3]!);
    const whole = Buffer.concat(pieces);
    const last = randomBytes(11);
    await complete(await registry.anotherPush(), id, Buffer.concat([whole, last]), last);
    // Of a bucket, a tail that is smaller than a part: nothing can follow it otherwise.
    expect(read()).toBeLessThanOrEqual(registry.hop === undefined ? 0 : 3 * 5 * mebibyte);
    expect((await pulled(Buffer.concat([whole, last]))).equals(Buffer.concat([whole, last]))).toBe(true);
  });

  test("a pod that died in the middle of a request leaves what it was acknowledged for", async () => {
    const [first, second] = [randomBytes(size), randomBytes(3000)];
    const id = await start();
    const died = await registry.anotherPush();
    await append(died, id, first);
    const partsSent = () => registry.hop?.answered.filter((line) => line.includes("partNumber=")).length ?? 0;
    const before = partsSent();
    const reached = Promise.withResolvers<void>();
    // It never says anything again, as a process that was killed.
    void died
      .append(repository, id, pusher, {
        body: (async function* () {
          yield randomBytes(9 * mebibyte);
          reached.resolve();
          await new Promise(() => undefined);
        })(),
      })
      .catch(() => undefined);
    await reached.promise;
    // In a bucket its part arrives.
    await expect.poll(partsSent).toBe(registry.hop === undefined ? 0 : before + 1);
    expect(await registry.push.uploadStatus(repository, id, pusher)).toEqual({ id, offset: size });
    await append(registry.push, id, second);
    const whole = Buffer.concat([first, second]);
    await complete(registry.push, id, whole);
    expect((await pulled(whole)).equals(whole)).toBe(true);
  });

  test("a request that lost its session to another pod is refused, and its bytes are in nothing", async () => {
    const [first, second] = [randomBytes(size), randomBytes(3000)];
    const id = await start();
    await append(registry.push, id, first);
    const other = await registry.anotherPush();
    const late = registry.push.append(repository, id, pusher, {
      body: (async function* () {
        yield randomBytes(9 * mebibyte);
        await append(other, id, second);
        yield randomBytes(100);
      })(),
    });
    await expect(late).rejects.toMatchObject(gone);
    expect(await other.uploadStatus(repository, id, pusher)).toEqual({ id, offset: size + 3000 });
    const whole = Buffer.concat([first, second]);
    const outcome = await complete(other, id, whole).then(
      async () => ((await pulled(whole)).equals(whole) ? "ours" : "theirs"),
      (error: { code?: string }) => error.code,
    );
    // In a bucket a part that came late may have cost the upload: it is begun again then, and never anything else than its bytes.
    expect(registry.hop === undefined ? ["ours"] : ["ours", gone.code]).toContain(outcome);
  });
});

test.each<DigestAlgorithm>(["sha256", "sha512"])("a session of %s goes over many pods, read again once", async (algorithm) => {
  const id = await start(algorithm);
  const pieces = Array.from({ length: 8 }, (_, index) => randomBytes(1000 + index));
  const whole = Buffer.concat(pieces);
  let reread = 0;
  const count = (name: string) => void (reread += name === "session.reshaped" ? 1 : 0);
  await observed(count, async () => {
    await append(registry.push, id, pieces[0]!);
    for (const piece of pieces.slice(1, -1)) await append(await registry.anotherPush(), id, piece);
  });
  expect(reread).toBe(1);
  const last = await registry.anotherPush();
  await last.complete(repository, id, pusher, { digest: digestOf(whole, algorithm), body: bodyOf(pieces.at(-1)!) });
  expect((await pulled(whole, algorithm)).equals(whole)).toBe(true);
});

describe("a hash state that is of no use", () => {
  test.each([
    ["of another build of the library", (state: Buffer) => Buffer.from(state.map((byte, at) => (at < 4 ? byte ^ 0xff : byte)))],
    ["damaged", (state: Buffer) => Buffer.from(state.map((byte, at) => (at < 4 ? byte : byte ^ 0xff)))],
    ["cut short", (state: Buffer) => state.subarray(0, 30)],
    ["of other bytes", () => Buffer.alloc(116)],
  ])("%s: the bytes are read again, and nothing fails", async (_, spoil) => {
    const id = await start();
    await append(registry.push, id, "one ");
    await append(await registry.anotherPush(), id, "two ");
    const [row] = await registry.rows<{ state: Buffer | null }>("SELECT hash_state AS state FROM uploads WHERE id = $1", [id]);
    await registry.rows("UPDATE uploads SET hash_state = $2 WHERE id = $1", [id, spoil(row?.state ?? Buffer.alloc(0))]);
    read();
    const other = await registry.anotherPush();
    await append(other, id, "three ");
    expect(read()).toBe("one two ".length);
    await complete(await registry.anotherPush(), id, Buffer.from("one two three four"), Buffer.from("four"));
    expect((await pulled(Buffer.from("one two three four"))).toString()).toBe("one two three four");
  });

  test("a version of the registry that knows no states moved the session: its state is of fewer bytes", async () => {
    const id = await start();
    await append(registry.push, id, "one ");
    await append(await registry.anotherPush(), id, "two ");
    const [row] = await registry.rows<{ state: Buffer }>("SELECT hash_state AS state FROM uploads WHERE id = $1", [id]);
    await append(await registry.anotherPush(), id, "three ");
    await registry.rows("UPDATE uploads SET hash_state = $2 WHERE id = $1", [id, row?.state]);
    await complete(await registry.anotherPush(), id, Buffer.from("one two three four"), Buffer.from("four"));
    expect((await pulled(Buffer.from("one two three four"))).toString()).toBe("one two three four");
  });
});

test("a body that breaks right after the session was read again leaves the state for the next one", async () => {
  const bytes = randomBytes(9 * mebibyte);
  const id = await start();
  await append(registry.push, id, bytes);
  const other = await registry.anotherPush();
  // Nothing that was announced is taken, so nothing is advanced.
  const refused = { code: "SIZE_INVALID" };
  await expect(other.append(repository, id, pusher, { length: 100, body: bodyOf("too few") })).rejects.toMatchObject(refused);
  expect(read()).toBe(bytes.byteLength);
  const more = Buffer.from("and on");
  await complete(await registry.anotherPush(), id, Buffer.concat([bytes, more]), more);
  expect(read()).toBe(0);
  expect((await pulled(Buffer.concat([bytes, more]))).equals(Buffer.concat([bytes, more]))).toBe(true);
});

test("a PUT of another algorithm reads the session once, however often it breaks and comes again", async () => {
  const bytes = randomBytes(9 * mebibyte);
  const more = Buffer.from("and on");
  const whole = Buffer.concat([bytes, more]);
  const digest = digestOf(whole, "sha512");
  const id = await start();
  await append(registry.push, id, bytes);
  for (let attempt = 1; attempt <= 5; attempt++) {
    const breaking = registry.push.complete(repository, id, pusher, { digest, body: brokenBody("a") });
    await expect(breaking).rejects.toThrow("connection lost");
  }
  const sameAlgorithm = registry.push.complete(repository, id, pusher, { digest: digestOf(whole), body: brokenBody("a") });
  await expect(sameAlgorithm).rejects.toThrow("connection lost");
  expect(read()).toBeLessThan(2 * bytes.byteLength);
  await registry.push.complete(repository, id, pusher, { digest, body: bodyOf(more) });
  expect((await pulled(whole, "sha512")).equals(whole)).toBe(true);
});

test("a session that grows by a byte so that it must be read again is ended after three times", async () => {
  const bytes = randomBytes(1000);
  const id = await start();
  await append(registry.push, id, bytes);
  const breaking = () => registry.push.complete(repository, id, pusher, { digest: digestOf("", "sha512"), body: brokenBody("a") });
  for (let attempt = 1; attempt <= 3; attempt++) {
    await expect(breaking()).rejects.toThrow("connection lost");
    await append(registry.push, id, "b");
  }
  await expect(breaking()).rejects.toMatchObject({ code: "BLOB_UPLOAD_INVALID", message: expect.stringContaining("digest-algorithm") });
  await expect(registry.push.uploadStatus(repository, id, pusher)).rejects.toMatchObject(gone);
});

test("nothing is read again for a client that left", async () => {
  const bytes = randomBytes(1000);
  const id = await start();
  await append(registry.push, id, bytes);
  const digest = digestOf(bytes, "sha512");
  const left = registry.push.complete(repository, id, pusher, { digest, body: bodyOf("a"), gone: AbortSignal.abort() });
  await expect(left).rejects.toThrow("The client left");
  expect(await registry.push.uploadStatus(repository, id, pusher)).toEqual({ id, offset: 1000 });
  await registry.push.complete(repository, id, pusher, { digest, body: bodyOf() });
  expect((await pulled(bytes, "sha512")).equals(bytes)).toBe(true);
});

test.each(["session.reshaped", "session.resumed", "session.suspended"] as const)(
  "a request that dies at %s costs the session nothing",
  async (point) => {
    const bytes = randomBytes(9 * mebibyte);
    const id = await start();
    await append(registry.push, id, bytes);
    const other = await registry.anotherPush();
    const dies = (name: string) => (name === point ? Promise.reject(new Error("died")) : undefined);
    await expect(observed(dies, () => append(other, id, "lost"))).rejects.toThrow("died");
    const more = Buffer.from("and on");
    await append(await registry.anotherPush(), id, more);
    const whole = Buffer.concat([bytes, more]);
    await complete(await registry.anotherPush(), id, whole);
    expect((await pulled(whole)).equals(whole)).toBe(true);
  },
);

test("what is read again must be what was taken", async () => {
  const id = await start();
  await append(registry.push, id, randomBytes(9 * mebibyte));
  await registry.rows("UPDATE uploads SET prefix_digest = $2 WHERE id = $1", [id, digestOf("other bytes")]);
  await expect(append(await registry.anotherPush(), id, "x")).rejects.toMatchObject(gone);
});

test("a wrong digest of a request that lost the session does not end it for the one that has it", async () => {
  const id = await start();
  const other = await registry.anotherPush();
  const late = registry.push.complete(repository, id, pusher, {
    digest: digestOf("never"),
    body: (async function* () {
      yield Buffer.from("a");
      await append(other, id, "theirs");
    })(),
  });
  await expect(late).rejects.toMatchObject({ code: "DIGEST_INVALID" });
  await complete(other, id, Buffer.from("theirs"));
  expect((await pulled(Buffer.from("theirs"))).toString()).toBe("theirs");
});

describe("an answer that got lost", () => {
  test.each(sizes)("PUT after the COMMIT, on another pod: 201, %s", async (_, size) => {
    const bytes = randomBytes(size);
    const id = await start();
    await append(registry.push, id, bytes);
    const dies = (name: string) => (name === "U2.committed" ? Promise.reject(new Error("connection lost")) : undefined);
    await expect(observed(dies, () => complete(registry.push, id, bytes))).rejects.toThrow("connection lost");
    await complete(await registry.anotherPush(), id, bytes);
    await complete(await registry.anotherPush(), id, bytes);
    await expect(complete(registry.push, id, Buffer.from("other"))).rejects.toMatchObject(gone);
    expect((await pulled(bytes)).equals(bytes)).toBe(true);
  });

  test.each(sizes)("PUT that died before its transaction, on another pod: the bytes are whole already, %s", async (_, size) => {
    const bytes = randomBytes(size);
    const id = await start();
    await append(registry.push, id, bytes);
    const dies = (name: string) => (name === "U2.stored" ? Promise.reject(new Error("killed")) : undefined);
    await expect(observed(dies, () => complete(registry.push, id, bytes))).rejects.toThrow("killed");
    await complete(await registry.anotherPush(), id, bytes);
    expect((await pulled(bytes)).equals(bytes)).toBe(true);
  });

  test("a PATCH whose answer got lost: the status says so, and the same bytes again are refused", async () => {
    const id = await start();
    await expect(registry.push.append(repository, id, pusher, { start: 0, body: brokenBody("abc") })).rejects.toThrow("connection lost");
    const other = await registry.anotherPush();
    expect(await other.uploadStatus(repository, id, pusher)).toEqual({ id, offset: 3 });
    const again = other.append(repository, id, pusher, { start: 0, length: 3, body: bodyOf("abc") });
    await expect(again).rejects.toMatchObject({ code: "RANGE_INVALID", detail: { offset: 3 } });
    await complete(other, id, Buffer.from("abcdef"), Buffer.from("def"));
  });
});
