// First path segments that Upstreams have (design: storage.md, "Prefixes"): taken at a publish, retired when the Upstream is gone.

import { statement, type Queryable } from "./database.ts";

const insert = statement(
  "upstream-prefix-insert",
  "INSERT INTO prefixes (prefix, kind, upstream) VALUES ($1, 'proxied', $2) ON CONFLICT (prefix) DO NOTHING",
);
const lock = statement("upstream-prefix-lock", "SELECT kind, upstream FROM prefixes WHERE prefix = $1 FOR UPDATE");
const holders = statement(
  "upstream-prefix-holders",
  `SELECT name FROM repositories
   WHERE upstream IS NULL AND (name = $1 OR (name > $1 || '/' AND name < $1 || '0'))
   ORDER BY name LIMIT 6`,
);
const take = statement("upstream-prefix-take", "UPDATE prefixes SET kind = 'proxied', upstream = $2 WHERE prefix = $1");
const retire = statement("upstream-prefix-retire", "UPDATE prefixes SET kind = 'retired' WHERE kind = 'proxied' AND NOT prefix = ANY($1)");

/**
 * Gives the prefix to the Upstream (`namespace/name`). Returns the own repositories that hold it instead (at most 6, so that five and "more" can be said):
 * the first push and a publish both claim the row, and the later one is refused.
 */
export async function claimPrefix(transaction: Queryable, prefix: string, upstream: string): Promise<readonly string[]> {
  await transaction.execute(insert, [prefix, upstream]);
  const [row] = await transaction.query<{ kind: string; upstream: string | null }>(lock, [prefix]);
  if (row?.kind === "own") {
    const names = (await transaction.query<{ name: string }>(holders, [prefix])).map(({ name }) => name);
    if (names.length > 0) return names;
  }
  if (row?.kind !== "proxied" || row.upstream !== upstream) await transaction.execute(take, [prefix, upstream]);
  return [];
}

/** Proxied prefixes that no Upstream has now: pulls 404, pushes 405, until an Upstream takes them again. */
export async function retirePrefixes(transaction: Queryable, kept: readonly string[]): Promise<void> {
  await transaction.execute(retire, [kept]);
}
