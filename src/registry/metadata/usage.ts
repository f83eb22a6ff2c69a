// Bytes and counts of repositories, and of the installation: what is named, what is stored once, what could come free.

import type { StorageUsage } from "../../api/control/contents.ts";
import { statement, type Queryable } from "./database.ts";

export interface RepositoryUsage {
  readonly name: string;
  readonly kind: "own" | "proxied";
  /** Version tags of a proxied repository count with what is cached. */
  readonly tags: number;
  readonly manifests: number;
  /** Of the blobs that the repository has, each once, shared with other repositories or not, and of its manifests, also of those in its trash: what its limit is about. */
  readonly bytes: number;
}

const repositories = statement(
  "usage-repositories",
  `SELECT r.name, CASE WHEN r.upstream IS NULL THEN 'own' ELSE 'proxied' END AS kind,
     (SELECT count(*) FROM tags t WHERE t.repository = r.id)
       + (SELECT count(*) FROM ledger l
          WHERE l.repository = r.id AND NOT EXISTS (SELECT FROM tags t WHERE t.repository = r.id AND t.name = l.tag)) AS tags,
     (SELECT count(*) FROM manifests m WHERE m.repository = r.id) AS manifests,
     (SELECT coalesce(sum(u.bytes), 0)::bigint FROM repository_usage u WHERE u.repository = r.id) AS bytes
   FROM repositories r
   WHERE r.name > $1
   ORDER BY r.name
   LIMIT $2`,
);
const storage = statement(
  "usage-storage",
  `SELECT
     (SELECT coalesce(sum(size), 0)::bigint FROM blobs) AS stored,
     (SELECT coalesce(sum(b.size), 0)::bigint FROM repository_blobs l JOIN blobs b ON b.digest = l.digest) AS named,
     (SELECT coalesce(sum(b.size), 0)::bigint FROM blobs b
      WHERE NOT EXISTS (
        SELECT FROM repository_blobs l JOIN manifest_blobs n ON n.repository = l.repository AND n.digest = l.digest
        WHERE l.digest = b.digest)) AS unreferenced,
     (SELECT coalesce(sum(size), 0)::bigint FROM objects WHERE state = 'doomed') AS doomed`,
);

const turn = statement("usage-turn", "SELECT pg_advisory_xact_lock(hashtextextended('usage of ' || $1::bigint, 0))");
// A few rows, however much the repository has (0010-repository-usage.sql).
const ofRepository = statement(
  "usage-of-repository",
  `SELECT coalesce(sum(bytes), 0)::bigint AS used,
     coalesce(sum(bytes) FILTER (WHERE xid = pg_current_xact_id_if_assigned()), 0)::bigint AS grown
   FROM repository_usage
   WHERE repository = $1`,
);

const beforeUpload = statement(
  "usage-before-upload",
  `SELECT
     (SELECT coalesce(sum(u.bytes), 0)::bigint FROM repository_usage u JOIN repositories r ON r.id = u.repository WHERE r.name = $1) AS used,
     (SELECT coalesce(sum("offset"), 0)::bigint FROM uploads WHERE repository = $1 AND expires_at > now()) AS unfinished`,
);

/** Until the end of the transaction nobody else decides whether there is room in this repository. Nothing else is locked after it. */
export async function takeTurnOnUsage(transaction: Queryable, repositoryId: number): Promise<void> {
  await transaction.query(turn, [repositoryId]);
}

/** Bytes, and those of them that this transaction brought. */
export async function readUsage(database: Queryable, repositoryId: number): Promise<{ readonly used: number; readonly grown: number }> {
  const [row] = await database.query<{ used: number; grown: number }>(ofRepository, [repositoryId]);
  return row!;
}

/** Bytes of a repository, which need not exist, and of its open upload sessions: as far as requests that ended have brought them. */
export async function readUploadUsage(
  database: Queryable,
  repository: string,
): Promise<{ readonly used: number; readonly unfinished: number }> {
  const [row] = await database.query<{ used: number; unfinished: number }>(beforeUpload, [repository]);
  return row!;
}

/** Bytewise sorted; `after` is exclusive. */
export async function listRepositoryUsage(
  database: Queryable,
  page: { readonly after: string; readonly limit: number },
): Promise<RepositoryUsage[]> {
  return database.query<RepositoryUsage>(repositories, [page.after, page.limit]);
}

export async function readStorageUsage(database: Queryable): Promise<StorageUsage> {
  const [row] = await database.query<StorageUsage>(storage);
  if (row === undefined) throw new Error("a query without FROM returned no row");
  return row;
}
