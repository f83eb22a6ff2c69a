// Repositories and the first path segments they live under (storage.md, "Prefixes").

import { prefixOf } from "../../domain/reference.ts";
import { statement, type Queryable } from "./database.ts";

export interface Repository {
  readonly id: number;
  readonly name: string;
  /** `namespace/name` of the Upstream it belongs to; null: the team's own. */
  readonly upstream: string | null;
}

export interface Prefix {
  readonly kind: "own" | "proxied" | "retired";
  readonly upstream: string | null;
}

const find = statement("repository-find", "SELECT id, name, upstream FROM repositories WHERE name = $1");
// Against a publish that gives an empty repository to an Upstream: it waits for us, or we see what it did.
const hold = statement("repository-hold", "SELECT id, name, upstream FROM repositories WHERE name = $1 FOR KEY SHARE");
const prefix = statement("prefix-find", "SELECT kind, upstream FROM prefixes WHERE prefix = $1");
const claim = statement("prefix-claim", "INSERT INTO prefixes (prefix, kind) VALUES ($1, 'own') ON CONFLICT (prefix) DO NOTHING");
const insert = statement("repository-insert", "INSERT INTO repositories (name) VALUES ($1) ON CONFLICT (name) DO NOTHING");
const list = statement(
  "repository-list",
  `SELECT id, name, upstream FROM repositories
   WHERE name > $1
   ORDER BY name
   LIMIT $2`,
);

export async function findRepository(database: Queryable, name: string): Promise<Repository | undefined> {
  const [row] = await database.query<Repository>(find, [name]);
  return row;
}

export async function findPrefix(database: Queryable, name: string): Promise<Prefix | undefined> {
  const [row] = await database.query<Prefix>(prefix, [prefixOf(name)]);
  return row;
}

/**
 * The own repository of this name, made with its prefix when it is the first push; it stays an own one until the transaction ends. Returns the prefix instead when an Upstream has it
 * (or had: `retired`). Each statement sees what the one before waited for, so of two who claim a prefix at once one is refused.
 */
export async function findOrCreateOwnRepository(
  transaction: Queryable,
  name: string,
): Promise<{ readonly repository: Repository } | { readonly taken: Prefix }> {
  const [known] = await transaction.query<Repository>(hold, [name]);
  if (known === undefined) {
    await transaction.execute(claim, [prefixOf(name)]);
    const owner = await findPrefix(transaction, name);
    if (owner !== undefined && owner.kind !== "own") return { taken: owner };
    await transaction.execute(insert, [name]);
    return findOrCreateOwnRepository(transaction, name);
  }
  if (known.upstream !== null) return { taken: { kind: "proxied", upstream: known.upstream } };
  return { repository: known };
}

/** Bytewise sorted; `after` is exclusive. */
export async function listRepositories(
  database: Queryable,
  page: { readonly after?: string; readonly limit: number },
): Promise<Repository[]> {
  return database.query<Repository>(list, [page.after ?? "", page.limit]);
}
