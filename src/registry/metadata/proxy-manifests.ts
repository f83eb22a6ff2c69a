// M1 for a proxied repository: exact bytes, references recorded but not held (`held` is what pins), the tag that led here.

import { failpoint } from "#failpoints";

import { blobsOf, childrenOf, type Manifest } from "../../domain/manifest.ts";
import type { Digest } from "../../domain/digest.ts";
import type { Database, Queryable } from "./database.ts";
import { lockManifests, upsertManifest } from "./manifests.ts";
import type { ProxiedRepository } from "./proxy-blobs.ts";
import { ensureProxiedRepository } from "./proxy-repositories.ts";
import { moveProxiedTag } from "./proxy-tags.ts";
import { insertBlobReferences, insertChildReferences } from "./references.ts";
import { findTags, takeTurnOnTags } from "./tags.ts";

export interface FetchedManifest {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
}

const nothingHeld = () => false;

/** Stores what upstream answered. With `tag`, that is where the tag points from now on; `by` says who noticed. Returns the repository's id. */
export async function storeProxiedManifest(
  database: Database,
  repository: ProxiedRepository,
  fetched: FetchedManifest,
  options: { readonly tag?: string; readonly by: string },
): Promise<number> {
  const { digest, bytes, manifest } = fetched;
  const store = async (transaction: Queryable) => {
    const repositoryId = await ensureProxiedRepository(transaction, repository.name, repository.upstream);
    await lockMove(transaction, repositoryId, options.tag, digest);
    // It never counts as untagged: cached content goes by eviction alone.
    await upsertManifest(transaction, { repositoryId, digest, bytes, manifest }, { tagged: true, pushed: true });
    await failpoint("M1.upserted");
    await insertChildReferences(
      transaction,
      { repositoryId, digest },
      childrenOf(manifest).map((child) => ({ digest: child.digest, platform: child.platform })),
      nothingHeld,
    );
    await insertBlobReferences(transaction, { repositoryId, digest }, blobsOf(manifest), nothingHeld);
    const { tag, by } = options;
    return { repositoryId, moved: tag !== undefined && (await moveProxiedTag(transaction, repositoryId, tag, digest, by)) };
  };
  return (await database.transaction(store, { takesAway: ({ moved }) => moved })).repositoryId;
}

/** Upstream says that the tag points at a manifest that is here already. False: it is not here any longer. */
export async function pointProxiedTag(
  database: Database,
  repository: ProxiedRepository,
  tag: string,
  digest: Digest,
  options: { readonly by: string },
): Promise<boolean> {
  const point = async (transaction: Queryable) => {
    const repositoryId = await ensureProxiedRepository(transaction, repository.name, repository.upstream);
    if (!(await lockMove(transaction, repositoryId, tag, digest)).includes(digest)) return { here: false, moved: false };
    return { here: true, moved: await moveProxiedTag(transaction, repositoryId, tag, digest, options.by) };
  };
  return (await database.transaction(point, { takesAway: ({ moved }) => moved })).here;
}

/** The manifests that the tag leaves and reaches, locked as every move of a tag does it. Returns those that are here. */
async function lockMove(transaction: Queryable, repositoryId: number, tag: string | undefined, digest: Digest): Promise<Digest[]> {
  const names = tag === undefined ? [] : [tag];
  await takeTurnOnTags(transaction, repositoryId, names);
  const left = (await findTags(transaction, repositoryId, names)).map((target) => target.digest);
  return lockManifests(transaction, repositoryId, [...new Set([digest, ...left])]);
}
