// What D1 needs to know and do, each in sets: who goes along, who holds, the trash, the rows (storage.md, Protocol).

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface Follower {
  readonly digest: Digest;
  readonly subject: Digest;
}

export interface Holder {
  readonly digest: Digest;
  /** The manifest that holds it, when one does. */
  readonly parent: Digest | null;
  /** For people: `the index sha256:…`, `the version tag 1.27.3`. */
  readonly name: string;
}

/**
 * At most so many go with their subject in its own transaction, and in each that follows it; each may have layers and followers of its own. With more,
 * none of them is known when the subject goes, so an index of theirs that names the subject holds it, as any other index does: that one goes first.
 */
export const followersAtOnce = 250;

// Referrers of the doomed, of those referrers, and so on; and manifests under cosign's tags `sha256-<hex>` and `sha256-<hex>.<suffix>`.
// "/" is the character behind "." : the range holds every tag that starts with the digest, the pattern picks the right ones.
// The recursion ends with the limit (PostgreSQL reads no further than it is asked to), so that many cost no more than some.
const followers = statement(
  "deletion-followers",
  `WITH RECURSIVE going AS (
     SELECT digest COLLATE "C" AS digest, NULL::text COLLATE "C" AS subject FROM unnest($2::text[]) AS digest
     UNION
     SELECT next.digest, going.digest
     FROM going
     CROSS JOIN LATERAL (
       SELECT m.digest FROM manifests m WHERE m.repository = $1 AND m.subject = going.digest
       UNION
       SELECT t.digest FROM tags t
       WHERE t.repository = $1
         AND t.name >= replace(going.digest, ':', '-') AND t.name < replace(going.digest, ':', '-') || '/'
         AND (t.name = replace(going.digest, ':', '-') OR t.name LIKE replace(going.digest, ':', '-') || '.%')
     ) next
   )
   SELECT digest, subject FROM going WHERE subject IS NOT NULL AND digest <> subject LIMIT ${followersAtOnce + 1}`,
);
// As one array the digests are looked up in the index; with OR every manifest of the repository is read.
const lock = statement(
  "deletion-lock",
  `SELECT m.digest FROM manifests m
   WHERE m.repository = $1
     AND m.digest = ANY(ARRAY(
       SELECT unnest($2::text[]) UNION SELECT child FROM manifest_children WHERE repository = $1 AND manifest = ANY($2)))
   ORDER BY m.digest
   FOR UPDATE`,
);
const holders = statement(
  "deletion-holders",
  `SELECT child AS digest, manifest AS parent, 'the index ' || manifest AS name
   FROM manifest_children WHERE repository = $1 AND child = ANY($2)
   UNION ALL
   SELECT held, NULL, 'the version tag ' || tag FROM ledger WHERE repository = $1 AND held = ANY($2)
   UNION ALL
   SELECT held, NULL, 'the evidence of the version tag ' || tag FROM ledger_evidence WHERE repository = $1 AND held = ANY($2)
   UNION ALL
   SELECT held, NULL, 'a version that is being recorded' FROM proposal_pins WHERE repository = $1 AND held = ANY($2)`,
);
const children = statement(
  "deletion-children",
  "SELECT DISTINCT child FROM manifest_children WHERE repository = $1 AND manifest = ANY($2)",
);
const trash = statement(
  "deletion-trash",
  `INSERT INTO trash (repository, tags, digest, media_type, bytes, by, reason, names)
   SELECT m.repository,
     coalesce((SELECT array_agg(t.name ORDER BY t.name) FROM tags t
               WHERE t.repository = m.repository AND t.digest = m.digest AND ($5::text[] IS NULL OR t.name = ANY($5))), '{}'),
     m.digest, m.media_type, m.bytes, $3, $4,
     ARRAY(SELECT digest_key(n.digest) FROM manifest_blobs n WHERE n.repository = m.repository AND n.manifest = m.digest
           UNION ALL
           SELECT digest_key(c.child) FROM manifest_children c WHERE c.repository = m.repository AND c.manifest = m.digest
           UNION ALL
           SELECT digest_key(m.subject) WHERE m.subject IS NOT NULL)
   FROM manifests m
   WHERE m.repository = $1 AND m.digest = ANY($2)`,
);
const removeChildren = statement("deletion-remove-children", "DELETE FROM manifest_children WHERE repository = $1 AND manifest = ANY($2)");
const removeBlobs = statement("deletion-remove-blobs", "DELETE FROM manifest_blobs WHERE repository = $1 AND manifest = ANY($2)");
// In the order in which pulls are added (pulls.ts), so that neither waits for the other in a circle.
const removePulls = statement(
  "deletion-remove-pulls",
  `WITH gone AS (
     SELECT repository, digest, tag FROM pulls WHERE repository = $1 AND digest = ANY($2) ORDER BY digest, tag FOR UPDATE
   )
   DELETE FROM pulls p USING gone WHERE p.repository = gone.repository AND p.digest = gone.digest AND p.tag = gone.tag`,
);
const remove = statement("deletion-remove", "DELETE FROM manifests WHERE repository = $1 AND digest = ANY($2)");

/**
 * What goes when `digests` go: their referrers and manifests under referrer tags, transitively, each with the subject that takes it along.
 * `many`: there are more of them than go at once, and none is named.
 */
export async function findFollowers(
  transaction: Queryable,
  repositoryId: number,
  digests: readonly Digest[],
): Promise<{ readonly followers: readonly Follower[]; readonly many: boolean }> {
  const found = await transaction.query<Follower>(followers, [repositoryId, digests]);
  return found.length > followersAtOnce ? { followers: [], many: true } : { followers: found, many: false };
}

/** Locks `digests` and the children of those that are indexes, in digest order, against everything. Returns what is here. */
export async function lockForDeletion(
  transaction: Queryable,
  repositoryId: number,
  digests: readonly Digest[],
): Promise<ReadonlySet<Digest>> {
  const rows = await transaction.query<{ digest: Digest }>(lock, [repositoryId, digests]);
  return new Set(rows.map(({ digest }) => digest));
}

/** Who holds these manifests: indexes (also those that go too), version tags, evidence, pins. */
export async function findHolders(transaction: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<Holder[]> {
  return transaction.query<Holder>(holders, [repositoryId, digests]);
}

/** Copies manifests with their tags (or only those of `tags`) into the trash. */
export async function putIntoTrash(
  transaction: Queryable,
  repositoryId: number,
  digests: readonly Digest[],
  why: { readonly by: string; readonly reason: string; readonly tags?: readonly string[] },
): Promise<void> {
  await transaction.execute(trash, [repositoryId, digests, why.by, why.reason, why.tags ?? null]);
}

/** Deletes manifests, what they name, and how often they were pulled. Returns the children that may be loose now. */
export async function removeManifests(transaction: Queryable, repositoryId: number, digests: readonly Digest[]): Promise<Digest[]> {
  const named = await transaction.query<{ child: Digest }>(children, [repositoryId, digests]);
  await transaction.execute(removeChildren, [repositoryId, digests]);
  await transaction.execute(removeBlobs, [repositoryId, digests]);
  await transaction.execute(remove, [repositoryId, digests]);
  await transaction.execute(removePulls, [repositoryId, digests]);
  return named.map(({ child }) => child).filter((child) => !digests.includes(child));
}
