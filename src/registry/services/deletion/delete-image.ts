// `wharfinger delete`: D1 by an administrator's word, whom no protected tag stops. With `purge` (a leaked secret) nothing is left to restore and the
// bytes go at once, as far as nothing else needs them.

import type { DeleteRequest, DeleteResult } from "../../../api/control/deletion.ts";
import { isDigest } from "../../../domain/digest.ts";
import { isTag } from "../../../domain/reference.ts";
import type { Queryable } from "../../metadata/database.ts";
import { takeTurnOnTags } from "../../metadata/tags.ts";
import { deleteManifests } from "./delete-manifests.ts";
import { followAfterwards } from "./departed.ts";
import { deleteTags } from "./delete-tags.ts";
import { ServiceError } from "../errors.ts";
import { heldBy, noteDeletion, writable, type DeletionContext, type ImageToDelete } from "./image-deletion.ts";
import { findOwnRepository } from "../push/own-repository.ts";
import { purge } from "./purge.ts";

/** ServiceError NOT_FOUND when it is not here, CONFLICT when something that stays holds it. */
export async function deleteImage(context: DeletionContext, request: DeleteRequest, identity: string): Promise<DeleteResult> {
  const { repository } = request;
  const what = referenceOf(request);
  const found = await findOwnRepository(context.database, repository);
  if (found === undefined) throw notHere(request);
  const image = { repository, repositoryId: found.id, what, identity };
  const result = await (request.purge === true ? purge(context, image) : deleteOnly(context, image));
  if (result.deleted.length === 0) throw notHere(request);
  return result;
}

async function deleteOnly({ database, isProtected }: DeletionContext, image: ImageToDelete): Promise<DeleteResult> {
  const { repository, repositoryId, what, identity } = image;
  const why = { by: identity, reason: "administrator" };
  const remove = async (transaction: Queryable) => {
    if ("digest" in what) {
      const result = await deleteManifests(transaction, { repositoryId, digests: [what.digest], onHeld: "Refuse", ...why });
      if (result.kept[0] !== undefined) throw heldBy(what.digest, result.kept[0].holder);
      return result;
    }
    await takeTurnOnTags(transaction, repositoryId, [what.tag]);
    const { deleted } = await deleteTags(transaction, { repositoryId, tags: [{ name: what.tag }], ...why });
    return { deleted: deleted.map(({ name, digest }) => ({ digest, tags: [name] })), followersWait: false };
  };
  const work = async (transaction: Queryable) => {
    const result = await remove(transaction);
    await noteDeletion(transaction, image, { action: "delete", detail: { deleted: writable(result.deleted) } });
    return result;
  };
  const { deleted, followersWait } = await database.transaction(work, { takesAway: true });
  if (followersWait) await followAfterwards(database, { of: { repositoryId }, isProtected });
  return { repository, deleted: writable(deleted), trash: [], kept: [], swept: 0, bytes: 0, waiting: 0 };
}

function referenceOf({ tag, digest }: DeleteRequest): ImageToDelete["what"] {
  if (tag !== undefined && digest === undefined && isTag(tag)) return { tag };
  if (digest !== undefined && tag === undefined && isDigest(digest)) return { digest };
  throw new ServiceError("INVALID", "Say either which tag or which digest to delete: <repository>:<tag> or <repository>@<digest>.");
}

function notHere({ repository, tag, digest }: DeleteRequest): ServiceError {
  return new ServiceError(
    "NOT_FOUND",
    `${repository}${tag === undefined ? `@${digest ?? ""}` : `:${tag}`} is not here: nothing was deleted.`,
  );
}
