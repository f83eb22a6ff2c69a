// What follows a deleted subject, when it is too much for the transaction that deleted it: batch after batch, each in one of its own
// (storage.md, D1). The request goes on until it is done; the collector finishes what a crash left.

import { failpoint } from "#failpoints";

import type { Digest } from "../../../domain/digest.ts";
import type { Database, Queryable } from "../../metadata/database.ts";
import { advanceDeparted, lockDeparted, readFollowers, type DepartedOf } from "../../metadata/departed.ts";
import { findFollowers, followersAtOnce, lockForDeletion } from "../../metadata/manifest-deletion.ts";
import { readNamedBlobs, reviewAtOnce } from "../../metadata/purge.ts";
import { planByIndex } from "../../metadata/steady-plans.ts";
import { deleteManifests, type DeletedManifests } from "./delete-manifests.ts";
import { freeBlobs, type FreedBlobs } from "./purge-blobs.ts";

export interface FollowingOptions {
  readonly of: DepartedOf;
  /** As of now, of everybody: whether the delete that is followed heeds it stands in its row. */
  readonly isProtected: (repository: string, tag: string) => boolean;
}

export interface Followed {
  readonly deleted: DeletedManifests["deleted"];
  /** Of a purge. */
  readonly freed: FreedBlobs | undefined;
}

/** One transaction for each batch, until nothing waits or another process is at it. Every batch is acknowledged as any delete. */
export async function* followDeparted(database: Database, options: FollowingOptions): AsyncGenerator<Followed> {
  for (;;) {
    const followed = await database.transaction((transaction) => followNext(transaction, options), {
      takesAway: (taken) => taken !== undefined,
      unchanged: (taken) => taken === undefined,
    });
    if (followed === undefined) return;
    await failpoint("D1.followed");
    yield followed;
  }
}

/** For a request whose own part is done: what fails here is the collector's. */
export async function followAfterwards(database: Database, options: FollowingOptions): Promise<void> {
  try {
    for await (const _ of followDeparted(database, options));
  } catch {
    // The subject is gone, which is what was asked for and cannot be taken back; an error would say that it is not.
  }
}

async function followNext(transaction: Queryable, { of, isProtected }: FollowingOptions): Promise<Followed | undefined> {
  const departed = await lockDeparted(transaction, of);
  if (departed === undefined) return undefined;
  await planByIndex(transaction);
  const { id, repositoryId, repository, by, reason, trash } = departed;
  const seen = await readFollowers(transaction, id, followersAtOnce);
  // Who was pushed again while we waited for the lock has a life of its own now.
  await lockForDeletion(transaction, repositoryId, seen);
  const still = new Set(await readFollowers(transaction, id, followersAtOnce));
  const digests = seen.filter((digest) => still.has(digest));
  const remove = () =>
    deleteManifests(transaction, {
      repositoryId,
      digests,
      by,
      reason,
      trash,
      following: departed.digest,
      onHeld: "Keep",
      ...(departed.heedsProtection ? { isProtected: (tag: string) => isProtected(repository, tag) } : {}),
    });
  const result = trash ? { ...(await remove()), freed: undefined } : await purgeFollowers(transaction, repositoryId, digests, remove);
  await advanceDeparted(transaction, id, seen.length < followersAtOnce ? undefined : seen.at(-1));
  return { deleted: result.deleted, freed: result.freed };
}

async function purgeFollowers(
  transaction: Queryable,
  repositoryId: number,
  digests: readonly Digest[],
  remove: () => Promise<DeletedManifests>,
): Promise<DeletedManifests & { readonly freed: FreedBlobs }> {
  await reviewAtOnce(transaction);
  const { followers } = await findFollowers(transaction, repositoryId, digests);
  const near = [...new Set([...digests, ...followers.map(({ digest }) => digest)])];
  const named = await readNamedBlobs(transaction, repositoryId, near);
  const removed = await remove();
  return { ...removed, freed: await freeBlobs(transaction, { repositoryId, named, deleted: removed.deleted }) };
}
