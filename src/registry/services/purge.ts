// A purge (storage.md, D1): the image with its children and referrers, the trash that names the same layers, their leases and reviews, and the
// bytes, in one transaction; then the store is asked at once. Whatever something else needs stays, and is named.

import type { DeleteResult } from "../../api/control/deletion.ts";
import type { Digest } from "../../domain/digest.ts";
import type { Queryable } from "../metadata/database.ts";
import { readGcPauses } from "../metadata/gc-pauses.ts";
import { claimByName, deletedKeys, type ClaimedObject } from "../metadata/gc-sweep.ts";
import { findFollowers, lockForDeletion } from "../metadata/manifest-deletion.ts";
import { readFamily, readNamedBlobs, reviewAtOnce } from "../metadata/purge.ts";
import { findTags, takeTurnOnTags } from "../metadata/tags.ts";
import { deleteManifests, type DeletedManifests, type KeptManifest } from "./delete-manifests.ts";
import { followDeparted } from "./departed.ts";
import { heldBy, writable, type DeletionContext, type ImageToDelete } from "./image-deletion.ts";
import { freeBlobs, type FreedBlobs } from "./purge-blobs.ts";
import { deleteClaimed } from "./sweep.ts";

interface Purged extends FreedBlobs {
  readonly deleted: DeletedManifests["deleted"];
  readonly kept: readonly KeptManifest[];
  readonly followersWait: boolean;
}

/** Milliseconds between two looks at what another collector deletes, and how many there are. */
const othersEvery = 100;
const othersAsked = 50;

const nothing: Purged = { deleted: [], kept: [], uses: [], leaving: [], trash: [], objects: [], followersWait: false };

export async function purge(context: DeletionContext, image: ImageToDelete): Promise<DeleteResult> {
  const { database } = context;
  const first = await database.transaction((transaction) => purgeRows(transaction, image), { takesAway: true });
  const purged = first.followersWait ? await withFollowers(context, image, first) : first;
  const { swept, bytes, waiting } = await sweepNow(context, purged.objects);
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

/** An error is the caller's: what is purged stays purged, the collector goes on, and nobody is told that all of it is gone. */
async function withFollowers({ database }: DeletionContext, { repositoryId }: ImageToDelete, first: Purged): Promise<Purged> {
  const parts: Purged[] = [first];
  for await (const { deleted, freed } of followDeparted(database, { repositoryId, isProtected: () => false }))
    if (freed !== undefined) parts.push({ ...nothing, deleted, ...freed });
  // What a follower still named when the image went left with that follower.
  const left = new Set(parts.flatMap(({ leaving }) => leaving));
  return {
    ...first,
    deleted: parts.flatMap(({ deleted }) => deleted),
    uses: parts.flatMap(({ uses }) => uses).filter(({ digest }) => !left.has(digest)),
    trash: parts.flatMap(({ trash }) => trash),
    objects: parts.flatMap(({ objects }) => objects),
  };
}

async function purgeRows(transaction: Queryable, { repositoryId, what, identity }: ImageToDelete): Promise<Purged> {
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

  const why = { repositoryId, by: identity, reason: "purge", trash: false };
  const image = await deleteManifests(transaction, { ...why, digests: [root], onHeld: "Refuse" });
  if (image.kept[0] !== undefined) throw heldBy(root, image.kept[0].holder);
  // A child with a tag of its own is an image of its own.
  const below = await deleteManifests(transaction, { ...why, digests: children, onHeld: "Keep", isProtected: () => true });
  const deleted = [...image.deleted, ...below.deleted];
  const kept = below.kept.map((child) => ({ ...child, holder: child.holder.replace(/^the protected tag /, "the tag ") }));
  const freed = await freeBlobs(transaction, { repositoryId, named, deleted });
  return { deleted, kept, ...freed, followersWait: image.followersWait || below.followersWait };
}

async function digestOf(transaction: Queryable, repositoryId: number, what: ImageToDelete["what"]): Promise<Digest | undefined> {
  if ("digest" in what) return what.digest;
  await takeTurnOnTags(transaction, repositoryId, [what.tag]);
  return (await findTags(transaction, repositoryId, [what.tag]))[0]?.digest;
}

/** Without doomDelay, and whatever the brake says: a person has named it. Where the store is in doubt, nothing is deleted in it. */
async function sweepNow(
  context: DeletionContext,
  doomed: readonly ClaimedObject[],
): Promise<{ readonly swept: number; readonly bytes: number; readonly waiting: number }> {
  const inDoubt = (await readGcPauses(context.database)).some(({ reason }) => reason !== "brake");
  if (inDoubt || doomed.length === 0) return { swept: 0, bytes: 0, waiting: doomed.length };
  const keys = doomed.map(({ key }) => key);
  const { objects } = await claimByName(context.database, keys);
  await deleteClaimed(context, objects);
  const gone = await deletedByAnybody(context, { keys, mine: objects.length === keys.length });
  const bytes = doomed.reduce((sum, { key, size }) => sum + (gone.has(key) ? (size ?? 0) : 0), 0);
  return { swept: gone.size, bytes, waiting: keys.length - gone.size };
}

/** What was due may have been claimed by a collector first (not `mine`): it is waited for. */
async function deletedByAnybody(
  { database }: DeletionContext,
  { keys, mine }: { readonly keys: readonly string[]; readonly mine: boolean },
): Promise<ReadonlySet<string>> {
  for (let asked = 1; ; asked++) {
    const deleted = new Set(await deletedKeys(database, keys));
    if (mine || deleted.size === keys.length || asked === othersAsked) return deleted;
    await new Promise((resolve) => setTimeout(resolve, othersEvery));
  }
}
