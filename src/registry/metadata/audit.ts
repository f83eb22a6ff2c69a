// Questions of the audit: what in the database contradicts the invariants of storage.md. Each answer is one statement, so one snapshot; plain
// SELECTs block nobody. In a healthy installation every `find…` answers nothing.

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

/** Rows of one question: of one kind more says nothing more. Who gets so many knows that there may be others. */
export const mostContradictions = 1_000;
const most = mostContradictions;

export interface AuditCounts {
  readonly repositories: number;
  readonly manifests: number;
  readonly blobs: number;
  readonly bytes: number;
}

export interface ObjectRow {
  readonly key: string;
  readonly state: "uploading" | "live" | "doomed" | "swept";
  readonly size: number | null;
  /** The blob whose bytes these are. */
  readonly digest: Digest | null;
  /** The blob is a copy of an Upstream's. */
  readonly cached: boolean | null;
}

export interface BlobRow {
  readonly digest: Digest;
  readonly size: number;
  readonly key: string;
  /** It is a copy of an Upstream's. */
  readonly cached: boolean;
}

export interface AuditedManifest {
  readonly repositoryId: number;
  readonly repository: string;
  readonly own: boolean;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
  readonly subject: Digest | null;
  readonly artifactType: string | null;
  readonly blobs: readonly Digest[];
  readonly heldBlobs: readonly Digest[];
  /** Those that it held until their bytes were let go, of an own repository. */
  readonly lostBlobs: readonly Digest[];
  /** Those that the repository has. */
  readonly linkedBlobs: readonly Digest[];
  readonly children: readonly Digest[];
}

export interface Contradiction {
  readonly subject: string;
  readonly message: string;
}

const counts = statement(
  "audit-counts",
  `SELECT (SELECT count(*) FROM repositories) AS repositories, (SELECT count(*) FROM manifests) AS manifests,
     (SELECT count(*) FROM blobs) AS blobs, (SELECT coalesce(sum(size), 0)::bigint FROM blobs) AS bytes`,
);
const objectColumns = "o.key, o.state, o.size, b.digest, b.cached";
const objectsByKey = statement(
  "audit-objects-by-key",
  `SELECT ${objectColumns} FROM objects o LEFT JOIN blobs b ON b.object_key = o.key WHERE o.key = ANY($1)`,
);
const liveObjects = statement(
  "audit-live-objects",
  `SELECT ${objectColumns} FROM objects o LEFT JOIN blobs b ON b.object_key = o.key
   WHERE o.state = 'live' AND o.key > $1
   ORDER BY o.key
   LIMIT $2`,
);
const blobs = statement(
  "audit-blobs",
  `SELECT digest, size, object_key AS key, cached FROM blobs WHERE digest > $1 ORDER BY digest LIMIT $2`,
);
const blob = statement("audit-blob", `SELECT digest, size, object_key AS key, cached FROM blobs WHERE digest = $1`);
const manifestColumns = `m.repository AS "repositoryId", r.name AS repository, r.upstream IS NULL AS own, m.digest, m.media_type AS "mediaType",
     m.bytes, m.subject, m.artifact_type AS "artifactType",
     ARRAY(SELECT digest FROM manifest_blobs n WHERE n.repository = m.repository AND n.manifest = m.digest ORDER BY digest) AS blobs,
     ARRAY(SELECT held FROM manifest_blobs n WHERE n.repository = m.repository AND n.manifest = m.digest AND held IS NOT NULL ORDER BY held) AS "heldBlobs",
     ARRAY(
       SELECT digest FROM manifest_blobs n
       WHERE n.repository = m.repository AND n.manifest = m.digest AND n.held IS NULL AND n.once_held AND r.upstream IS NULL
       ORDER BY digest
     ) AS "lostBlobs",
     ARRAY(
       SELECT n.digest FROM manifest_blobs n JOIN repository_blobs l ON l.repository = n.repository AND l.digest = n.digest
       WHERE n.repository = m.repository AND n.manifest = m.digest
       ORDER BY n.digest
     ) AS "linkedBlobs",
     ARRAY(SELECT child FROM manifest_children c WHERE c.repository = m.repository AND c.manifest = m.digest ORDER BY child) AS children
   FROM manifests m JOIN repositories r ON r.id = m.repository`;
const manifests = statement(
  "audit-manifests",
  `SELECT ${manifestColumns} WHERE (m.repository, m.digest) > ($1, $2) ORDER BY m.repository, m.digest LIMIT $3`,
);
const manifest = statement("audit-manifest", `SELECT ${manifestColumns} WHERE m.repository = $1 AND m.digest = $2`);

// Invariant 1. Foreign keys forbid all of this; an audit believes no constraint.
const lostTags = statement(
  "audit-lost-tags",
  `SELECT r.name || ':' || t.name AS subject, 'points at ' || t.digest || ', which is not here' AS message
   FROM tags t JOIN repositories r ON r.id = t.repository
   WHERE NOT EXISTS (SELECT FROM manifests m WHERE m.repository = t.repository AND m.digest = t.digest)
   ORDER BY 1 LIMIT ${most}`,
);
const lostVersions = statement(
  "audit-lost-versions",
  `SELECT r.name || ':' || l.tag AS subject, 'is a copied version of ' || l.held || ', which is not here' AS message
   FROM ledger l JOIN repositories r ON r.id = l.repository
   WHERE l.held IS NOT NULL AND NOT EXISTS (SELECT FROM manifests m WHERE m.repository = l.repository AND m.digest = l.held)
   ORDER BY 1 LIMIT ${most}`,
);
const lostChildren = statement(
  "audit-lost-children",
  `SELECT r.name || '@' || c.manifest AS subject, 'holds the manifest ' || c.held || ', which is not here' AS message
   FROM manifest_children c JOIN repositories r ON r.id = c.repository
   WHERE c.held IS NOT NULL AND NOT EXISTS (SELECT FROM manifests m WHERE m.repository = c.repository AND m.digest = c.held)
   ORDER BY 1 LIMIT ${most}`,
);
const lostBlobs = statement(
  "audit-lost-blobs",
  `SELECT r.name || '@' || n.manifest AS subject, 'holds the blob ' || n.held || ', which the repository does not have' AS message
   FROM manifest_blobs n JOIN repositories r ON r.id = n.repository
   WHERE n.held IS NOT NULL AND NOT EXISTS (SELECT FROM repository_blobs l WHERE l.repository = n.repository AND l.digest = n.held)
   ORDER BY 1 LIMIT ${most}`,
);
// `audit --adopt` let go of them (forget-copy.ts), so that they are no row's word against another's: only this still says that they were pushed. Also
// where layers may be absent: these were not. Of a cached image nothing is lost: upstream has it.
const lostBytes = statement(
  "audit-lost-bytes",
  `SELECT r.name || '@' || n.manifest AS subject, 'lost the bytes of ' || n.digest || '; import the image again, or push it with docker, podman or skopeo' AS message
   FROM manifest_blobs n JOIN repositories r ON r.id = n.repository
   WHERE n.held IS NULL AND n.once_held AND r.upstream IS NULL
   ORDER BY 1, 2 LIMIT ${most}`,
);
const lostLinks = statement(
  "audit-lost-links",
  `SELECT r.name || '@' || l.digest AS subject, 'is a blob of the repository, and its bytes are not here' AS message
   FROM repository_blobs l JOIN repositories r ON r.id = l.repository
   WHERE NOT EXISTS (SELECT FROM blobs b WHERE b.digest = l.digest)
   ORDER BY 1 LIMIT ${most}`,
);
const orphanRows = statement(
  "audit-orphan-rows",
  `SELECT r.name || '@' || n.manifest AS subject, 'is not here, and still names ' || n.digest AS message
   FROM (SELECT repository, manifest, digest FROM manifest_blobs UNION ALL SELECT repository, manifest, child FROM manifest_children) n
   JOIN repositories r ON r.id = n.repository
   WHERE NOT EXISTS (SELECT FROM manifests m WHERE m.repository = n.repository AND m.digest = n.manifest)
   ORDER BY 1 LIMIT ${most}`,
);
const deadBlobs = statement(
  "audit-dead-blobs",
  `SELECT b.digest AS subject, 'has its bytes under ' || b.object_key || ', which is ' || coalesce(o.state, 'unknown') AS message
   FROM blobs b LEFT JOIN objects o ON o.key = b.object_key
   WHERE o.state IS DISTINCT FROM 'live'
   ORDER BY 1 LIMIT ${most}`,
);
// Invariant 3.
const doubleContents = statement(
  "audit-double-contents",
  `SELECT digest AS subject, 'is a manifest with ' || count(DISTINCT sha256(bytes)) || ' different contents' AS message
   FROM manifests
   WHERE digest IN (SELECT digest FROM manifests GROUP BY digest HAVING count(*) > 1)
   GROUP BY digest HAVING count(DISTINCT sha256(bytes)) > 1
   ORDER BY 1 LIMIT ${most}`,
);
// Invariant 5.
const sizes = statement(
  "audit-sizes",
  `SELECT b.digest AS subject, 'has ' || b.size || ' bytes, and its object ' || o.key || ' ' || coalesce(o.size::text, 'none') AS message
   FROM blobs b JOIN objects o ON o.key = b.object_key
   WHERE o.size IS DISTINCT FROM b.size
   ORDER BY 1 LIMIT ${most}`,
);
// Limits go by the first of the two sums, which triggers keep.
const sums = `FROM repositories r, LATERAL (
     SELECT
       (SELECT coalesce(sum(u.bytes), 0)::bigint FROM repository_usage u WHERE u.repository = r.id) AS counted,
       (SELECT coalesce(sum(b.size), 0)::bigint FROM repository_blobs l JOIN blobs b ON b.digest = l.digest WHERE l.repository = r.id)
         + (SELECT coalesce(sum(length(m.bytes)), 0)::bigint FROM manifests m WHERE m.repository = r.id)
         + (SELECT coalesce(sum(length(t.bytes)), 0)::bigint FROM trash t WHERE t.repository = r.id) AS held
     OFFSET 0
   ) summed`;
const usage = statement(
  "audit-usage",
  `SELECT r.name AS subject,
     'is counted with ' || abs(counted - held) || ' bytes ' || CASE WHEN counted > held THEN 'more' ELSE 'less' END || ' than it holds' AS message
   ${sums}
   WHERE counted <> held
   ORDER BY 1 LIMIT ${most}`,
);
const countAgain = statement(
  "audit-count-again",
  `INSERT INTO repository_usage (repository, bytes) SELECT r.id, held - counted ${sums} WHERE r.name = $1 AND counted <> held`,
);
// Invariant 6: the rows that pulls read say what the published ledger says, and nothing else.
const versions = statement(
  "audit-versions",
  `SELECT r.name || ':' || coalesce(served.tag, written.key) AS subject,
     CASE WHEN written.key IS NULL THEN 'is served as a version, and the published ledger does not have it'
          WHEN served.tag IS NULL THEN 'is in the published ledger, and is not served'
          ELSE 'is served as ' || served.digest || ', and the published ledger says ' || written.value END AS message
   FROM ledger served
   FULL JOIN (SELECT l.repository, t.key, t.value FROM ledgers l, jsonb_each_text(l.document->'tags') t) written
     ON written.repository = served.repository AND written.key = served.tag
   JOIN repositories r ON r.id = coalesce(served.repository, written.repository)
   WHERE served.digest IS DISTINCT FROM written.value
   ORDER BY 1 LIMIT ${most}`,
);

/** Each question with the number of its invariant and what it looks at. */
export const questions = [
  { invariant: 1, step: "tags", ask: lostTags },
  { invariant: 1, step: "versions", ask: lostVersions },
  { invariant: 1, step: "children", ask: lostChildren },
  { invariant: 1, step: "references", ask: lostBlobs },
  { invariant: 1, step: "bytes", ask: lostBytes },
  { invariant: 1, step: "links", ask: lostLinks },
  { invariant: 1, step: "orphans", ask: orphanRows },
  { invariant: 1, step: "blobs", ask: deadBlobs },
  { invariant: 3, step: "contents", ask: doubleContents },
  { invariant: 5, step: "sizes", ask: sizes },
  { invariant: 5, step: "usage", ask: usage },
  { invariant: 6, step: "ledgers", ask: versions },
] as const;

export async function findContradictions(database: Queryable, question: (typeof questions)[number]): Promise<Contradiction[]> {
  return database.query<Contradiction>(question.ask);
}

/**
 * Adds what is missing in the count of a repository, or takes away what is too much, as a row of its own. Two at once would both: the caller has
 * the turn on its usage (usage.ts).
 */
export async function countUsageAgain(transaction: Queryable, repository: string): Promise<void> {
  await transaction.execute(countAgain, [repository]);
}

export async function readAuditCounts(database: Queryable): Promise<AuditCounts> {
  const [row] = await database.query<AuditCounts>(counts);
  return row ?? { repositories: 0, manifests: 0, blobs: 0, bytes: 0 };
}

/** What the database knows of these keys. */
export async function findObjects(database: Queryable, keys: readonly string[]): Promise<ReadonlyMap<string, ObjectRow>> {
  const rows = await database.query<ObjectRow>(objectsByKey, [keys]);
  return new Map(rows.map((row) => [row.key, row]));
}

/** In the order of their keys; `after` is exclusive. */
export async function listLiveObjects(database: Queryable, page: { readonly after: string; readonly limit: number }): Promise<ObjectRow[]> {
  return database.query<ObjectRow>(liveObjects, [page.after, page.limit]);
}

/** In digest order; `after` is exclusive. */
export async function listBlobs(database: Queryable, page: { readonly after: string; readonly limit: number }): Promise<BlobRow[]> {
  return database.query<BlobRow>(blobs, [page.after, page.limit]);
}

export async function findBlobRow(database: Queryable, digest: Digest): Promise<BlobRow | undefined> {
  const [row] = await database.query<BlobRow>(blob, [digest]);
  return row;
}

/** Manifests with what the tables say they name, each in one snapshot. */
export async function listManifests(
  database: Queryable,
  page: { readonly after: { readonly repositoryId: number; readonly digest: string }; readonly limit: number },
): Promise<AuditedManifest[]> {
  return database.query<AuditedManifest>(manifests, [page.after.repositoryId, page.after.digest, page.limit]);
}

export async function findManifestToAudit(database: Queryable, repositoryId: number, digest: Digest): Promise<AuditedManifest | undefined> {
  const [row] = await database.query<AuditedManifest>(manifest, [repositoryId, digest]);
  return row;
}
