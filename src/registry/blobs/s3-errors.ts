// What an answer of the service means to the store.

import { BlobStoreError } from "./blob-store.ts";
import type { S3Settings } from "./s3-settings.ts";

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

/** Why a process cannot begin with this bucket, and what to do. A question about a bucket has no body: the status is all there is. */
export function cannotStart({ bucket, endpoint, region }: S3Settings, error: unknown): BlobStoreError {
  const where = endpoint === undefined ? `AWS in ${region}` : endpoint;
  const { name, status } = describe(error);
  const { code: systemCode } = error as { code?: unknown };
  const reasons: Readonly<Record<number, string>> = {
    301: `is in another region than ${region}: set storage.s3.region`,
    400: `cannot be asked for at ${where} (400): check storage.s3.region, endpoint and forcePathStyle`,
    403: `refuses these credentials at ${where} (403): check the access key, its secret, and what its policy allows`,
    404: `does not exist at ${where}: make it, or correct storage.s3.bucket`,
  };
  const nobodyAsked =
    "is not asked, because no credentials were found: set storage.s3.accessKeyIdFile and storage.s3.secretAccessKeyFile, or give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
  const reason =
    name === "CredentialsProviderError"
      ? nobodyAsked
      : status === undefined
        ? `cannot be reached at ${where} (${typeof systemCode === "string" ? systemCode : name}): check storage.s3.endpoint`
        : (reasons[status] ?? `cannot be used: ${where} answers ${status}`);
  const code = status === undefined || status >= 500 ? "Unavailable" : status === 404 ? "NotFound" : "Failed";
  return new BlobStoreError(code, `The bucket ${bucket} ${reason}.`, { cause: error });
}

function describe(error: unknown): { name: string; status: number | undefined } {
  const { name, $metadata } = error as { name?: unknown; $metadata?: { httpStatusCode?: unknown } };
  const status = $metadata?.httpStatusCode;
  return { name: typeof name === "string" ? name : "Error", status: typeof status === "number" ? status : undefined };
}
