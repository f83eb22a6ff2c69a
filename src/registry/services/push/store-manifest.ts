// M1 of storage.md: a manifest with everything it names and its tags, in one transaction.

import { failpoint } from "#failpoints";

import type { Digest } from "../../../domain/digest.ts";
import { blobsOf, childrenOf, parseManifest, ManifestError, type Manifest } from "../../../domain/manifest.ts";
import { constraintOf, isForeignKeyViolation, type Database, type Queryable } from "../../metadata/database.ts";
import { lockManifests, settleUntagged, upsertManifest } from "../../metadata/manifests.ts";
import {
  findMissing,
  holdWaitingChildren,
  insertBlobReferences,
  insertChildReferences,
  referenceConstraints,
  takeTurnOnBlobs,
  takeTurnOnChildren,
} from "../../metadata/references.ts";
import { findTags, takeTurnOnTags } from "../../metadata/tags.ts";
import { ServiceError } from "../errors.ts";
import { pointTagsAt } from "./point-tags.ts";

export interface ManifestToStore {
  readonly repositoryId: number;
  readonly digest: Digest;
  /** As it was sent; must be the one that the bytes say. */
  readonly mediaType: string | undefined;
  readonly bytes: Uint8Array;
  readonly tags: readonly string[];
  /** Who moves the tags, for history. */
  readonly by: string;
  /** True for the team's own: what it names must be here and is held. False for cached content: nothing is held until it is pinned. */
  readonly held: boolean;
  /** Layers and configs need not be here (setting `allowMissingBlobs`); they are held when they arrive. */
  readonly mayMissBlobs?: boolean;
  /** Tags that must not be moved once they exist; decided inside the transaction. */
  readonly isProtected?: (tag: string) => boolean;
}

const attempts = 3;

/**
 * Stores the manifest inside the caller's transaction (one made by `withReferences`) and points `tags` at it. Returns what it says.
 * Throws MANIFEST_INVALID; MANIFEST_BLOB_UNKNOWN with `detail.digests`; DENIED for a protected tag that points elsewhere.
 */
export async function storeManifest(transaction: Queryable, options: ManifestToStore): Promise<Manifest> {
  const { repositoryId, digest, bytes, tags, held } = options;
  const manifest = readManifest(bytes, options.mediaType);
  const blobs = blobsOf(manifest);
  const children = childrenOf(manifest);
  const subject = manifest.subject?.digest;

  await takeTurnOnTags(transaction, repositoryId, tags);
  await failpoint("M1.turn");
  const missing = held ? await missingOf(transaction, repositoryId, { blobs: digests(blobs), manifests: digests(children) }) : undefined;
  if (options.mayMissBlobs !== true) refuseMissing(blobs.filter((blob) => blob.required && missing?.has(blob.digest) === true));
  await failpoint("M1.looked");
  const holds = (named: Digest) => missing !== undefined && !missing.has(named);

  const left = (await findTags(transaction, repositoryId, tags)).map((tag) => tag.digest);
  const near = [...new Set([digest, ...left, ...digests(children), ...(subject === undefined ? [] : [subject])])];
  await lockManifests(transaction, repositoryId, near);
  await failpoint("M1.locked");
  await upsertManifest(transaction, { repositoryId, digest, bytes, manifest }, { tagged: tags.length > 0, pushed: held });
  await failpoint("M1.upserted");
  await insertChildReferences(transaction, options, children, holds);
  await failpoint("M1.children");
  await pointTagsAt(transaction, { ...options, seen: left });
  await failpoint("M1.tags");
  await insertBlobReferences(transaction, options, blobs, holds);
  await failpoint("M1.blobs");
  if (held) await holdWaitingChildren(transaction, repositoryId, digest);
  await failpoint("M1.held");
  await settleUntagged(transaction, repositoryId, near);
  await failpoint("M1.settled");
  return manifest;
}

/**
 * A transaction around `storeManifest`. What the plain SELECT saw can be collected before the foreign key is checked;
 * then everything is decided again, so that the answer names what is missing, or holds nothing where absence is allowed.
 */
export async function withReferences<T>(
  database: Database,
  work: (transaction: Queryable) => Promise<T>,
  options: { readonly takesAway: boolean },
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await database.transaction(work, options);
    } catch (error) {
      if (!isForeignKeyViolation(error)) throw error;
      if (attempt < attempts) continue;
      throw referenceConstraints.has(constraintOf(error) ?? "") ? unknownReferences([]) : error;
    }
  }
}

/** What is not here, such that whatever comes later holds itself for those that wait for it (`holdWaitingChildren`, the trigger of new links). */
async function missingOf(
  transaction: Queryable,
  repositoryId: number,
  named: { readonly blobs: readonly Digest[]; readonly manifests: readonly Digest[] },
): Promise<ReadonlySet<Digest>> {
  const missing = await findMissing(transaction, repositoryId, named);
  const absent = named.manifests.some((digest) => missing.has(digest));
  const withoutBlobs = named.blobs.some((digest) => missing.has(digest));
  await takeTurnOnChildren(transaction, repositoryId, absent);
  if (withoutBlobs) await takeTurnOnBlobs(transaction, repositoryId);
  return absent || withoutBlobs ? findMissing(transaction, repositoryId, named) : missing;
}

function readManifest(bytes: Uint8Array, mediaType: string | undefined): Manifest {
  try {
    return parseManifest(bytes, mediaType);
  } catch (error) {
    if (error instanceof ManifestError) throw new ServiceError("MANIFEST_INVALID", error.message, { cause: error });
    throw error;
  }
}

function refuseMissing(blobs: readonly { readonly digest: Digest }[]): void {
  if (blobs.length > 0) throw unknownReferences(digests(blobs));
}

function unknownReferences(missing: readonly Digest[]): ServiceError {
  const named = missing.length === 0 ? "" : ` (${missing.length}): ${missing.slice(0, 5).join(", ")}${missing.length > 5 ? ", …" : ""}`;
  return new ServiceError(
    "MANIFEST_BLOB_UNKNOWN",
    `The manifest names blobs that this repository does not have${named}. Push them first.`,
    {
      detail: { digests: missing },
    },
  );
}

function digests(named: readonly { readonly digest: Digest }[]): Digest[] {
  return named.map(({ digest }) => digest);
}
