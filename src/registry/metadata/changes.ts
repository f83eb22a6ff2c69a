// What became visible since one last looked, in commit order or not (storage.md, "Reading"). Rows come from triggers; nobody can forget them.

import { statement, type Queryable } from "./database.ts";

export interface Changes {
  /** Where the next question goes on: the snapshot of this answer. */
  readonly snapshot: string;
  /**
   * Keys as the triggers write them: `tag:<repository>:<name>` (a tag or a published version), `manifest:<repository>:<digest>`,
   * `blob:<repository>:<digest>`, `repository:<name>` (another Upstream has it), `record`.
   */
  readonly keys: readonly string[];
  /**
   * Another value: another server answers, or the same one after a restart. A standby is refused, and becomes a primary once in the life of its
   * server, so that this says which timeline it is as well.
   */
  readonly server: string;
}

/** Milliseconds for a question, and for a connection that asks it; then another one is tried: the server may be gone without a word. */
export const answersWithin = 2_000;

// A standby is behind by an unknown time: it does not know what was deleted.
const since = statement(
  "changes-since",
  `SELECT pg_current_snapshot()::text AS snapshot, pg_postmaster_start_time()::text AS server, pg_is_in_recovery() AS standby,
     changed_keys($1::pg_snapshot) AS keys`,
  { within: answersWithin },
);

/** `snapshot` null: the first question, which has no changes for an answer. Rejects when a standby answers. */
export async function changesSince(database: Queryable, snapshot: string | null): Promise<Changes> {
  const [row] = await database.query<Changes & { standby: boolean }>(since, [snapshot]);
  if (row === undefined || row.standby) throw new Error("the database is a standby; what it says may be old");
  const { server, keys } = row;
  return { snapshot: row.snapshot, server, keys };
}
