import type { Digest } from "../../../domain/digest.ts";
import type { Queryable } from "../../metadata/database.ts";
import { lockTags, noteTagEvents, pointTags } from "../../metadata/tags.ts";
import { ServiceError } from "../errors.ts";

/** Somebody moved a tag between two statements; the transaction is run again (the code is what Database retries). */
export class TagMoved extends Error {
  readonly code = "40001";
  constructor() {
    super("A tag was moved by another push at the same time.");
    this.name = "TagMoved";
  }
}

/**
 * Points tags at a manifest whose row, like those of the manifests the tags leave (`seen`), is locked by this transaction.
 * Throws DENIED for a protected tag that points elsewhere, TagMoved when a tag was made or moved meanwhile.
 */
export async function pointTagsAt(
  transaction: Queryable,
  move: {
    readonly repositoryId: number;
    readonly digest: Digest;
    readonly tags: readonly string[];
    readonly seen: readonly Digest[];
    readonly by: string;
    readonly isProtected?: (tag: string) => boolean;
  },
): Promise<void> {
  const names = [...new Set(move.tags)];
  if (names.length === 0) return;
  const existing = await lockTags(transaction, move.repositoryId, names);
  const previous = new Map(existing.map(({ name, digest }) => [name, digest]));
  if (existing.some(({ digest }) => !move.seen.includes(digest))) throw new TagMoved();
  const changing = names.filter((name) => previous.get(name) !== move.digest);
  const denied = changing.find((name) => previous.has(name) && move.isProtected?.(name) === true);
  if (denied !== undefined) throw protectedTag(denied, previous.get(denied));
  if (changing.length === 0) return;
  const moved = await pointTags(transaction, {
    repositoryId: move.repositoryId,
    names: changing,
    digest: move.digest,
    locked: [...previous.keys()],
  });
  if (moved !== changing.length) throw new TagMoved();
  const events = changing.map((name) => ({ name, digest: move.digest, previous: previous.get(name) ?? null }));
  await noteTagEvents(transaction, move.repositoryId, events, move.by);
}

export function protectedTag(tag: string, digest: Digest | undefined): ServiceError {
  return new ServiceError("DENIED", `The tag ${tag} is protected: it cannot be moved or deleted. Push under another tag.`, {
    detail: { tag, digest },
  });
}
