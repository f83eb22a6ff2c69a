// Rows of repositories that belong to an Upstream. They appear with the first thing that upstream really had.

import { statement, type Database, type Queryable } from "./database.ts";

const find = statement("proxy-repository-find", "SELECT id FROM repositories WHERE name = $1 AND upstream = $2");
const ensure = statement(
  "proxy-repository-ensure",
  `INSERT INTO repositories (name, upstream) VALUES ($1, $2)
   ON CONFLICT (name) DO UPDATE SET upstream = excluded.upstream WHERE repositories.upstream IS NOT NULL
   RETURNING id`,
);
const makeTagsStale = statement(
  "proxy-repository-stale-tags",
  `UPDATE tags SET checked_at = NULL FROM repositories r WHERE r.id = tags.repository AND r.upstream = $1 AND tags.checked_at IS NOT NULL`,
);

/** Id of the proxied repository `name`, made when it is new. Throws when the name is one of the team's own. */
export async function ensureProxiedRepository(database: Queryable, name: string, upstream: string): Promise<number> {
  // Every answer from upstream comes through here: nothing is written, and nobody waits, when the row says it already.
  const [known] = await database.query<{ id: number }>(find, [name, upstream]);
  if (known !== undefined) return known.id;
  const [row] = await database.query<{ id: number }>(ensure, [name, upstream]);
  if (row === undefined) throw new Error(`repository ${name} holds pushed content and cannot be served from upstream ${upstream}`);
  return row.id;
}

/** The Upstream leads elsewhere now: nothing that was confirmed before counts as fresh. */
export async function forgetConfirmations(database: Database, upstream: string): Promise<void> {
  await database.transaction((transaction) => makeConfirmationsStale(transaction, upstream), { takesAway: true });
}

/** The same in a transaction that takes away. */
export async function makeConfirmationsStale(transaction: Queryable, upstream: string): Promise<void> {
  await transaction.execute(makeTagsStale, [upstream]);
}
