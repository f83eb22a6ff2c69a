// Published versions: the ledger of an image, whole and as rows that a pull can find (design: storage.md, Schema; tag-sync, "The ledger").

import type { Digest } from "../../domain/digest.ts";
import type { Ledger } from "../../domain/ledger.ts";
import { statement, type Queryable } from "./database.ts";

export interface PublishedLedger {
  readonly ledger: Ledger;
  /** The commit that last changed it. */
  readonly revision: string;
  /** The commit that brought each build, by its digest. */
  readonly commits: Readonly<Record<string, string>>;
}

export interface VersionTag {
  readonly tag: string;
  readonly digest: Digest;
}

const find = statement(
  "version-ledger",
  `SELECT l.document AS ledger, l.revision, l.commits FROM ledgers l JOIN repositories r ON r.id = l.repository WHERE r.name = $1`,
);
const list = statement("version-ledgers", `SELECT r.name FROM ledgers l JOIN repositories r ON r.id = l.repository ORDER BY r.name`);
const storeDocument = statement(
  "version-ledger-store",
  `INSERT INTO ledgers (repository, document, revision, commits) VALUES ($1, $2, $3, $4)
   ON CONFLICT (repository) DO UPDATE SET document = excluded.document, revision = excluded.revision, commits = excluded.commits`,
);
const dropDocument = statement("version-ledger-drop", "DELETE FROM ledgers WHERE repository = $1");
const lockRows = statement("version-lock", "SELECT tag, digest FROM ledger WHERE repository = $1 ORDER BY tag FOR UPDATE");
const lockManifests = statement(
  "version-lock-manifests",
  "SELECT digest FROM manifests WHERE repository = $1 AND digest = ANY($2) ORDER BY digest FOR NO KEY UPDATE",
);
const dropRows = statement("version-drop", "DELETE FROM ledger WHERE repository = $1 AND tag = ANY($2)");
const dropEvidence = statement("version-drop-evidence", "DELETE FROM ledger_evidence WHERE repository = $1 AND tag = ANY($2)");
const dropCached = statement("version-drop-cached", "DELETE FROM tags WHERE repository = $1 AND name = ANY($2) RETURNING digest");
// Held is what a proposal copied whole, or another tag of the same build holds already; the rest waits for its copy (./version-copies.ts).
const storeRows = statement(
  "version-store",
  `INSERT INTO ledger (repository, tag, digest, version, held)
   SELECT $1, bound.tag, bound.digest, bound.version, m.digest
   FROM unnest($2::text[], $3::text[], $4::text[]) AS bound (tag, digest, version)
   LEFT JOIN manifests m ON m.repository = $1 AND m.digest = bound.digest AND (
     EXISTS (SELECT FROM ledger held WHERE held.repository = $1 AND held.held = m.digest)
     OR EXISTS (SELECT FROM proposal_pins p WHERE p.repository = $1 AND p.held = m.digest)
   )
   ORDER BY bound.tag COLLATE "C"
   ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest, version = excluded.version, held = excluded.held,
     updated_at = CASE WHEN ledger.digest = excluded.digest THEN ledger.updated_at ELSE now() END
   WHERE (ledger.digest, ledger.version, ledger.held) IS DISTINCT FROM (excluded.digest, excluded.version, excluded.held)`,
);
const storeEvidence = statement(
  "version-store-evidence",
  `INSERT INTO ledger_evidence (repository, tag, held)
   SELECT l.repository, l.tag, m.digest
   FROM ledger l JOIN manifests m ON m.repository = l.repository AND m.digest = ANY($4)
   WHERE l.repository = $1 AND l.tag = ANY($2) AND l.digest = $3
   ON CONFLICT DO NOTHING`,
);
const release = statement(
  "version-release",
  `UPDATE manifests m SET untagged_since = now()
   WHERE m.repository = $1 AND m.digest = ANY($2) AND m.untagged_since IS NULL
     AND NOT EXISTS (SELECT FROM tags t WHERE t.repository = m.repository AND t.digest = m.digest)
     AND NOT EXISTS (SELECT FROM ledger l WHERE l.repository = m.repository AND l.digest = m.digest)
     AND NOT EXISTS (SELECT FROM manifest_children c WHERE c.repository = m.repository AND c.child = m.digest)`,
);

/** `repository` with its prefix; undefined when it has no published ledger. */
export async function findLedger(queryable: Queryable, repository: string): Promise<PublishedLedger | undefined> {
  const [row] = await queryable.query<PublishedLedger>(find, [repository]);
  return row;
}

/** Repositories that have a ledger. */
export async function listLedgers(queryable: Queryable): Promise<readonly string[]> {
  return (await queryable.query<{ name: string }>(list)).map(({ name }) => name);
}

/** Manifests, then version tags, locked in the order of all writers. Returns what is published now. */
export async function lockVersions(transaction: Queryable, repository: number, wanted: readonly Digest[]): Promise<VersionTag[]> {
  await transaction.query(lockManifests, [repository, wanted]);
  return transaction.query<VersionTag>(lockRows, [repository]);
}

/** Tags with the version that each stands for. One whose copy is whole holds it; the others leave `held` null. */
export async function storeVersions(
  transaction: Queryable,
  repository: number,
  bound: readonly (VersionTag & { readonly version: string })[],
): Promise<void> {
  if (bound.length === 0) return;
  await transaction.execute(storeRows, [
    repository,
    bound.map(({ tag }) => tag),
    bound.map(({ digest }) => digest),
    bound.map(({ version }) => version),
  ]);
}

/** Copied evidence stays as long as the tags that rest on it. */
export async function holdEvidence(
  transaction: Queryable,
  repository: number,
  evidence: { readonly tags: readonly string[]; readonly digest: Digest; readonly manifests: readonly Digest[] },
): Promise<void> {
  if (evidence.manifests.length > 0)
    await transaction.execute(storeEvidence, [repository, evidence.tags, evidence.digest, evidence.manifests]);
}

/** Evidence of bindings that move. */
export async function releaseEvidence(transaction: Queryable, repository: number, tags: readonly string[]): Promise<void> {
  if (tags.length > 0) await transaction.execute(dropEvidence, [repository, tags]);
}

/** Takes version tags out of service: with them goes what was cached under the same name. Returns the digests that cached tags pointed at. */
export async function dropVersions(transaction: Queryable, repository: number, tags: readonly string[]): Promise<readonly Digest[]> {
  if (tags.length === 0) return [];
  await transaction.execute(dropRows, [repository, tags]);
  return (await transaction.query<{ digest: Digest }>(dropCached, [repository, tags])).map(({ digest }) => digest);
}

/** Manifests that lost their last name count as untagged from now on. */
export async function releaseManifests(transaction: Queryable, repository: number, digests: readonly Digest[]): Promise<void> {
  if (digests.length > 0) await transaction.execute(release, [repository, digests]);
}

/** The ledger whole, as `explain` shows it; null removes it. */
export async function storeLedger(transaction: Queryable, repository: number, published: PublishedLedger | null): Promise<void> {
  if (published === null) return void (await transaction.execute(dropDocument, [repository]));
  const { ledger, revision, commits } = published;
  await transaction.execute(storeDocument, [repository, JSON.stringify(ledger), revision, JSON.stringify(commits)]);
}
