// What a retention plan asks of the database, in sets: one statement for each kind of fact of one repository (design: retention.md).

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface TagRow {
  readonly name: string;
  readonly digest: Digest;
  readonly pushedAt: Date;
}

export interface ManifestRow {
  readonly digest: Digest;
  readonly subject: Digest | null;
  readonly pushedAt: Date;
  readonly untaggedSince: Date | null;
  readonly keepUntil: Date;
}

export interface ManifestParts {
  readonly manifest: Digest;
  readonly children: readonly Digest[];
}

export interface ManifestBlobs {
  readonly manifest: Digest;
  readonly digests: readonly Digest[];
  /** Bytes, beside `digests`. */
  readonly sizes: readonly string[];
}

export interface Clock {
  readonly now: Date;
  /** Since when this database exists: no pull was counted before. */
  readonly installedAt: Date;
}

export interface RefusedPolicy {
  readonly namespace: string;
  readonly name: string;
  readonly message: string;
}

const refusedPolicies = statement(
  "retention-refused-policies",
  `SELECT refused->>'namespace' AS namespace, refused->>'name' AS name, refused->>'message' AS message
   FROM record, jsonb_array_elements(coalesce(document->'refused', '[]')) AS refused
   WHERE refused->>'kind' = 'RetentionPolicy'`,
);
const clock = statement("retention-clock", `SELECT now() AS now, created_at AS "installedAt" FROM installation`);
// A push of a digest that is here moves no tag, but it is a push: the later of the two times counts.
const ownTags = statement(
  "retention-own-tags",
  `SELECT t.name, t.digest, greatest(t.updated_at, m.pushed_at) AS "pushedAt"
   FROM tags t
   JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest
   WHERE t.repository = $1`,
);
const ownManifests = statement(
  "retention-own-manifests",
  `SELECT digest, subject, pushed_at AS "pushedAt", untagged_since AS "untaggedSince", keep_until AS "keepUntil"
   FROM manifests WHERE repository = $1`,
);
const children = statement(
  "retention-children",
  "SELECT manifest, array_agg(child ORDER BY child) AS children FROM manifest_children WHERE repository = $1 GROUP BY manifest",
);
const blobs = statement(
  "retention-blobs",
  `SELECT manifest, array_agg(digest ORDER BY digest) AS digests, array_agg(size::text ORDER BY digest) AS sizes
   FROM manifest_blobs WHERE repository = $1 GROUP BY manifest`,
);
const pulls = statement("retention-pulls", `SELECT digest, max(last_at) AS "lastAt" FROM pulls WHERE repository = $1 GROUP BY digest`);
const versions = statement("retention-versions", `SELECT tag AS name, digest, updated_at AS "pushedAt" FROM ledger WHERE repository = $1`);
// Of cached content only what version tags name: whose pulls count for them.
const versionManifests = statement(
  "retention-version-manifests",
  `WITH named AS (SELECT DISTINCT digest FROM ledger WHERE repository = $1)
   SELECT m.digest, m.subject, m.pushed_at AS "pushedAt", m.untagged_since AS "untaggedSince", m.keep_until AS "keepUntil"
   FROM manifests m
   WHERE m.repository = $1
     AND (m.digest IN (SELECT digest FROM named)
       OR m.digest IN (SELECT c.child FROM manifest_children c JOIN named ON named.digest = c.manifest WHERE c.repository = $1))`,
);
// What was here once: something that can be restored, or a tag that pointed there.
const departed = statement(
  "retention-departed",
  `SELECT digest FROM unnest($2::text[]) AS digest
   WHERE EXISTS (SELECT FROM trash t WHERE t.repository = $1 AND t.digest = digest.digest)
      OR EXISTS (SELECT FROM tag_events e WHERE e.repository = $1 AND (e.digest = digest.digest OR e.previous = digest.digest))`,
);
// A link alone is a right that runs out; a blob is held elsewhere where a manifest of a repository that has it names it.
const heldElsewhere = statement(
  "retention-held-elsewhere",
  `SELECT DISTINCT ours.digest
   FROM repository_blobs ours
   JOIN repository_blobs theirs ON theirs.digest = ours.digest AND theirs.repository <> ALL($1::bigint[])
   WHERE ours.repository = ANY($1::bigint[])
     AND EXISTS (SELECT FROM manifest_blobs n WHERE n.repository = theirs.repository AND n.digest = theirs.digest)`,
);
const freed = statement(
  "retention-freed",
  `SELECT coalesce(sum(b.size), 0)::bigint AS bytes
   FROM blobs b
   WHERE b.digest = ANY($1)
     AND NOT EXISTS (
       SELECT FROM repository_blobs l
       JOIN manifest_blobs n ON n.repository = l.repository AND n.digest = l.digest
       WHERE l.digest = b.digest)`,
);
// Referrers belong to their subject, also to one that is not here yet; to one that was deleted they belong no more.
const noteUntagged = statement(
  "retention-note-untagged",
  `UPDATE manifests m SET untagged_since = now()
   WHERE m.repository = ANY($1::bigint[]) AND m.untagged_since IS NULL
     AND NOT EXISTS (SELECT FROM tags t WHERE t.repository = m.repository AND t.digest = m.digest)
     AND NOT EXISTS (SELECT FROM manifest_children c WHERE c.repository = m.repository AND c.child = m.digest)
     AND (m.subject IS NULL
       OR (NOT EXISTS (SELECT FROM manifests s WHERE s.repository = m.repository AND s.digest = m.subject)
         AND (EXISTS (SELECT FROM trash t WHERE t.repository = m.repository AND t.digest = m.subject)
           OR EXISTS (SELECT FROM tag_events e WHERE e.repository = m.repository AND (e.digest = m.subject OR e.previous = m.subject)))))`,
);

export async function readClock(database: Queryable): Promise<Clock> {
  const [row] = await database.query<Clock>(clock);
  if (row === undefined) throw new Error("the table installation is empty");
  return row;
}

/** RetentionPolicies of the published revision that this release could not take over. */
export async function readRefusedPolicies(database: Queryable): Promise<RefusedPolicy[]> {
  return database.query<RefusedPolicy>(refusedPolicies);
}

export async function readOwnTags(database: Queryable, repositoryId: number): Promise<TagRow[]> {
  return database.query<TagRow>(ownTags, [repositoryId]);
}

export async function readOwnManifests(database: Queryable, repositoryId: number): Promise<ManifestRow[]> {
  return database.query<ManifestRow>(ownManifests, [repositoryId]);
}

/** Version tags of a proxied repository, as they were published. */
export async function readVersions(database: Queryable, repositoryId: number): Promise<TagRow[]> {
  return database.query<TagRow>(versions, [repositoryId]);
}

/** Manifests that version tags name, and their children. */
export async function readVersionManifests(database: Queryable, repositoryId: number): Promise<ManifestRow[]> {
  return database.query<ManifestRow>(versionManifests, [repositoryId]);
}

export async function readChildren(database: Queryable, repositoryId: number): Promise<ReadonlyMap<Digest, readonly Digest[]>> {
  const rows = await database.query<ManifestParts>(children, [repositoryId]);
  return new Map(rows.map((row) => [row.manifest, row.children]));
}

export async function readBlobs(
  database: Queryable,
  repositoryId: number,
): Promise<ReadonlyMap<Digest, readonly { readonly digest: Digest; readonly size: number }[]>> {
  const rows = await database.query<ManifestBlobs>(blobs, [repositoryId]);
  return new Map(
    rows.map(({ manifest, digests, sizes }) => [manifest, digests.map((digest, index) => ({ digest, size: Number(sizes[index]) }))]),
  );
}

/** Digest → its last pull, by whatever name. */
export async function readPulls(database: Queryable, repositoryId: number): Promise<ReadonlyMap<Digest, Date>> {
  const rows = await database.query<{ digest: Digest; lastAt: Date }>(pulls, [repositoryId]);
  return new Map(rows.map(({ digest, lastAt }) => [digest, lastAt]));
}

/** Those of `digests` that were here once. */
export async function readDeparted(database: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<ReadonlySet<Digest>> {
  if (digests.length === 0) return new Set();
  const rows = await database.query<{ digest: Digest }>(departed, [repositoryId, digests]);
  return new Set(rows.map(({ digest }) => digest));
}

/** Blobs of these repositories that manifests of other repositories hold too. */
export async function readHeldElsewhere(database: Queryable, repositoryIds: readonly number[]): Promise<ReadonlySet<Digest>> {
  const rows = await database.query<{ digest: Digest }>(heldElsewhere, [repositoryIds]);
  return new Set(rows.map(({ digest }) => digest));
}

/** Bytes of those of `digests` that no manifest anywhere needs now. */
export async function readFreedBytes(database: Queryable, digests: readonly Digest[]): Promise<number> {
  if (digests.length === 0) return 0;
  const [row] = await database.query<{ bytes: number }>(freed, [digests]);
  return row?.bytes ?? 0;
}

/** Starts the time of untagged manifests for which it does not run yet. */
export async function noteUntaggedManifests(database: Queryable, repositoryIds: readonly number[]): Promise<void> {
  await database.execute(noteUntagged, [repositoryIds]);
}
