// What a retention plan asks of the database, in sets: one statement for each kind of fact of one repository (design: retention.md).

import type { Digest } from "../../domain/digest.ts";
import { statement, type Database, type Queryable } from "./database.ts";
import { planByIndex } from "./steady-plans.ts";

/** Times are epoch milliseconds: a plan reads many of them. */
export interface TagRow {
  readonly name: string;
  readonly digest: Digest;
  readonly pushedAt: number;
}

export interface ManifestRow {
  readonly digest: Digest;
  readonly subject: Digest | null;
  readonly pushedAt: number;
  readonly untaggedSince: number | null;
  readonly keepUntil: number;
}

export interface Clock {
  readonly now: number;
  /** Since when this database exists: no pull was counted before. */
  readonly installedAt: number;
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
const epoch = (time: string) => `floor(extract(epoch FROM ${time}) * 1000)::float8`;
const clock = statement("retention-clock", `SELECT ${epoch("now()")} AS now, ${epoch("created_at")} AS "installedAt" FROM installation`);
// A push of a digest that is here moves no tag, but it is a push: the later of the two times counts.
const ownTags = statement(
  "retention-own-tags",
  `SELECT t.name, t.digest, ${epoch("greatest(t.updated_at, m.pushed_at)")} AS "pushedAt"
   FROM tags t
   JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest
   WHERE t.repository = $1`,
);
const manifestColumns = `m.digest, m.subject, ${epoch("m.pushed_at")} AS "pushedAt", ${epoch("m.untagged_since")} AS "untaggedSince",
     ${epoch("m.keep_until")} AS "keepUntil"`;
const ownManifests = statement(
  "retention-own-manifests",
  `SELECT ${manifestColumns} FROM manifests m WHERE m.repository = $1 ORDER BY m.digest`,
);
const children = statement(
  "retention-children",
  "SELECT manifest, child FROM manifest_children WHERE repository = $1 ORDER BY manifest, child",
);
const pulls = statement(
  "retention-pulls",
  `SELECT digest, ${epoch("max(last_at)")} AS "lastAt" FROM pulls WHERE repository = $1 GROUP BY digest`,
);
const versions = statement(
  "retention-versions",
  `SELECT tag AS name, digest, ${epoch("updated_at")} AS "pushedAt" FROM ledger WHERE repository = $1`,
);
// Of cached content only what version tags name: whose pulls count for them.
const versionManifests = statement(
  "retention-version-manifests",
  `WITH named AS (SELECT DISTINCT digest FROM ledger WHERE repository = $1)
   SELECT ${manifestColumns}
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
const blobsOf = statement(
  "retention-blobs-of",
  `SELECT DISTINCT n.digest, b.size FROM manifest_blobs n JOIN blobs b ON b.digest = n.digest
   WHERE n.repository = $1 AND n.manifest = ANY($2)`,
);
// Asked for each blob: as NOT EXISTS it would be joined with everything that any repository holds.
const freed = statement(
  "retention-freed",
  `SELECT coalesce(sum(gone.size), 0)::bigint AS bytes
   FROM unnest($1::text[], $2::bigint[]) AS gone (digest, size)
   WHERE (SELECT true FROM repository_blobs l
          JOIN manifest_blobs n ON n.repository = l.repository AND n.digest = l.digest
          WHERE l.digest = gone.digest LIMIT 1) IS NULL`,
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
  const rows = await database.query<{ manifest: Digest; child: Digest }>(children, [repositoryId]);
  const found = new Map<Digest, Digest[]>();
  for (const { manifest, child } of rows) {
    const named = found.get(manifest);
    if (named === undefined) found.set(manifest, [child]);
    else named.push(child);
  }
  return found;
}

/** Digest → its last pull, by whatever name. */
export async function readPulls(database: Queryable, repositoryId: number): Promise<ReadonlyMap<Digest, number>> {
  const rows = await database.query<{ digest: Digest; lastAt: number }>(pulls, [repositoryId]);
  return new Map(rows.map(({ digest, lastAt }) => [digest, lastAt]));
}

/** Those of `digests` that were here once. */
export async function readDeparted(database: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<ReadonlySet<Digest>> {
  if (digests.length === 0) return new Set();
  const rows = await database.query<{ digest: Digest }>(departed, [repositoryId, digests]);
  return new Set(rows.map(({ digest }) => digest));
}

export interface SizedBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** Those of `manifests` that are stored, each once. */
export async function readBlobsOf(database: Queryable, repositoryId: number, manifests: readonly Digest[]): Promise<SizedBlob[]> {
  return manifests.length === 0 ? [] : database.query<SizedBlob>(blobsOf, [repositoryId, manifests]);
}

/** Bytes of those of `blobs` that no manifest anywhere needs now, collected by now or not. In a transaction of its own, which locks nothing. */
export function readFreedBytes(database: Pick<Database, "transaction">, blobs: readonly SizedBlob[]): Promise<number> {
  if (blobs.length === 0) return Promise.resolve(0);
  return database.transaction(
    async (transaction) => {
      await planByIndex(transaction);
      const values = [blobs.map(({ digest }) => digest), blobs.map(({ size }) => size)];
      const [row] = await transaction.query<{ bytes: number }>(freed, values);
      return row?.bytes ?? 0;
    },
    { repeatable: true },
  );
}

/** Starts the time of untagged manifests for which it does not run yet. */
export async function noteUntaggedManifests(database: Queryable, repositoryIds: readonly number[]): Promise<void> {
  await database.execute(noteUntagged, [repositoryIds]);
}
