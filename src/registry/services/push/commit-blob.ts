// U2 of storage.md: whole bytes become readable in one transaction. (A fill's U2 is metadata/proxy-blobs.ts.)

import { failpoint } from "#failpoints";

import type { Digest } from "../../../domain/digest.ts";
import { insertBlob, linkBlob } from "../../metadata/blobs.ts";
import type { Queryable } from "../../metadata/database.ts";
import { doomSurplusObject, makeObjectLive } from "../../metadata/objects.ts";
import { ServiceError } from "../errors.ts";

export interface WholeBlob {
  readonly repositoryId: number;
  /** Announced (U1), and committed in the store. */
  readonly key: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/**
 * U2, inside the caller's transaction: the bytes become the blob `digest` and `repositoryId` may read it, with a fresh lease.
 * When the blob is here already under another key, ours is doomed. Throws BLOB_UPLOAD_UNKNOWN when the key was given up meanwhile.
 */
export async function commitBlob(transaction: Queryable, blob: WholeBlob): Promise<void> {
  if (!(await makeObjectLive(transaction, blob.key, blob.size))) throw givenUp();
  await failpoint("U2.live");
  const key = await insertBlob(transaction, { ...blob, cached: false });
  if (key !== blob.key) await doomSurplusObject(transaction, blob.key);
  await failpoint("U2.blob");
  await linkBlob(transaction, blob.repositoryId, blob.digest);
  await failpoint("U2.linked");
}

export function givenUp(): ServiceError {
  return new ServiceError(
    "BLOB_UPLOAD_UNKNOWN",
    "This upload is over: it was finished, cancelled, taken over or has expired. Start a new one.",
  );
}
