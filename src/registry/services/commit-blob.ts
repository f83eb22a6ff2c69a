// U1 and U2 of storage.md: announce a key before its first byte, make whole bytes readable in one transaction.

import type { Digest } from "../../domain/digest.ts";
import { insertBlob, insertBlobOrigin, linkBlob } from "../metadata/blobs.ts";
import type { Queryable } from "../metadata/database.ts";
import { announceObject, doomSurplusObject, makeObjectLive } from "../metadata/objects.ts";
import { ServiceError } from "./errors.ts";

/** U1. Commits before it resolves; only then may the store hear of the key. */
export async function announce(database: Queryable, key: string): Promise<void> {
  await announceObject(database, key);
}

export interface WholeBlob {
  readonly repositoryId: number;
  /** Announced, and committed in the store. */
  readonly key: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** `namespace/name` of the Upstream that delivered the bytes, for cached ones. */
  readonly upstream?: string;
}

/**
 * U2, inside the caller's transaction: the bytes become the blob `digest` and `repositoryId` may read it, with a fresh lease.
 * When the blob is here already under another key, ours is doomed. Throws BLOB_UPLOAD_UNKNOWN when the key was given up meanwhile.
 */
export async function commitBlob(transaction: Queryable, blob: WholeBlob): Promise<void> {
  if (!(await makeObjectLive(transaction, blob.key, blob.size))) throw givenUp();
  const key = await insertBlob(transaction, blob);
  if (key !== blob.key) await doomSurplusObject(transaction, blob.key);
  await linkBlob(transaction, blob.repositoryId, blob.digest);
  if (blob.upstream !== undefined) await insertBlobOrigin(transaction, blob.digest, blob.upstream);
}

export function givenUp(): ServiceError {
  return new ServiceError(
    "BLOB_UPLOAD_UNKNOWN",
    "This upload is over: it was finished, cancelled, taken over or has expired. Start a new one.",
  );
}
