// A purge (storage.md, D1): the image with its children and referrers, the trash that names the same layers, their leases and reviews, and the
// bytes, in one transaction; then the store is asked at once. Whatever something else needs stays, and is named.

import { randomUUID } from "node:crypto";

import type { DeleteResult } from "../../../api/control/deletion.ts";
import type { Digest } from "../../../domain/digest.ts";
import type { Queryable } from "../../metadata/database.ts";
import { listOfPurge, readFollowers } from "../../metadata/departed.ts";
import { findFollowers, followersAtOnce, lockForDeletion } from "../../metadata/manifest-deletion.ts";
import { readFamily, readNamedBlobs, reviewAtOnce } from "../../metadata/purge.ts";
import { readClock } from "../../metadata/retention.ts";
import { findTags, takeTurnOnTags } from "../../metadata/tags.ts";
import { deleteManifests, type DeletedManifests, type KeptManifest } from "./delete-manifests.ts";
import { followDeparted } from "./departed.ts";
import { heldBy, noteDeletion, writable, type DeletionContext, type ImageToDelete } from "./image-deletion.ts";
import { freeBlobs, type FreedBlobs } from "./purge-blobs.ts";
import { askedOften, sweepNow } from "./purge-sweep.ts";

interface Purged extends FreedBlobs {
  readonly deleted: DeletedManifests["deleted"];
  readonly kept: readonly KeptManifest[];
  readonly followersWait: boolean;
}

const nothing: Purged = { deleted: [], kept: [], uses: [], leaving: [], trash: [], objects: [], followersWait: false };

export async function purge(context: DeletionContext, image: ImageToDelete): Promise<DeleteResult> {
  const { database } = context;
  // Who follows is known by it in `departed`, also to a process that goes on with it.
  const reason = `purge ${randomUUID()}`;
  const { now } = await readClock(database);
  const first = await database.transaction((transaction) => purgeRows(transaction, image, reason), { takesAway: true });
  const { following, ...purged } = first.followersWait
    ? await withFollowers(context, image, { first, reason })
    : { ...first, following: 0 };
  const { swept, bytes, waiting } = await sweepNow(context, purged.objects, first.followersWait ? now : undefined);
  return { repository: image.repository, ...told(purged), swept, bytes, waiting: waiting + following };
}

function told({ deleted, trash, kept, uses: all }: Purged): Pick<DeleteResult, "deleted" | "trash" | "kept"> {
  const holders = Map.groupBy(all, ({ digest }) => digest);
  return {
    deleted: writable(deleted),
    trash: trash.map(({ repository, digest, tags }) => ({ repository, digest, tags: [...tags] })),
    kept: [
      ...kept.map(({ digest, holder }) => ({ digest, holders: [holder] })),
      ...[...holders].map(([digest, uses]) => ({ digest, holders: uses.map(({ repository, manifest }) => `${repository}@${manifest}`) })),
    ],
  };
}

/** An error is the caller's: what is purged stays purged, the collector goes on, and nobody is told that all of it is gone. */
async function withFollowers(
  { database, isProtected }: DeletionContext,
  { repositoryId }: ImageToDelete,
  { first, reason }: { readonly first: Purged; readonly reason: string },
): Promise<Purged & { readonly following: number }> {
  const parts: Purged[] = [first];
  const of = { repositoryId, purge: reason };
  // A collector may be at some of them: it is waited for, and what it leaves is taken here.
  const following = await askedOften(async () => {
    for await (const { deleted, freed } of followDeparted(database, { of, isProtected }))
      if (freed !== undefined) parts.push({ ...nothing, deleted, ...freed });
    return countFollowing(database, repositoryId, reason);
  });
  // What a follower still named when the image went left with that follower.
  const left = new Set(parts.flatMap(({ leaving }) => leaving));
  return {
    ...first,
    deleted: parts.flatMap(({ deleted }) => deleted),
    uses: parts.flatMap(({ uses }) => uses).filter(({ digest }) => !left.has(digest)),
    trash: parts.flatMap(({ trash }) => trash),
    objects: parts.flatMap(({ objects }) => objects),
    following,
  };
}

/** At least how many another process has yet to take. */
async function countFollowing(database: Queryable, repositoryId: number, reason: string): Promise<number> {
  let count = 0;
  for (const id of await listOfPurge(database, repositoryId, reason))
    count += Math.max(1, (await readFollowers(database, id, followersAtOnce)).length);
  return count;
}

async function purgeRows(transaction: Queryable, image: ImageToDelete, reason: string): Promise<Purged> {
  const { repositoryId, what, identity } = image;
  const root = await digestOf(transaction, repositoryId, what);
  if (root === undefined) return nothing;
  await reviewAtOnce(transaction);
  const children = (await readFamily(transaction, repositoryId, root)).filter((digest) => digest !== root);
  const ofRoot = await findFollowers(transaction, repositoryId, [root]);
  const ofChildren = await findFollowers(transaction, repositoryId, children);
  const followers = [...ofRoot.followers, ...ofChildren.followers].map(({ digest }) => digest);
  const near = [...new Set([root, ...children, ...followers])];
  await lockForDeletion(transaction, repositoryId, near);
  const named = await readNamedBlobs(transaction, repositoryId, near);

  const why = { repositoryId, by: identity, reason, trash: false };
  const itself = await deleteManifests(transaction, { ...why, digests: [root], onHeld: "Refuse" });
  if (itself.kept[0] !== undefined) throw heldBy(root, itself.kept[0].holder);
  // A child with a tag of its own is an image of its own.
  const below = await deleteManifests(transaction, { ...why, digests: children, onHeld: "Keep", isProtected: () => true });
  const deleted = [...itself.deleted, ...below.deleted];
  const kept = below.kept.map((child) => ({ ...child, holder: child.holder.replace(/^the protected tag /, "the tag ") }));
  const freed = await freeBlobs(transaction, { repositoryId, named, deleted });
  const followersWait = itself.followersWait || below.followersWait;
  const purged = { deleted, kept, ...freed, followersWait };
  await noteDeletion(transaction, image, { action: "purge", detail: { ...told(purged), ...(followersWait ? { followersWait } : {}) } });
  return purged;
}

async function digestOf(transaction: Queryable, repositoryId: number, what: ImageToDelete["what"]): Promise<Digest | undefined> {
  if ("digest" in what) return what.digest;
  await takeTurnOnTags(transaction, repositoryId, [what.tag]);
  return (await findTags(transaction, repositoryId, [what.tag]))[0]?.digest;
}
