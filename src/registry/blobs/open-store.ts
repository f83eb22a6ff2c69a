import { Obstacle } from "../../domain/obstacle.ts";
import { BlobStoreError, type BlobStore } from "./blob-store.ts";
import { FolderBlobStore } from "./folder-store.ts";
import type { S3Settings } from "./s3-settings.ts";
import { S3BlobStore } from "./s3-store.ts";

/**
 * Where the bytes lie: one process's folder, or a bucket that any number of processes share. Rejects with Obstacle or
 * BlobStoreError when it cannot be used.
 */
export async function openBlobStore(
  place: { readonly folder: string } | { readonly s3: S3Settings },
  { lowWaterBytes, readOnly = false }: { readonly lowWaterBytes: number; readonly readOnly?: boolean },
): Promise<BlobStore> {
  if ("folder" in place) {
    const { folder } = place;
    return FolderBlobStore.open({ folder, lowWaterBytes }).catch((error: unknown) => {
      throw error instanceof BlobStoreError ? error : unusable(folder, error);
    });
  }
  const store = await S3BlobStore.open(place.s3);
  try {
    await store.requireRights({ readOnly });
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

function unusable(folder: string, cause: unknown): Obstacle {
  const { code, message } = cause as NodeJS.ErrnoException;
  return new Obstacle(
    "FolderUnusable",
    `The folder ${folder} for the bytes cannot be used (${code ?? message}): this process must be able to write there, and it needs space.`,
    { cause },
  );
}
