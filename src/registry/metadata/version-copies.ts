// Versions whose copy is not here: after the loss of the database, or bound by a person (design: storage.md, Schema: the ledger's `held`).

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface UncopiedVersion {
  /** With its prefix. */
  readonly repository: string;
  readonly repositoryId: number;
  readonly digest: Digest;
  readonly tags: readonly string[];
}

// What somebody bound last comes first.
const uncopied = statement(
  "version-uncopied",
  `SELECT r.name AS repository, r.id AS "repositoryId", l.digest, array_agg(l.tag ORDER BY l.tag) AS tags
   FROM ledger l JOIN repositories r ON r.id = l.repository
   WHERE l.held IS NULL AND r.upstream IS NOT NULL
   GROUP BY r.id, r.name, l.digest
   ORDER BY max(l.updated_at) DESC, r.name, l.digest`,
);
const hold = statement(
  "version-hold",
  "UPDATE ledger SET held = digest WHERE repository = $1 AND digest = $2 AND held IS NULL RETURNING tag",
);

/** Also those that are to be references alone: their policy says so. */
export function uncopiedVersions(queryable: Queryable): Promise<UncopiedVersion[]> {
  return queryable.query<UncopiedVersion>(uncopied);
}

/** The copy of the digest is whole and held: its versions hold it from now on. Returns their tags; none when they left service meanwhile. */
export async function holdVersions(transaction: Queryable, repository: number, digest: Digest): Promise<readonly string[]> {
  return (await transaction.query<{ tag: string }>(hold, [repository, digest])).map(({ tag }) => tag);
}
