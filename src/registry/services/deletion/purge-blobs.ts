// The second half of a purge's transaction: the blobs of what it deleted lose every lease, review and trash, as far as nothing else names them.

import type { Digest } from "../../../domain/digest.ts";
import type { Queryable } from "../../metadata/database.ts";
import { reviewNow } from "../../metadata/gc-review.ts";
import { readObjects, type DoomedObject } from "../../metadata/gc-sweep.ts";
import { endHolds, purgeTrash, readUses, type BlobUse, type NamedBlob, type TrashRow } from "../../metadata/purge.ts";
import type { DeletedManifests } from "./delete-manifests.ts";

export interface FreedBlobs {
  /** Blobs that stay, and who names them. */
  readonly uses: readonly BlobUse[];
  readonly leaving: readonly Digest[];
  readonly trash: readonly TrashRow[];
  /** Doomed and due. */
  readonly objects: readonly DoomedObject[];
}

/** `named`: what `deleted` and others named before they went. */
export async function freeBlobs(
  transaction: Queryable,
  purged: { readonly repositoryId: number; readonly named: readonly NamedBlob[]; readonly deleted: DeletedManifests["deleted"] },
): Promise<FreedBlobs> {
  const gone = new Set(purged.deleted.map(({ digest }) => digest));
  const blobs = [...new Set(purged.named.filter(({ manifest }) => gone.has(manifest)).map(({ digest }) => digest))].sort();
  const uses = await readUses(transaction, blobs);
  const used = new Set(uses.map(({ digest }) => digest));
  const leaving = blobs.filter((digest) => !used.has(digest));
  const trash = await purgeTrash(transaction, { repositoryId: purged.repositoryId, manifests: [...gone], blobs: leaving });
  const links = await endHolds(transaction, leaving);
  return { uses, leaving, trash, objects: await readObjects(transaction, await reviewNow(transaction, links)) };
}
