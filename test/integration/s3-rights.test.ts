// What docs/guides/s3.md says of the bucket: its policy is enough, nothing of it is too much, and a bucket may keep versions.

import { randomBytes, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { digestOf } from "../../src/domain/digest.ts";
import { BucketTree } from "../../src/import/bucket-tree.ts";
import { RegistryLayout } from "../../src/import/registry-layout.ts";
import { connectS3, type S3 } from "../../src/registry/blobs/s3-client.ts";
import { S3BlobStore } from "../../src/registry/blobs/s3-store.ts";
import { startS3Service, type S3Service } from "../support/s3-service.ts";

interface Policy {
  readonly Statement: readonly { readonly Action: readonly string[]; readonly Resource: string }[];
}

/** As the guide calls it. */
const bucket = "my-bucket";

let service: S3Service;
let root: S3;
let restricted: S3Service["settings"];
let policy: Policy;

beforeAll(async () => {
  const guide = await readFile(resolve(import.meta.dirname, "../../docs/guides/s3.md"), "utf8");
  policy = JSON.parse(/^```json\n([^]*?)^```$/m.exec(guide)?.[1] ?? "") as Policy;
  service = await startS3Service({ versions: true });
  // Made by a request: versitygw copies nothing for others from a bucket that was only a folder.
  root = await connectS3({ ...service.settings, bucket });
  await root.client.send(new root.sdk.CreateBucketCommand({ Bucket: bucket }));
  restricted = { ...(await service.addUser("restricted")), bucket };
});
afterAll(async () => {
  root?.client.destroy();
  await service?.stop();
});

const rights = () => policy.Statement.flatMap(({ Action }) => Action);

/** Gives the user of the test these rights of the guide's policy, and no others. */
async function allow(actions: readonly string[]): Promise<void> {
  const Statement = policy.Statement.map((statement) => ({
    ...statement,
    Principal: { AWS: ["restricted"] },
    Action: statement.Action.filter((action) => actions.includes(action)),
  })).filter(({ Action }) => Action.length > 0);
  const { sdk, client } = root;
  await client.send(new sdk.PutBucketPolicyCommand({ Bucket: bucket, Policy: JSON.stringify({ ...policy, Statement }) }));
}

const mebibyte = 1024 * 1024;
const bytes = randomBytes(13 * mebibyte);
const [small, half] = [bytes.subarray(0, 1000), bytes.subarray(0, 6 * mebibyte)];

async function drain(list: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of list) count++;
  return count;
}

async function writing(store: S3BlobStore, content: Uint8Array, keys: string[] = []) {
  const writer = await store.create(async (key) => void keys.push(key));
  await writer.write([content]);
  return writer;
}

async function stored(store: S3BlobStore, content: Uint8Array): Promise<string> {
  return (await writing(store, content)).commit(digestOf(content));
}

async function deleted(store: S3BlobStore, keys: readonly string[]): Promise<void> {
  for (const failure of (await store.delete(keys)).values()) if (failure !== undefined) throw failure;
}

/** What a registry does with its bucket, each by its own. */
const steps: Readonly<Record<string, (store: S3BlobStore) => Promise<unknown>>> = {
  "store a small blob": (store) => stored(store, small),
  "store a large blob": (store) => stored(store, bytes),
  "go on with an upload": async (store) => {
    const suspended = await (await writing(store, half)).suspend();
    const writer = await store.resume(suspended, async () => {});
    await writer.write([bytes.subarray(half.byteLength)]);
    await writer.commit(digestOf(bytes));
  },
  "go on with what another process wrote": async (store) => {
    const again = await store.reread(await (await writing(store, half)).suspend(), async () => {});
    await drain(again.bytes);
    const writer = await store.resume(again.suspended, async () => {});
    await writer.write([bytes.subarray(half.byteLength)]);
    await writer.commit(digestOf(bytes));
  },
  read: async (store) => {
    const reader = await store.open(await stored(store, small));
    const read = await reader.read(Buffer.alloc(small.byteLength), 0);
    await reader.close();
    if (read === 0) throw new Error("nothing was read");
  },
  delete: async (store) => deleted(store, [await stored(store, bytes)]),
  "give up an upload": async (store) => {
    const keys: string[] = [];
    await (await writing(store, bytes, keys)).suspend();
    await deleted(store, keys);
  },
  list: (store) => drain(store.list()),
};

/** Names of the steps that fail, `start` when the store does not even open. */
async function failing(): Promise<string[]> {
  const store = await S3BlobStore.open({ ...restricted, prefix: `${randomUUID()}/` }).catch(() => undefined);
  if (store === undefined) return ["start"];
  const failed: string[] = [];
  for (const [name, step] of Object.entries(steps)) await step(store).catch(() => failed.push(name));
  await store.close();
  return failed;
}

test("with the rights of the guide everything works", async () => {
  await allow(rights());
  expect(await failing()).toEqual([]);
});

test.each([
  ["s3:ListBucket", ["start"]],
  ["s3:ListBucketMultipartUploads", ["delete", "give up an upload", "list"]],
  ["s3:GetObject", ["go on with what another process wrote", "read"]],
  ["s3:PutObject", ["store a small blob", "store a large blob"]],
  ["s3:DeleteObject", ["delete", "give up an upload"]],
  ["s3:AbortMultipartUpload", ["give up an upload"]],
])("without %s: %j", async (right, fails) => {
  expect(rights()).toContain(right);
  await allow(rights().filter((other) => other !== right));
  expect(await failing()).toEqual(expect.arrayContaining(fails));
});

test("the guide has no right that is not tried here", () => {
  expect(rights()).toHaveLength(6);
});

test("an import from a bucket needs two of them", async () => {
  const { sdk, client } = root;
  const link = "docker/registry/v2/repositories/app/_manifests/tags/v1/current/link";
  await client.send(new sdk.PutObjectCommand({ Bucket: bucket, Key: `old/${link}`, Body: digestOf(small) }));
  const resolves = async () => {
    const layout = await RegistryLayout.open(await BucketTree.connect({ ...restricted, prefix: "old/" }));
    const found = [await layout.tags("app"), await layout.resolve("app", "v1")];
    await layout.close();
    return found;
  };
  await allow(["s3:ListBucket", "s3:GetObject"]);
  expect(await resolves()).toEqual([["v1"], digestOf(small)]);
  await allow(["s3:ListBucket"]);
  await expect(resolves()).rejects.toMatchObject({ code: "Unusable" });
});

test("a bucket that keeps versions: what is deleted is gone for the registry, and its bytes stay as an old version", async () => {
  const { sdk, client } = root;
  await client.send(new sdk.PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: "Enabled" } }));
  await allow(rights());
  expect(await failing()).toEqual([]);
  const prefix = `${randomUUID()}/`;
  const store = await S3BlobStore.open({ ...restricted, prefix });
  const keys = [await stored(store, small), await stored(store, bytes)];
  await deleted(store, keys);
  for (const key of keys) await expect(store.open(key)).rejects.toMatchObject({ code: "NotFound" });
  expect(await drain(store.list())).toBe(0);
  await store.close();
  const { Versions = [], DeleteMarkers = [] } = await client.send(new sdk.ListObjectVersionsCommand({ Bucket: bucket, Prefix: prefix }));
  expect([Versions.length, DeleteMarkers.length]).toEqual([2, 2]);
});
