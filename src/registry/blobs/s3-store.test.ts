import { afterAll, beforeAll } from "vitest";

import { startS3Service, type S3Service } from "../../../test/support/s3-service.ts";
import { blobStoreConformance, sharedBlobStoreConformance } from "./blob-store.conformance.ts";
import { S3BlobStore } from "./s3-store.ts";

let service: S3Service;
let installations = 0;
beforeAll(async () => {
  service = await startS3Service();
});
afterAll(() => service.stop());

const open = async () => {
  const store = await S3BlobStore.open({ ...service.settings, prefix: `installation-${installations++}/` });
  return { store, dispose: () => store.close() };
};

blobStoreConformance("S3BlobStore", open);
sharedBlobStoreConformance("S3BlobStore", open);
