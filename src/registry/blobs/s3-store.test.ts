import { afterAll, beforeAll, expect, test } from "vitest";

import { startS3Service, type S3Service } from "../../../test/support/s3-service.ts";
import { blobStoreConformance } from "./blob-store.conformance.ts";
import { takeoverConformance } from "./takeover.conformance.ts";
import { namedObjectsConformance } from "./named-objects.conformance.ts";
import type { NamedObject } from "./named-objects.ts";
import { connectS3 } from "./s3-client.ts";
import { S3Objects } from "./s3-objects.ts";
import { S3BlobStore } from "./s3-store.ts";

let service: S3Service;
let installations = 0;
beforeAll(async () => {
  service = await startS3Service();
});
afterAll(() => service.stop());

const open = async () => {
  const settings = { ...service.settings, prefix: `installation-${installations++}/` };
  const opened = [await S3BlobStore.open(settings)];
  const another = async () => {
    const store = await S3BlobStore.open(settings);
    opened.push(store);
    return store;
  };
  return { store: opened[0]!, another, dispose: async () => void (await Promise.all(opened.map((store) => store.close()))) };
};

blobStoreConformance("S3BlobStore", open);
takeoverConformance("S3BlobStore", open);
namedObjectsConformance("S3BlobStore", open);

test("a named object that a process began and never ended is listed as such, and can be taken away", async () => {
  const settings = { ...service.settings, prefix: `installation-${installations++}/` };
  const store = await S3BlobStore.open(settings);
  const s3 = await connectS3(settings);
  await new S3Objects(s3, "").beginUpload("backup/half");
  const listed = async () => {
    const found: NamedObject[] = [];
    for await (const object of store.named.list("backup/")) found.push(object);
    return found;
  };
  expect(await listed()).toMatchObject([{ name: "backup/half", size: 0, finished: false }]);
  await store.named.delete(["backup/half"]);
  expect(await listed()).toEqual([]);
  s3.client.destroy();
  await store.close();
});
