// What an error of the file system means to the store.

import { BlobStoreError } from "./blob-store.ts";
import { codeOfFile, isFull } from "./file.ts";

export async function failing<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw folderFailure(what, error);
  }
}

export function folderFailure(what: string, error: unknown): BlobStoreError {
  if (error instanceof BlobStoreError) return error;
  const code = codeOfFile(error);
  if (code === "ENOENT") return new BlobStoreError("NotFound", `Not in the store: ${what}.`, { cause: error });
  if (isFull(code)) return new BlobStoreError("NoSpace", "No space is left where blobs are stored.", { cause: error });
  return new BlobStoreError("Failed", `The blob store failed to ${what}.`, { cause: error });
}
