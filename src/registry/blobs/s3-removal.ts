// Deleting: a thousand keys a request, each with its own result; multipart uploads that were never completed are aborted.

import type { S3 } from "./s3-client.ts";
import { s3Failure } from "./s3-errors.ts";
import { listUploads } from "./s3-listing.ts";
import { BlobStoreError } from "./blob-store.ts";
import { smallestPart } from "./part-size.ts";
import type { S3Objects } from "./s3-objects.ts";

const keysOfOneRequest = 1000;
const keysAtOnce = 16;
/** A part that was on its way while its upload was aborted may stay; the service wants to be asked again until none is left. */
const abortRounds = 5;

/** Uploads first: what can no longer be completed makes no new object behind the deletion. What is smaller than a part never was an upload. */
export async function removeFromS3(
  s3: S3,
  objects: S3Objects,
  keys: readonly string[],
  sizes: ReadonlyMap<string, number> = new Map(),
): Promise<ReadonlyMap<string, Error | undefined>> {
  const results = new Map<string, Error | undefined>();
  const waiting = keys.filter((key) => (sizes.get(key) ?? smallestPart) >= smallestPart).values();
  const worker = async () => {
    for (const key of waiting) results.set(key, await abortUploads(s3, objects, key));
  };
  await Promise.all(Array.from({ length: keysAtOnce }, worker));
  for (let from = 0; from < keys.length; from += keysOfOneRequest) {
    const some = keys.slice(from, from + keysOfOneRequest);
    for (const [key, error] of await removeObjects(s3, objects, some)) results.set(key, results.get(key) ?? error);
  }
  return results;
}

async function removeObjects(s3: S3, objects: S3Objects, keys: readonly string[]): Promise<Map<string, Error | undefined>> {
  const { sdk, client, bucket } = s3;
  const names = new Map(keys.map((key) => [objects.at(key).Key, key]));
  const Objects = [...names.keys()].map((Key) => ({ Key }));
  const results = new Map<string, Error | undefined>(keys.map((key) => [key, undefined]));
  try {
    const { Errors = [] } = await client.send(new sdk.DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } }));
    for (const { Key = "", Code } of Errors) {
      const key = names.get(Key);
      if (key === undefined || Code === "NoSuchKey") continue;
      results.set(key, new BlobStoreError("Failed", `The bucket's service did not delete an object (${Code ?? "no code"}).`));
    }
  } catch (error) {
    const failure = s3Failure("delete objects", error);
    for (const key of keys) results.set(key, failure);
  }
  return results;
}

/** Uploads of the key, found by it, so that no name of an upload has to be known. Resolves with what failed. */
export async function abortUploads(s3: S3, objects: S3Objects, key: string): Promise<Error | undefined> {
  const { Key } = objects.at(key);
  try {
    for (let round = 0; round < abortRounds; round++) {
      let found = 0;
      for await (const uploads of listUploads(s3, Key)) {
        for (const { UploadId } of uploads.filter((upload) => upload.Key === Key)) {
          found++;
          await abortUpload(s3, Key, UploadId);
        }
      }
      if (found === 0) return undefined;
    }
    return new BlobStoreError("Failed", "The bucket's service still has an unfinished upload of a key after several aborts.");
  } catch (error) {
    return s3Failure("abort an upload", error);
  }
}

/** One that is gone is what was wanted. */
async function abortUpload({ sdk, client, bucket }: S3, Key: string, UploadId: string | undefined): Promise<void> {
  try {
    await client.send(new sdk.AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
  } catch (error) {
    const failure = s3Failure("abort an upload", error);
    if (failure.code !== "NotFound") throw failure;
  }
}
