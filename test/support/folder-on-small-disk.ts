// Run on a small disk (./small-disks.ts): a folder of blobs fills up in the middle of an upload. Says on stdout what came of it, as JSON.

import { randomBytes } from "node:crypto";

import { digestOf } from "../../src/domain/digest.ts";
import type { BlobStoreError } from "../../src/registry/blobs/blob-store.ts";
import { FolderBlobStore } from "../../src/registry/blobs/folder-store.ts";

const announce = async () => undefined;
const code = (error: BlobStoreError) => error.code;
const [folder = ""] = process.argv.slice(2);
const store = await FolderBlobStore.open({ folder });

const before = randomBytes(1024 * 1024);
const whole = await store.create(announce);
await whole.write([before]);
const beforeKey = await whole.commit();

const begin = randomBytes(300_000);
const first = await store.create(announce);
await first.write([begin]);
const suspended = await first.suspend();
let filled = "never";
for (let written = 0; written < 8 * 1024 * 1024 && filled === "never"; written += 65_536) {
  filled = await first.write([randomBytes(65_536)]).then(() => "never", code);
}
const suspendedFull = await first.suspend().then(() => "done", code);
const committedFull = await first.commit().then(() => "done", code);
await first.close();

// What was acknowledged goes on: behind it there is room again.
const again = await store.resume(suspended, announce);
await again.write([Buffer.from("and on")]);
const key = await again.commit(digestOf(Buffer.concat([begin, Buffer.from("and on")])));

async function content(of: string): Promise<Buffer> {
  const reader = await store.open(of);
  const bytes = Buffer.alloc(reader.size);
  for (let at = 0; at < bytes.byteLength;) at += await reader.read(bytes.subarray(at), at);
  await reader.close();
  return bytes;
}
const listed: boolean[] = [];
for await (const { finished } of store.list()) listed.push(finished);
const result = {
  filled,
  suspendedFull,
  committedFull,
  resumed: (await content(key)).equals(Buffer.concat([begin, Buffer.from("and on")])),
  kept: (await content(beforeKey)).equals(before),
  listed,
};
await store.close();
process.stdout.write(JSON.stringify(result));
