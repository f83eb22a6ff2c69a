// What deleting and purging an image share.

import type { DeleteResult } from "../../../api/control/deletion.ts";
import type { Digest } from "../../../domain/digest.ts";
import type { Logger } from "../../../observability/logger.ts";
import type { BlobStore } from "../../blobs/blob-store.ts";
import { appendActivity } from "../../metadata/activity.ts";
import type { Database, Queryable } from "../../metadata/database.ts";
import type { FollowingOptions } from "./departed.ts";
import { ServiceError } from "../errors.ts";

export interface DeletionContext {
  readonly database: Database;
  readonly store: Pick<BlobStore, "delete">;
  readonly logger: Logger;
  /** Stops nothing of this deletion; it counts for clients' deletes that are finished on the way. */
  readonly isProtected: FollowingOptions["isProtected"];
  /** As of a sweep: false when database and store may not belong together (marker.ts). */
  readonly beforeDeletion?: () => Promise<boolean>;
}

export interface ImageToDelete {
  readonly repository: string;
  readonly repositoryId: number;
  readonly what: { readonly tag: string } | { readonly digest: Digest };
  readonly identity: string;
}

/** Who deleted what, in the transaction that deletes it: neither is there without the other. */
export async function noteDeletion(
  transaction: Queryable,
  { repository, what, identity }: ImageToDelete,
  {
    action,
    detail,
  }: { readonly action: "delete" | "purge"; readonly detail: Partial<DeleteResult> & { readonly followersWait?: boolean } },
): Promise<void> {
  if ((detail.deleted ?? []).length === 0) return;
  await appendActivity(transaction, { identity, action, repository, reference: "tag" in what ? what.tag : what.digest, detail });
}

/** As the API's types want it. */
export function writable(deleted: readonly { readonly digest: Digest; readonly tags: readonly string[] }[]): DeleteResult["deleted"] {
  return deleted.map(({ digest, tags }) => ({ digest, tags: [...tags] }));
}

export function heldBy(digest: Digest, holder: string): ServiceError {
  return new ServiceError("CONFLICT", `${digest} cannot be deleted while ${holder} names it. Delete that first.`, {
    detail: { digest, holder },
  });
}
