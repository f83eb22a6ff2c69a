// `wharfinger restore`: M1 with the bytes from the trash (storage.md, D1). Children first, then the image, then its referrers; whole or not at all.

import { failpoint } from "#failpoints";

import type { RestoreRequest, RestoreResult } from "../../../api/control/deletion.ts";
import { isDigest, type Digest } from "../../../domain/digest.ts";
import { blobsOf, childrenOf, parseManifest, type Manifest } from "../../../domain/manifest.ts";
import type { NameTest } from "../../../domain/glob.ts";
import { digestOfReferrerTag, isTag } from "../../../domain/reference.ts";
import { appendActivity } from "../../metadata/activity.ts";
import type { Database, Queryable } from "../../metadata/database.ts";
import { cancelDeparted } from "../../metadata/departed.ts";
import { findMissing } from "../../metadata/references.ts";
import { findTags, takeTurnOnTags } from "../../metadata/tags.ts";
import { findPresent, findTrashed, findTrashedNaming, findTrashedTag, type TrashedManifest } from "../../metadata/trash.ts";
import { ServiceError } from "../errors.ts";
import { ensureOwnRepository, findOwnRepository } from "../push/own-repository.ts";
import { storeManifest, withReferences } from "../push/store-manifest.ts";

interface Restoring {
  readonly transaction: Queryable;
  readonly repositoryId: number;
  readonly repository: string;
  readonly identity: string;
  /** Its manifests may name blobs that are not here. */
  readonly mayMissBlobs: boolean;
}

interface Piece {
  readonly trashed: TrashedManifest;
  readonly manifest: Manifest;
  readonly tags: readonly string[];
}

/**
 * Restores `<repository>:<tag>` or `<repository>@<digest>`. `gone` names what could not come back beside it: tags that point elsewhere now,
 * referrers whose bytes are collected. ServiceError NOT_FOUND when it is not in the trash, CONFLICT when its own bytes are gone (nothing is changed).
 */
export async function restore(
  database: Database,
  request: RestoreRequest,
  identity: string,
  mayMissBlobs: NameTest = () => false,
): Promise<RestoreResult> {
  const { repository } = request;
  const what = referenceOf(request);
  const found = await findOwnRepository(database, repository);
  if (found === undefined) throw notInTrash(request);
  const work = async (transaction: Queryable) => {
    await ensureOwnRepository(transaction, repository);
    const restoring = { transaction, repositoryId: found.id, repository, identity, mayMissBlobs: mayMissBlobs(repository) };
    const root = "tag" in what ? await findTrashedTag(transaction, found.id, what.tag) : what.digest;
    if (root === undefined) throw notInTrash(request);
    const result = await restoreImage(restoring, root, "tag" in what ? [what.tag] : undefined, request);
    const reference = "tag" in what ? what.tag : what.digest;
    const detail = { restored: result.restored, gone: result.gone };
    await appendActivity(transaction, { identity, action: "restore", repository, reference, detail });
    return result;
  };
  const result = await decidedAgain(() => withReferences(database, work, { takesAway: true }));
  await failpoint("restore.committed");
  return result;
}

/** Bytes that were collected since they were looked for: the next attempt finds them missing, and says what that means here. */
async function decidedAgain<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof ServiceError && error.code === "MANIFEST_BLOB_UNKNOWN") return attempt();
    throw error;
  }
}

async function restoreImage(
  restoring: Restoring,
  root: Digest,
  asked: readonly string[] | undefined,
  request: RestoreRequest,
): Promise<RestoreResult> {
  const { transaction, repositoryId } = restoring;
  const [image] = await findTrashed(transaction, repositoryId, [root]);
  if (image === undefined) throw notInTrash(request);
  const { family, referrers } = await gather(restoring, image);
  await failpoint("restore.found");
  const pieces = [
    ...family.map((trashed) => piece(trashed, trashed.digest === root ? (asked ?? image.tags) : [])),
    ...referrers.map((trashed) => piece(trashed, trashed.tags.filter(isFollower))),
  ];
  await takeTurnOnTags(transaction, repositoryId, pieces.flatMap(({ tags }) => tags).sort());
  await failpoint("restore.turn");

  const gone: string[] = [];
  const restored: { digest: Digest; tags: string[] }[] = [];
  for (const { trashed, manifest, tags } of pieces) {
    const { digest } = trashed;
    const missing = await missingBlobs(restoring, manifest);
    if (missing.length > 0 && family.includes(trashed)) throw collected(restoring.repository, digest, missing);
    if (missing.length > 0) {
      gone.push(`referrer ${digest}: its bytes are collected (${missing.join(", ")})`);
      continue;
    }
    const free = await freeTags(restoring, digest, tags, gone);
    await storeManifest(transaction, {
      repositoryId,
      digest,
      mediaType: trashed.mediaType,
      bytes: trashed.bytes,
      tags: free,
      by: restoring.identity,
      held: true,
      mayMissBlobs: restoring.mayMissBlobs,
    });
    restored.push({ digest, tags: free });
    await failpoint("restore.stored");
  }
  return {
    repository: restoring.repository,
    restored: restored.toSorted((a, b) => Number(b.digest === root) - Number(a.digest === root)),
    gone,
  };
}

/** What follows them still waits nowhere: what a batch took while we waited for it is in the trash, so it is looked for again. */
async function gather(
  restoring: Restoring,
  image: TrashedManifest,
): Promise<{ readonly family: readonly TrashedManifest[]; readonly referrers: readonly TrashedManifest[] }> {
  for (;;) {
    const family = await familyOf(restoring, image);
    const referrers = await referrersOf(restoring, family);
    const digests = [...family, ...referrers].map(({ digest }) => digest);
    if ((await cancelDeparted(restoring.transaction, restoring.repositoryId, digests)) === 0) return { family, referrers };
  }
}

/** The image and what it names, children first. A child that is neither here nor in the trash was absent before. */
async function familyOf({ transaction, repositoryId }: Restoring, image: TrashedManifest): Promise<readonly TrashedManifest[]> {
  const family = [image];
  for (let level = [image]; level.length > 0;) {
    const children = level.flatMap(({ bytes, mediaType }) => childrenOf(parseManifest(bytes, mediaType)).map(({ digest }) => digest));
    const known = new Set(family.map(({ digest }) => digest));
    const here = await findPresent(transaction, repositoryId, children);
    level = await findTrashed(
      transaction,
      repositoryId,
      [...new Set(children)].filter((digest) => !known.has(digest) && !here.has(digest)),
    );
    family.unshift(...level);
  }
  return family;
}

/** What refers to the family, and to those referrers: by subject and by `sha256-<hex>` tags. What is here already is left alone. */
async function referrersOf(
  { transaction, repositoryId }: Restoring,
  family: readonly TrashedManifest[],
): Promise<readonly TrashedManifest[]> {
  const referrers: TrashedManifest[] = [];
  const known = new Set(family.map(({ digest }) => digest));
  for (let level = [...known]; level.length > 0;) {
    const naming = await findTrashedNaming(transaction, repositoryId, level);
    const here = await findPresent(
      transaction,
      repositoryId,
      naming.map(({ digest }) => digest),
    );
    const found = naming.filter((trashed) => !known.has(trashed.digest) && !here.has(trashed.digest) && refersTo(trashed, level));
    for (const { digest } of found) known.add(digest);
    referrers.push(...found);
    level = found.map(({ digest }) => digest);
  }
  return referrers;
}

function refersTo({ bytes, mediaType, tags }: TrashedManifest, digests: readonly Digest[]): boolean {
  const subject = parseManifest(bytes, mediaType).subject?.digest;
  if (subject !== undefined && digests.includes(subject)) return true;
  return tags.some((tag) => {
    const named = digestOfReferrerTag(tag);
    return named !== undefined && digests.includes(named);
  });
}

function isFollower(tag: string): boolean {
  return digestOfReferrerTag(tag) !== undefined;
}

function piece(trashed: TrashedManifest, tags: readonly string[]): Piece {
  return { trashed, tags, manifest: parseManifest(trashed.bytes, trashed.mediaType) };
}

async function missingBlobs({ transaction, repositoryId, mayMissBlobs }: Restoring, manifest: Manifest): Promise<readonly Digest[]> {
  if (mayMissBlobs) return [];
  const blobs = blobsOf(manifest)
    .filter(({ required }) => required)
    .map(({ digest }) => digest);
  return [...(await findMissing(transaction, repositoryId, { blobs, manifests: [] }))].sort();
}

/** Tags that point nowhere, or here already; of the others `gone` says where they point. */
async function freeTags(
  { transaction, repositoryId }: Restoring,
  digest: Digest,
  tags: readonly string[],
  gone: string[],
): Promise<string[]> {
  const taken = (await findTags(transaction, repositoryId, tags)).filter((tag) => tag.digest !== digest);
  for (const tag of taken) gone.push(`tag ${tag.name}: it points at ${tag.digest} now`);
  return tags.filter((name) => !taken.some((tag) => tag.name === name));
}

function referenceOf({ tag, digest }: RestoreRequest): { readonly tag: string } | { readonly digest: Digest } {
  if (tag !== undefined && digest === undefined && isTag(tag)) return { tag };
  if (digest !== undefined && tag === undefined && isDigest(digest)) return { digest };
  throw new ServiceError("INVALID", "Say either which tag or which digest to restore: <repository>:<tag> or <repository>@<digest>.");
}

function notInTrash({ repository, tag, digest }: RestoreRequest): ServiceError {
  const reference = tag === undefined ? `@${digest ?? ""}` : `:${tag}`;
  return new ServiceError(
    "NOT_FOUND",
    `${repository}${reference} is not in the trash: it was never deleted here, or longer ago than deleted images are kept (gc.trashFor).`,
  );
}

function collected(repository: string, digest: Digest, missing: readonly Digest[]): ServiceError {
  return new ServiceError(
    "CONFLICT",
    `${repository}@${digest} cannot be restored: ${missing.length} of its blobs are collected already (${missing.slice(0, 5).join(", ")}${missing.length > 5 ? ", …" : ""}). Nothing was changed. Push the image again.`,
    { detail: { digest, missing } },
  );
}
