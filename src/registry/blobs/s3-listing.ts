// What a bucket has: for the audit, and to find what was never completed. Rejects with BlobStoreError rather than end short.

import type { _Object as ListedObject, ListMultipartUploadsCommandOutput, MultipartUpload } from "@aws-sdk/client-s3";

import { BlobStoreError } from "./blob-store.ts";
import type { S3 } from "./s3-client.ts";
import { asking } from "./s3-errors.ts";

/** Objects whose keys begin with `prefix`, page by page. */
export async function* listObjects({ sdk, client, bucket }: S3, prefix: string): AsyncGenerator<readonly ListedObject[]> {
  for (let after: { ContinuationToken?: string | undefined } = {}; ;) {
    const page = await asking("list objects", client.send(new sdk.ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ...after })));
    yield page.Contents ?? [];
    if (page.IsTruncated !== true) return;
    if (page.NextContinuationToken === undefined || page.NextContinuationToken === after.ContinuationToken) throw noNextPage();
    after = { ContinuationToken: page.NextContinuationToken };
  }
}

/**
 * Uploads that were not completed, page by page, of keys that begin with `prefix`. Of a key with several of them that a page divides, the later ones
 * are left out: the marker of an upload beside that of a key is refused by some services (versitygw).
 */
export async function* listUploads({ sdk, client, bucket }: S3, prefix: string): AsyncGenerator<readonly MultipartUpload[]> {
  for (let after: { KeyMarker?: string } = {}; ;) {
    const request = new sdk.ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix, ...after });
    const page = await asking("list uploads", client.send(request)).catch(noneIfUnknown);
    yield page.Uploads ?? [];
    if (page.IsTruncated !== true) return;
    const last = page.NextKeyMarker ?? page.Uploads?.at(-1)?.Key;
    if (last === undefined || last === after.KeyMarker) throw noNextPage();
    after = { KeyMarker: last };
  }
}

/** Asking on would be asking for ever. */
function noNextPage(): BlobStoreError {
  return new BlobStoreError("Failed", "The bucket's service broke off a list without saying where it goes on.");
}

/** Some services say NoSuchUpload where none was ever begun. (A bucket that is not there is another failure.) */
function noneIfUnknown(error: unknown): ListMultipartUploadsCommandOutput {
  if (error instanceof BlobStoreError && error.code === "NotFound") return { $metadata: {} };
  throw error;
}
