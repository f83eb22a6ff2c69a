// D1 for tags: only the tag goes; the manifest stays, in the trash is a copy under which the tag can come back.

import { failpoint } from "#failpoints";

import type { Digest } from "../../../domain/digest.ts";
import type { Queryable } from "../../metadata/database.ts";
import { putIntoTrash } from "../../metadata/manifest-deletion.ts";
import { lockManifests, settleUntagged } from "../../metadata/manifests.ts";
import { findTags, lockTags } from "../../metadata/tags.ts";
import { dropTags } from "./delete-manifests.ts";

export interface TagsToDelete {
  readonly repositoryId: number;
  /** At most `deletionBatch`. With a digest the tag goes only while it points there (a plan that is still true). */
  readonly tags: readonly { readonly name: string; readonly digest?: Digest }[];
  readonly by: string;
  /** For the trash: `client`, `policy default/keep-ten`. */
  readonly reason: string;
  readonly isProtected?: (tag: string) => boolean;
}

export interface DeletedTags {
  readonly deleted: readonly { readonly name: string; readonly digest: Digest }[];
  readonly kept: readonly { readonly name: string; readonly digest: Digest; readonly because: "Protected" | "Moved" }[];
  /** Were not here. */
  readonly missing: readonly string[];
}

/** Deletes tags. Other tags of the same manifests, and the manifests themselves, stay. */
export async function deleteTags(transaction: Queryable, options: TagsToDelete): Promise<DeletedTags> {
  const { repositoryId, by, reason } = options;
  const names = options.tags.map(({ name }) => name);
  const expected = new Map(options.tags.map(({ name, digest }) => [name, digest]));
  const seen = [...new Set((await findTags(transaction, repositoryId, names)).map(({ digest }) => digest))];
  await lockManifests(transaction, repositoryId, seen);
  await failpoint("D1.locked");
  const here = await lockTags(transaction, repositoryId, names);
  await failpoint("D1.tagsLocked");

  const judged = here.map((tag) => {
    const moved = !seen.includes(tag.digest) || (expected.get(tag.name) ?? tag.digest) !== tag.digest;
    return { ...tag, because: options.isProtected?.(tag.name) === true ? ("Protected" as const) : moved ? ("Moved" as const) : undefined };
  });
  const going = judged.filter(({ because }) => because === undefined).map(({ name, digest }) => ({ name, digest }));
  const kept = judged.flatMap(({ name, digest, because }) => (because === undefined ? [] : [{ name, digest, because }]));
  const missing = names.filter((name) => !here.some((tag) => tag.name === name));
  if (going.length === 0) return { deleted: [], kept, missing };

  const digests = [...new Set(going.map(({ digest }) => digest))];
  await putIntoTrash(transaction, repositoryId, digests, { by, reason, tags: going.map(({ name }) => name) });
  await failpoint("D1.trashed");
  await dropTags(transaction, repositoryId, going, by);
  await failpoint("D1.tagsGone");
  await settleUntagged(transaction, repositoryId, digests);
  await failpoint("D1.settled");
  return { deleted: going, kept, missing };
}
