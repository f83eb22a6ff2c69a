// What an answer of the service means to the store.

import { BlobStoreError } from "./blob-store.ts";

// An invalid part is one that another writer of the session has replaced: the upload as this writer knows it is gone.
const absent = new Set(["NoSuchKey", "NotFound", "NoSuchUpload", "InvalidPart", "InvalidPartOrder"]);
const notImplemented = 501;
const full = new Set(["QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "NoSuchQuota"]);

export async function asking<T>(what: string, request: Promise<T>): Promise<T> {
  try {
    return await request;
  } catch (error) {
    throw s3Failure(what, error);
  }
}

/** Never the service's own words: they may name the bucket, keys or the signature. */
export function s3Failure(what: string, error: unknown): BlobStoreError {
  if (error instanceof BlobStoreError) return error;
  const { name, status } = describe(error);
  if (absent.has(name)) return new BlobStoreError("NotFound", `Not in the bucket: ${what}.`, { cause: error });
  if (full.has(name) || status === 507) return new BlobStoreError("NoSpace", "The bucket has no space left.", { cause: error });
  const answer = status === undefined ? name : `${status} ${name}`;
  if (status === undefined || (status >= 500 && status !== notImplemented) || status === 429) {
    return new BlobStoreError("Unavailable", `The bucket's service could not ${what} (${answer}).`, { cause: error });
  }
  return new BlobStoreError("Failed", `The bucket's service refused to ${what} (${answer}).`, { cause: error });
}

export function describe(error: unknown): { name: string; status: number | undefined } {
  const { name, $metadata } = error as { name?: unknown; $metadata?: { httpStatusCode?: unknown } };
  const status = $metadata?.httpStatusCode;
  return { name: typeof name === "string" ? name : "Error", status: typeof status === "number" ? status : undefined };
}
