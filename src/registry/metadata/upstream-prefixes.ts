// First path segments that Upstreams have (design: storage.md, "Prefixes"): taken at a publish, retired when the Upstream is gone.

import { statement, type Queryable } from "./database.ts";

const insert = statement(
  "upstream-prefix-insert",
  "INSERT INTO prefixes (prefix, kind, upstream) VALUES ($1, 'proxied', $2) ON CONFLICT (prefix) DO NOTHING",
);
const lock = statement("upstream-prefix-lock", "SELECT kind, upstream FROM prefixes WHERE prefix = $1 FOR UPDATE");
const under = "(name = $1 OR (name > $1 || '/' AND name < $1 || '0'))";
// Whoever writes to a repository holds its row: what they do is seen by the next statement, or they see that the row has an Upstream.
const lockOwn = statement(
  "upstream-prefix-lock-own",
  `SELECT id FROM repositories WHERE upstream IS NULL AND ${under} ORDER BY id FOR UPDATE`,
);
// What can be pulled, what is on its way, and what can be restored.
const holders = statement(
  "upstream-prefix-holders",
  `SELECT name FROM repositories r
   WHERE upstream IS NULL AND ${under}
     AND (EXISTS (SELECT FROM manifests m WHERE m.repository = r.id)
       OR EXISTS (SELECT FROM repository_blobs l WHERE l.repository = r.id)
       OR EXISTS (SELECT FROM trash t WHERE t.repository = r.id))
   UNION
   SELECT repository FROM (SELECT repository, repository AS name FROM uploads WHERE object_key IS NOT NULL AND expires_at > now()) u
   WHERE ${under}
   ORDER BY name LIMIT 6`,
);
const takeEmpty = statement("upstream-prefix-take-empty", `UPDATE repositories SET upstream = $2 WHERE upstream IS NULL AND ${under}`);
const take = statement("upstream-prefix-take", "UPDATE prefixes SET kind = 'proxied', upstream = $2 WHERE prefix = $1");
const retire = statement("upstream-prefix-retire", "UPDATE prefixes SET kind = 'retired' WHERE kind = 'proxied' AND NOT prefix = ANY($1)");

const held = statement(
  "upstream-prefix-held",
  `SELECT prefix FROM prefixes JOIN unnest($1::text[], $2::text[]) AS wanted (prefix, upstream) USING (prefix, upstream) WHERE kind = 'proxied'`,
);

/**
 * Those of the prefixes (Upstream `namespace/name` by prefix) that are given already. Whoever holds the turn to publish need not claim them again:
 * only a publish takes a prefix from an Upstream.
 */
export async function heldPrefixes(transaction: Queryable, wanted: ReadonlyMap<string, string>): Promise<ReadonlySet<string>> {
  const rows = await transaction.query<{ readonly prefix: string }>(held, [[...wanted.keys()], [...wanted.values()]]);
  return new Set(rows.map(({ prefix }) => prefix));
}

/**
 * Gives the prefix to the Upstream (`namespace/name`). Returns the own repositories that hold it instead (at most 6, so that five and "more" can be said):
 * the first push and a publish both claim the row, and the later one is refused. Own repositories in which nothing is left go to the Upstream too.
 */
export async function claimPrefix(transaction: Queryable, prefix: string, upstream: string): Promise<readonly string[]> {
  await transaction.execute(insert, [prefix, upstream]);
  const [row] = await transaction.query<{ kind: string; upstream: string | null }>(lock, [prefix]);
  if (row?.kind === "own") {
    await transaction.query(lockOwn, [prefix]);
    const names = (await transaction.query<{ name: string }>(holders, [prefix])).map(({ name }) => name);
    if (names.length > 0) return names;
    await transaction.execute(takeEmpty, [prefix, upstream]);
  }
  if (row?.kind !== "proxied" || row.upstream !== upstream) await transaction.execute(take, [prefix, upstream]);
  return [];
}

/** Proxied prefixes that no Upstream has now: pulls 404, pushes 405, until an Upstream takes them again. */
export async function retirePrefixes(transaction: Queryable, kept: readonly string[]): Promise<void> {
  await transaction.execute(retire, [kept]);
}
