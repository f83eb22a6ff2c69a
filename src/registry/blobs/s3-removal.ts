// Deleting: a thousand keys a request, each with its own result; multipart uploads that were never completed are aborted.

import type { MultipartUpload } from "@aws-sdk/client-s3";

import type { S3 } from "./s3-client.ts";
import { s3Failure } from "./s3-errors.ts";
import { listUploads } from "./s3-listing.ts";
import { BlobStoreError } from "./blob-store.ts";
import { smallestPart } from "./part-size.ts";
import type { S3Objects } from "./s3-objects.ts";

const keysOfOneRequest = 1000;
const atOnce = 16;
/** A part that was on its way while its upload was aborted may stay; the service wants to be asked again until none is left. */
const abortRounds = 5;

/**
 * Uploads first: what can no longer be completed makes no new object behind the deletion. What is smaller than a part never was an upload. What
 * became whole has none left but perhaps one whose beginning was not answered, without bytes: for these one listing does, also where a service
 * lists by whole keys only (MinIO). For the others each key is asked for.
 */
export async function removeFromS3(
  s3: S3,
  objects: S3Objects,
  keys: readonly string[],
  sizes: ReadonlyMap<string, number> = new Map(),
): Promise<ReadonlyMap<string, Error | undefined>> {
  const large = keys.filter((key) => (sizes.get(key) ?? smallestPart) >= smallestPart);
  const { whole = [], unknown = [] } = Object.groupBy(large, (key) => (sizes.has(key) ? "whole" : "unknown"));
  const results = whole.length === 0 ? new Map<string, Error | undefined>() : await abortUploads(s3, objects, whole);
  const waiting = unknown.values();
  const worker = async () => {
    for (const key of waiting) for (const [failed, error] of await abortUploads(s3, objects, [key])) results.set(failed, error);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
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

/** Uploads of these keys, found by them in one listing, so that no name of an upload has to be known. Resolves with what failed, by key. */
export async function abortUploads(s3: S3, objects: S3Objects, keys: readonly string[]): Promise<Map<string, Error | undefined>> {
  const wanted = new Map(keys.map((key) => [objects.at(key).Key, key]));
  const prefix = commonPrefix([...wanted.keys()]);
  const results = new Map<string, Error | undefined>();
  try {
    for (let round = 0; ; round++) {
      const found: MultipartUpload[] = [];
      for await (const uploads of listUploads(s3, prefix)) found.push(...uploads.filter(({ Key = "" }) => wanted.has(Key)));
      if (found.length === 0) return results;
      if (round === abortRounds) {
        for (const { Key = "" } of found) results.set(wanted.get(Key)!, stillThere());
        return results;
      }
      for (const { Key = "", UploadId } of found) {
        const key = wanted.get(Key);
        const failure = key === undefined ? undefined : await abortUpload(s3, Key, UploadId);
        if (key === undefined || failure === undefined) continue;
        results.set(key, failure);
        wanted.delete(Key);
      }
    }
  } catch (error) {
    const failure = s3Failure("abort an upload", error);
    return new Map(keys.map((key) => [key, results.get(key) ?? failure]));
  }
}

/** One that is gone is what was wanted. Resolves with what failed. */
async function abortUpload({ sdk, client, bucket }: S3, Key: string, UploadId: string | undefined): Promise<Error | undefined> {
  try {
    await client.send(new sdk.AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
    return undefined;
  } catch (error) {
    const failure = s3Failure("abort an upload", error);
    return failure.code === "NotFound" ? undefined : failure;
  }
}

function stillThere(): BlobStoreError {
  return new BlobStoreError("Failed", "The bucket's service still has an unfinished upload of a key after several aborts.");
}

/** What all of them begin with. */
function commonPrefix(names: readonly string[]): string {
  const [first = "", ...others] = names;
  let length = first.length;
  for (const name of others) while (!name.startsWith(first.slice(0, length))) length--;
  return first.slice(0, length);
}
