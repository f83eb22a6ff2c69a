// Keys that access tokens are signed with (registry/tokens). Ages are by the database's clock, which all processes share.

import { statement, type Queryable } from "./database.ts";

export interface StoredKey {
  readonly id: string;
  /** A JSON Web Key with its private part. */
  readonly key: string;
  /** Milliseconds. */
  readonly age: number;
}

const read = statement(
  "token-keys-read",
  "SELECT id, key, extract(epoch FROM now() - created_at)::float8 * 1000 AS age FROM token_keys ORDER BY generation",
);
// One statement, so that a process that dies in the middle made it or did not; of two at once the second one meets the first one's generation.
const add = statement(
  "token-keys-add",
  `INSERT INTO token_keys (generation, id, key)
   SELECT coalesce(max(generation), 0) + 1, $1, $2 FROM token_keys
   HAVING coalesce(max(created_at) FILTER (WHERE id <> ALL($4)) <= now() - $3 * interval '1 millisecond', true)
   ON CONFLICT (generation) DO NOTHING`,
);
const drop = statement(
  "token-keys-drop",
  `DELETE FROM token_keys old
   WHERE EXISTS (SELECT FROM token_keys new WHERE new.generation > old.generation AND new.created_at <= now() - $1 * interval '1 millisecond' AND new.id <> ALL($2))`,
);

/** Oldest first. */
export function readTokenKeys(database: Queryable): Promise<StoredKey[]> {
  return database.query<StoredKey>(read);
}

/** `odd`: ids of rows that are no keys, and so nobody's predecessor or successor. */
interface Turnover {
  readonly milliseconds: number;
  readonly odd: readonly string[];
}

/** Unless there is one that is younger than `milliseconds`. */
export async function addTokenKey(
  database: Queryable,
  { id, key }: Omit<StoredKey, "age">,
  { milliseconds, odd }: Turnover,
): Promise<void> {
  await database.execute(add, [id, key, milliseconds, odd]);
}

/** Those that have had a successor for `milliseconds`. */
export async function dropTokenKeys(database: Queryable, { milliseconds, odd }: Turnover): Promise<void> {
  await database.execute(drop, [milliseconds, odd]);
}
