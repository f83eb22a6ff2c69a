// Tags and their history. Whoever moves a tag has locked the manifests it leaves and reaches first (order of locks: storage.md).

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface TagTarget {
  readonly name: string;
  readonly digest: Digest;
}

// Pushers of one tag take turns; else each would lock the manifest that the tag has just left, and start again.
const turn = statement(
  "tag-turn",
  `SELECT pg_advisory_xact_lock(hashtextextended($1::bigint || ':' || name, 0))
   FROM (SELECT name FROM unnest($2::text[]) AS name ORDER BY name COLLATE "C") AS ordered`,
);
const targets = statement("tag-targets", "SELECT name, digest FROM tags WHERE repository = $1 AND name = ANY($2) ORDER BY name");
const lock = statement("tag-lock", "SELECT name, digest FROM tags WHERE repository = $1 AND name = ANY($2) ORDER BY name FOR UPDATE");
const lockOf = statement(
  "tag-lock-of",
  "SELECT name, digest FROM tags WHERE repository = $1 AND digest = ANY($2) ORDER BY name FOR UPDATE",
);
// One that appeared since the lock and is protected or was not seen is left alone: the caller counts what came back.
const point = statement(
  "tag-point",
  `INSERT INTO tags (repository, name, digest)
   SELECT $1, name, $3 FROM unnest($2::text[]) AS name ORDER BY name COLLATE "C"
   ON CONFLICT (repository, name) DO UPDATE SET digest = excluded.digest, updated_at = now()
   WHERE tags.name = ANY($4)`,
);
const remove = statement("tag-remove", "DELETE FROM tags WHERE repository = $1 AND name = ANY($2)");
const note = statement(
  "tag-note",
  `INSERT INTO tag_events (repository, name, digest, previous, by)
   SELECT $1, name, digest, previous, $5 FROM unnest($2::text[], $3::text[], $4::text[]) AS event (name, digest, previous)`,
);
const list = statement(
  "tag-list",
  `SELECT t.name
   FROM repositories r
   JOIN tags t ON t.repository = r.id
   WHERE r.name = $1 AND t.name > $2
   ORDER BY t.name
   LIMIT $3`,
);

/** Waits until no other push moves one of these tags, before any row is locked. A few names at a time. */
export async function takeTurnOnTags(transaction: Queryable, repositoryId: number, names: readonly string[]): Promise<void> {
  if (names.length > 0) await transaction.query(turn, [repositoryId, names]);
}

/** Where these tags point, without a lock. */
export async function findTags(transaction: Queryable, repositoryId: number, names: readonly string[]): Promise<TagTarget[]> {
  return names.length === 0 ? [] : transaction.query<TagTarget>(targets, [repositoryId, names]);
}

/** Where these tags point, locked in name order. */
export async function lockTags(transaction: Queryable, repositoryId: number, names: readonly string[]): Promise<TagTarget[]> {
  return names.length === 0 ? [] : transaction.query<TagTarget>(lock, [repositoryId, names]);
}

/** Every tag of these manifests, locked in name order. */
export async function lockTagsOf(transaction: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<TagTarget[]> {
  return digests.length === 0 ? [] : transaction.query<TagTarget>(lockOf, [repositoryId, digests]);
}

/** Points `names` at `digest`; of those that exist only `locked` ones are moved. Returns how many point there now through this call. */
export async function pointTags(
  transaction: Queryable,
  move: { readonly repositoryId: number; readonly names: readonly string[]; readonly digest: Digest; readonly locked: readonly string[] },
): Promise<number> {
  return transaction.execute(point, [move.repositoryId, move.names, move.digest, move.locked]);
}

export async function removeTags(transaction: Queryable, repositoryId: number, names: readonly string[]): Promise<void> {
  if (names.length > 0) await transaction.execute(remove, [repositoryId, names]);
}

/** History: `digest` null for a tag that went, `previous` null for one that came. */
export async function noteTagEvents(
  transaction: Queryable,
  repositoryId: number,
  events: readonly { readonly name: string; readonly digest: Digest | null; readonly previous: Digest | null }[],
  by: string,
): Promise<void> {
  if (events.length === 0) return;
  await transaction.execute(note, [
    repositoryId,
    events.map(({ name }) => name),
    events.map(({ digest }) => digest),
    events.map(({ previous }) => previous),
    by,
  ]);
}

/** Bytewise sorted; `after` is exclusive. */
export async function listTags(database: Queryable, repository: string, page: { after?: string; limit: number }): Promise<string[]> {
  return (await database.query<{ name: string }>(list, [repository, page.after ?? "", page.limit])).map(({ name }) => name);
}
