import type { BlobStore } from "./blob-store.ts";
import { FolderBlobStore } from "./folder-store.ts";
import type { S3Settings } from "./s3-settings.ts";
import { S3BlobStore } from "./s3-store.ts";

/** Where the bytes lie: one process's folder, or a bucket that any number of processes share. Rejects with BlobStoreError when it cannot be used. */
export async function openBlobStore(
  place: { readonly folder: string } | { readonly s3: S3Settings },
  { lowWaterBytes }: { readonly lowWaterBytes: number },
): Promise<BlobStore> {
  if ("folder" in place) return FolderBlobStore.open({ folder: place.folder, lowWaterBytes });
  return S3BlobStore.open(place.s3);
}
