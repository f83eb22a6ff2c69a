// D1 of storage.md: tags and manifests go into the trash, in sets. Clients, plans and administrators all come through here.

import { failpoint } from "#failpoints";

import type { Digest } from "../../../domain/digest.ts";
import { digestOfReferrerTag } from "../../../domain/reference.ts";
import type { Queryable } from "../../metadata/database.ts";
import { noteDeparted } from "../../metadata/departed.ts";
import {
  findFollowers,
  findHolders,
  lockForDeletion,
  putIntoTrash,
  removeManifests,
  type Follower,
} from "../../metadata/manifest-deletion.ts";
import { settleUntagged } from "../../metadata/manifests.ts";
import { lockTagsOf, noteTagEvents, removeTags, type TagTarget } from "../../metadata/tags.ts";

/** At most this many digests or tags in one transaction. */
export const deletionBatch = 1_000;

export interface ManifestsToDelete {
  readonly repositoryId: number;
  /** At most `deletionBatch`. */
  readonly digests: readonly Digest[];
  readonly by: string;
  /** For the trash: `client`, `policy default/keep-ten`. */
  readonly reason: string;
  readonly isProtected?: (tag: string) => boolean;
  /** `Refuse`: nothing is deleted when one of `digests` must stay. `Keep`: those stay, the others go. */
  readonly onHeld: "Refuse" | "Keep";
  /** False: cached content, which upstream has and nobody restores. */
  readonly trash?: boolean;
  /** A subject that is gone already: `digests` go because of it, and stay when they have a tag of their own. */
  readonly following?: Digest;
  /** Many followers are not noted but left: the caller deletes them too (eviction). */
  readonly leaveMany?: boolean;
}

export interface KeptManifest {
  readonly digest: Digest;
  /** `the index sha256:…`, `the version tag 1.27.3`, `the protected tag stable`. */
  readonly holder: string;
  readonly because: "Held" | "Protected";
}

export interface DeletedManifests {
  /** Also the referrers that went with their subject. */
  readonly deleted: readonly { readonly digest: Digest; readonly tags: readonly string[] }[];
  readonly kept: readonly KeptManifest[];
  /** Were not here. */
  readonly missing: readonly Digest[];
  /** More follow than go in one transaction: those are to be taken in others (departed.ts). */
  readonly followersWait: boolean;
}

/**
 * Deletes manifests with all their tags, their referrers and what is under their referrer tags. A manifest stays when an index that stays,
 * a version tag, evidence or a pin holds it, or when one of its tags is protected; a referrer also stays when it has a tag of its own.
 * Of more than `followersAtOnce` followers none goes here: they are noted, and follow in transactions of their own.
 */
export async function deleteManifests(transaction: Queryable, options: ManifestsToDelete): Promise<DeletedManifests> {
  const { repositoryId, by, reason } = options;
  const { here, followers, many } = await lockAll(transaction, repositoryId, options.digests);
  await failpoint("D1.locked");
  const asked = new Set(options.digests.filter((digest) => here.has(digest)));
  const missing = [...new Set(options.digests)].filter((digest) => !here.has(digest));
  const candidates = new Set([...asked, ...followers.map(({ digest }) => digest).filter((digest) => here.has(digest))]);
  const tags = await lockTagsOf(transaction, repositoryId, [...candidates]);
  await failpoint("D1.tagsLocked");
  const holders = await findHolders(transaction, repositoryId, [...candidates]);
  await failpoint("D1.judged");

  const kept = new Map<Digest, KeptManifest>();
  const going = new Set(candidates);
  const keep = (digest: Digest, holder: string, because: KeptManifest["because"]) => {
    if (going.delete(digest)) kept.set(digest, { digest, holder, because });
  };
  const subjects = options.following === undefined ? candidates : new Set([...candidates, options.following]);
  for (const { name, digest } of tags) {
    if (options.isProtected?.(name) === true) keep(digest, `the protected tag ${name}`, "Protected");
    else if ((options.following !== undefined || !asked.has(digest)) && !followsOneOf(name, subjects))
      keep(digest, `the tag ${name}`, "Held");
  }
  // Whatever stays may hold others, and its referrers stay with it: until nothing changes.
  for (let before = -1; before !== going.size;) {
    before = going.size;
    for (const { digest, parent, name } of holders) if (parent === null || !going.has(parent)) keep(digest, name, "Held");
    for (const digest of orphaned(going, asked, followers)) keep(digest, "its subject", "Held");
  }

  const keptOfAsked = [...asked].flatMap((digest) => kept.get(digest) ?? []);
  if (keptOfAsked.length > 0 && options.onHeld === "Refuse") return { deleted: [], kept: keptOfAsked, missing, followersWait: false };
  const digests = [...going].sort();
  const lost = tags.filter(({ digest }) => going.has(digest));
  if (options.trash !== false) await putIntoTrash(transaction, repositoryId, digests, { by, reason });
  await failpoint("D1.trashed");
  await dropTags(transaction, repositoryId, lost, by);
  await failpoint("D1.tagsGone");
  const loose = await removeManifests(transaction, repositoryId, digests);
  await failpoint("D1.removed");
  await settleUntagged(transaction, repositoryId, loose);
  await failpoint("D1.settled");
  const noted = many && options.leaveMany !== true ? await noteFollowed(transaction, digests, options) : 0;
  const names = Map.groupBy(lost, ({ digest }) => digest);
  const deleted = digests.map((digest) => ({ digest, tags: (names.get(digest) ?? []).map(({ name }) => name) }));
  return { deleted, kept: keptOfAsked, missing, followersWait: noted > 0 };
}

async function noteFollowed(transaction: Queryable, digests: readonly Digest[], options: ManifestsToDelete): Promise<number> {
  const { repositoryId, by, reason, trash = true, isProtected } = options;
  const noted = await noteDeparted(transaction, repositoryId, digests, {
    by,
    reason,
    trash,
    heedsProtection: trash && isProtected !== undefined,
  });
  await failpoint("D1.noted");
  return noted;
}

/** Deletes rows of tags that are locked, and writes their history. */
export async function dropTags(transaction: Queryable, repositoryId: number, tags: readonly TagTarget[], by: string): Promise<void> {
  if (tags.length === 0) return;
  await removeTags(
    transaction,
    repositoryId,
    tags.map(({ name }) => name),
  );
  const events = tags.map(({ name, digest }) => ({ name, digest: null, previous: digest }));
  await noteTagEvents(transaction, repositoryId, events, by);
}

/** Locks what is asked for and everything that would go along; what was pushed while we waited for a lock is looked for again. */
async function lockAll(
  transaction: Queryable,
  repositoryId: number,
  digests: readonly Digest[],
): Promise<{ here: ReadonlySet<Digest>; followers: readonly Follower[]; many: boolean }> {
  let { followers } = await findFollowers(transaction, repositoryId, digests);
  for (;;) {
    const wanted = new Set([...digests, ...followers.map(({ digest }) => digest)]);
    const here = await lockForDeletion(transaction, repositoryId, [...wanted]);
    const again = await findFollowers(transaction, repositoryId, digests);
    if (again.followers.every(({ digest }) => wanted.has(digest))) return { here, ...again };
    followers = again.followers;
  }
}

/** A tag `sha256-<hex>…` of a manifest that is a candidate holds nothing. */
function followsOneOf(tag: string, candidates: ReadonlySet<Digest>): boolean {
  const subject = digestOfReferrerTag(tag);
  return subject !== undefined && candidates.has(subject);
}

/** Those that were to go only because of a subject that stays. */
function orphaned(going: ReadonlySet<Digest>, asked: ReadonlySet<Digest>, followers: readonly Follower[]): Digest[] {
  const carried = new Set(followers.filter(({ subject }) => going.has(subject)).map(({ digest }) => digest));
  return [...going].filter((digest) => !asked.has(digest) && !carried.has(digest));
}
