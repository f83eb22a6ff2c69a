// Tags of proxied repositories: what upstream last said, when, and what the ledger says instead.

import type { Digest } from "../../domain/digest.ts";
import { statement, type Database, type Queryable } from "./database.ts";
import { noteTagEvents } from "./tags.ts";

export interface ProxiedTag {
  /** The ledger's digest: a published version tag wins over upstream's tag of the same name. */
  readonly version: Digest | null;
  /** What upstream said last. */
  readonly digest: Digest | null;
  /** Milliseconds since upstream confirmed it; null: it counts as never confirmed. */
  readonly age: number | null;
}

const find = statement(
  "proxy-tag-find",
  `SELECT l.digest AS version, t.digest, (extract(epoch FROM now() - t.checked_at) * 1000)::float8 AS age
   FROM repositories r
   LEFT JOIN tags t ON t.repository = r.id AND t.name = $2
   LEFT JOIN ledger l ON l.repository = r.id AND l.tag = $2
   WHERE r.name = $1 AND r.upstream IS NOT NULL`,
);
const confirm = statement(
  "proxy-tag-confirm",
  `UPDATE tags SET checked_at = now() FROM repositories r
   WHERE r.id = tags.repository AND r.name = $1 AND tags.name = $2 AND tags.digest = $3`,
);
const lock = statement("proxy-tag-lock", `SELECT digest FROM tags WHERE repository = $1 AND name = $2 FOR UPDATE`);
const move = statement(
  "proxy-tag-move",
  `INSERT INTO tags (repository, name, digest, checked_at) VALUES ($1, $2, $3, now())
   ON CONFLICT (repository, name) DO UPDATE SET digest = excluded.digest, checked_at = excluded.checked_at,
     updated_at = CASE WHEN tags.digest = excluded.digest THEN tags.updated_at ELSE now() END`,
);
const drop = statement(
  "proxy-tag-drop",
  `WITH gone AS (
     DELETE FROM tags USING repositories r WHERE r.id = tags.repository AND r.name = $1 AND tags.name = $2
     RETURNING tags.repository, tags.name, tags.digest
   )
   INSERT INTO tag_events (repository, name, digest, previous, by) SELECT repository, name, NULL, digest, $3 FROM gone`,
);
const listTags = statement(
  "proxy-tag-list",
  `SELECT t.name FROM tags t JOIN repositories r ON r.id = t.repository WHERE r.name = $1 AND r.upstream IS NOT NULL`,
);
const listVersions = statement(
  "proxy-tag-versions",
  `SELECT l.tag AS name FROM ledger l JOIN repositories r ON r.id = l.repository WHERE r.name = $1 AND r.upstream IS NOT NULL`,
);

export async function findProxiedTag(database: Queryable, repository: string, tag: string): Promise<ProxiedTag> {
  const [row] = await database.query<ProxiedTag>(find, [repository, tag]);
  return row ?? { version: null, digest: null, age: null };
}

/** Upstream said again that the tag points at `digest`. False: it points elsewhere meanwhile. */
export async function confirmProxiedTag(database: Queryable, repository: string, tag: string, digest: Digest): Promise<boolean> {
  return (await database.execute(confirm, [repository, tag, digest])) > 0;
}

/** Points the tag at a manifest that is stored, and writes history when it moved. Run it in a transaction. True: it pointed elsewhere. */
export async function moveProxiedTag(database: Queryable, repository: number, tag: string, digest: Digest, by: string): Promise<boolean> {
  const [before] = await database.query<{ digest: Digest }>(lock, [repository, tag]);
  await database.execute(move, [repository, tag, digest]);
  if (before?.digest !== digest) await noteTagEvents(database, repository, [{ name: tag, digest, previous: before?.digest ?? null }], by);
  return before !== undefined && before.digest !== digest;
}

/** Upstream has the tag no longer. What it pointed at stays readable by digest. */
export async function dropProxiedTag(database: Database, repository: string, tag: string, by: string): Promise<void> {
  await database.transaction((transaction) => transaction.execute(drop, [repository, tag, by]), { takesAway: true });
}

export async function listProxiedTags(database: Queryable, repository: string): Promise<string[]> {
  return (await database.query<{ name: string }>(listTags, [repository])).map(({ name }) => name);
}

export async function listVersionTags(database: Queryable, repository: string): Promise<string[]> {
  return (await database.query<{ name: string }>(listVersions, [repository])).map(({ name }) => name);
}
