// A purge (storage.md, D1): the image with its children and referrers, the trash that names the same layers, their leases and reviews, and the
// bytes, in one transaction; then the store is asked at once. Whatever something else needs stays, and is named.

import type { DeleteResult } from "../../api/control.ts";
import type { Digest } from "../../domain/digest.ts";
import type { Queryable } from "../metadata/database.ts";
import { readGcPauses } from "../metadata/gc-pauses.ts";
import { reviewNow } from "../metadata/gc-review.ts";
import { claimByName } from "../metadata/gc-sweep.ts";
import { findFollowers, lockForDeletion } from "../metadata/manifest-deletion.ts";
import {
  endHolds,
  purgeTrash,
  readFamily,
  readNamedBlobs,
  readUses,
  reviewAtOnce,
  type BlobUse,
  type TrashRow,
} from "../metadata/purge.ts";
import { findTags, takeTurnOnTags } from "../metadata/tags.ts";
import { deleteManifests, type DeletedManifests, type KeptManifest } from "./delete-manifests.ts";
import { heldBy, writable, type DeletionContext, type ImageToDelete } from "./image-deletion.ts";
import { deleteClaimed } from "./sweep.ts";

interface Purged {
  readonly deleted: DeletedManifests["deleted"];
  readonly kept: readonly KeptManifest[];
  readonly uses: readonly BlobUse[];
  readonly trash: readonly TrashRow[];
  /** Keys that are doomed and due. */
  readonly keys: readonly string[];
}

const nothing: Purged = { deleted: [], kept: [], uses: [], trash: [], keys: [] };

export async function purge(context: DeletionContext, image: ImageToDelete): Promise<DeleteResult> {
  const { database } = context;
  const purged = await database.transaction((transaction) => purgeRows(transaction, image), { takesAway: true });
  const { swept, bytes, waiting } = await sweepNow(context, purged.keys);
  const holders = Map.groupBy(purged.uses, ({ digest }) => digest);
  return {
    repository: image.repository,
    deleted: writable(purged.deleted),
    trash: purged.trash.map(({ repository, digest, tags }) => ({ repository, digest, tags: [...tags] })),
    kept: [
      ...purged.kept.map(({ digest, holder }) => ({ digest, holders: [holder] })),
      ...[...holders].map(([digest, uses]) => ({ digest, holders: uses.map(({ repository, manifest }) => `${repository}@${manifest}`) })),
    ],
    swept,
    bytes,
    waiting,
  };
}

async function purgeRows(transaction: Queryable, { repositoryId, what, identity }: ImageToDelete): Promise<Purged> {
  const root = await digestOf(transaction, repositoryId, what);
  if (root === undefined) return nothing;
  await reviewAtOnce(transaction);
  const children = (await readFamily(transaction, repositoryId, root)).filter((digest) => digest !== root);
  const followers = await findFollowers(transaction, repositoryId, [root, ...children]);
  const near = [...new Set([root, ...children, ...followers.map(({ digest }) => digest)])];
  await lockForDeletion(transaction, repositoryId, near);
  const named = await readNamedBlobs(transaction, repositoryId, near);

  const why = { repositoryId, by: identity, reason: "purge", trash: false };
  const image = await deleteManifests(transaction, { ...why, digests: [root], onHeld: "Refuse" });
  if (image.kept[0] !== undefined) throw heldBy(root, image.kept[0].holder);
  // A child with a tag of its own is an image of its own.
  const below = await deleteManifests(transaction, { ...why, digests: children, onHeld: "Keep", isProtected: () => true });
  const deleted = [...image.deleted, ...below.deleted];
  const kept = below.kept.map((child) => ({ ...child, holder: child.holder.replace(/^the protected tag /, "the tag ") }));

  const gone = new Set(deleted.map(({ digest }) => digest));
  const blobs = [...new Set(named.filter(({ manifest }) => gone.has(manifest)).map(({ digest }) => digest))].sort();
  const uses = await readUses(transaction, blobs);
  const used = new Set(uses.map(({ digest }) => digest));
  const leaving = blobs.filter((digest) => !used.has(digest));
  const trash = await purgeTrash(transaction, { repositoryId, manifests: [...gone], blobs: leaving });
  const links = await endHolds(transaction, leaving);
  return { deleted, kept, uses, trash, keys: await reviewNow(transaction, links) };
}

async function digestOf(transaction: Queryable, repositoryId: number, what: ImageToDelete["what"]): Promise<Digest | undefined> {
  if ("digest" in what) return what.digest;
  await takeTurnOnTags(transaction, repositoryId, [what.tag]);
  return (await findTags(transaction, repositoryId, [what.tag]))[0]?.digest;
}

/** Without doomDelay, and whatever the brake says: a person has named it. Where the store is in doubt, nothing is deleted in it. */
async function sweepNow(
  context: DeletionContext,
  keys: readonly string[],
): Promise<{ readonly swept: number; readonly bytes: number; readonly waiting: number }> {
  const inDoubt = (await readGcPauses(context.database)).some(({ reason }) => reason !== "brake");
  if (inDoubt || keys.length === 0) return { swept: 0, bytes: 0, waiting: keys.length };
  const { objects, bytes } = await claimByName(context.database, keys);
  const { gone } = await deleteClaimed(context, objects);
  return { swept: gone, bytes, waiting: keys.length - gone };
}
