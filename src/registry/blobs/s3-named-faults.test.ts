// Named objects in a bucket behind a network that fails: whole or not at all, whatever breaks.

import { randomBytes } from "node:crypto";

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { startFaultyHop, type Fault, type FaultyHop } from "../../../test/support/faulty-hop.ts";
import { startS3Service, type S3Service } from "../../../test/support/s3-service.ts";
import { S3BlobStore } from "./s3-store.ts";

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

const large = randomBytes(9 * 1024 * 1024);
async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
async function content(name: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of store.named.get(name)) pieces.push(piece);
  return Buffer.concat(pieces);
}
const unfinished = async () => {
  let count = 0;
  for await (const { finished } of store.named.list("backup/")) if (!finished) count++;
  return count;
};

test.each<[string, RegExp, Fault]>([
  ["a part", /^PUT .*partNumber=1/, "lost answer"],
  ["the end of an upload whose answer is lost", /^POST .*uploadId=/, "lost answer"],
  ["the end of an upload that is done, and called a failure", /^POST .*uploadId=/, "error in 200"],
  ["the end of an upload", /^POST .*uploadId=/, { answer: 503, body: "<Error><Code>SlowDown</Code></Error>" }],
  ["a read that breaks", /^GET /, "cut answer"],
])("%s once, and then it works", async (_, matching, fault) => {
  hop.fail(matching, fault);
  await store.named.put("backup/a/table", once(large));
  expect((await content("backup/a/table")).equals(large)).toBe(true);
  expect(hop.done).toHaveLength(1);
  expect(await unfinished()).toBe(0);
});

test("a service that goes on failing fails the put, and leaves nothing to read", async () => {
  hop.fail(/^PUT .*partNumber=1/, { answer: 503, body: "<Error><Code>SlowDown</Code></Error>" }, 1000);
  await expect(store.named.put("backup/b/table", once(large))).rejects.toMatchObject({ name: "BlobStoreError", code: "Unavailable" });
  await expect(content("backup/b/table")).rejects.toMatchObject({ code: "NotFound" });
  expect(await unfinished()).toBe(0);
});

test("an end that nobody can be sure of is a failure, with its own words", async () => {
  hop.fail(/^POST .*uploadId=/, { answer: 503, body: "<Error><Code>SlowDown</Code></Error>" }, 1000);
  await expect(store.named.put("backup/c/table", once(large))).rejects.toThrow(/complete an upload/);
  await expect(content("backup/c/table")).rejects.toMatchObject({ code: "NotFound" });
});
