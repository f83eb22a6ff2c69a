// G1 of storage.md: one batch of the queue. Every step is a statement of its own, because each must see what the step before waited for.

import { failpoint } from "#failpoints";

import { statement, type Database, type Queryable } from "./database.ts";

const reviewBatch = 1_000;

export interface Review {
  /** Queue rows looked at; fewer than `reviewBatch`: nothing else is due. */
  readonly reviewed: number;
  readonly links: number;
  readonly blobs: number;
}

interface Link {
  readonly repository: number;
  readonly digest: string;
}

const take = statement(
  "gc-take",
  `SELECT id, repository, digest FROM gc_queue
   WHERE review_after <= now()
   ORDER BY review_after, id
   LIMIT $1
   FOR UPDATE SKIP LOCKED`,
);
const lockLinks = statement(
  "gc-lock-links",
  `SELECT l.repository, l.digest
   FROM repository_blobs l
   JOIN unnest($1::bigint[], $2::text[]) AS due (repository, digest) ON l.repository = due.repository AND l.digest = due.digest
   WHERE l.keep_until <= now()
   ORDER BY l.repository, l.digest
   FOR UPDATE OF l SKIP LOCKED`,
);
const deleteLinks = statement(
  "gc-delete-links",
  `DELETE FROM repository_blobs l
   USING unnest($1::bigint[], $2::text[]) AS due (repository, digest)
   WHERE l.repository = due.repository AND l.digest = due.digest
     AND NOT EXISTS (SELECT FROM manifest_blobs b WHERE b.repository = l.repository AND b.digest = l.digest)
     AND NOT EXISTS (SELECT FROM gc_queue q WHERE q.repository = l.repository AND q.digest = l.digest AND q.review_after > now())`,
);
// A blob that a link names needs no look: when that link goes, its trigger queues the digest again.
const lockBlobs = statement(
  "gc-lock-blobs",
  `SELECT digest FROM blobs b
   WHERE digest = ANY($1) AND NOT EXISTS (SELECT FROM repository_blobs l WHERE l.digest = b.digest)
   ORDER BY digest
   FOR UPDATE SKIP LOCKED`,
);
const awaitBlobs = statement(
  "gc-await-blobs",
  `SELECT digest FROM blobs b
   WHERE digest = ANY($1) AND NOT EXISTS (SELECT FROM repository_blobs l WHERE l.digest = b.digest)
   ORDER BY digest
   FOR UPDATE`,
);
const deleteBlobs = statement(
  "gc-delete-blobs",
  `DELETE FROM blobs b
   WHERE digest = ANY($1) AND NOT EXISTS (SELECT FROM repository_blobs l WHERE l.digest = b.digest)
   RETURNING object_key AS key, cached`,
);
// What only ever was a copy of an Upstream's is due at once: upstream has it, and the space is why it went.
const doom = statement(
  "gc-doom",
  `UPDATE objects SET state = 'doomed', doomed_at = now(), sweep_after = CASE WHEN key = ANY($2) THEN now() END
   WHERE key = ANY($1) AND state = 'live'`,
);
// Leased links come back when the lease ends; a link or a blob that somebody had locked comes back in a minute.
const postpone = statement(
  "gc-postpone",
  `INSERT INTO gc_queue (repository, digest, review_after)
   SELECT due.repository, due.digest, CASE WHEN l.keep_until > now() THEN l.keep_until ELSE now() + interval '1 minute' END
   FROM unnest($1::bigint[], $2::text[]) AS due (repository, digest)
   JOIN repository_blobs l ON l.repository = due.repository AND l.digest = due.digest
   WHERE (l.keep_until > now() OR NOT (due.repository, due.digest) IN (SELECT * FROM unnest($3::bigint[], $4::text[])))
   UNION ALL
   SELECT due.repository, due.digest, now() + interval '1 minute'
   FROM unnest($1::bigint[], $2::text[]) AS due (repository, digest)
   JOIN blobs b ON b.digest = due.digest
   WHERE NOT b.digest = ANY($5) AND NOT EXISTS (SELECT FROM repository_blobs l WHERE l.digest = b.digest)`,
);
const forget = statement("gc-forget", "DELETE FROM gc_queue WHERE id = ANY($1)");

/** Reviews one batch of what is due, in one transaction. Any number of processes may do it at once; nobody waits for them. */
export function reviewQueue(database: Pick<Database, "transaction">): Promise<Review> {
  return database.transaction(async (transaction) => {
    const batch = await transaction.query<Link & { id: number }>(take, [reviewBatch]);
    if (batch.length === 0) return { reviewed: 0, links: 0, blobs: 0 };
    await failpoint("G1.taken");
    const due = distinct(batch);
    const digests = [...new Set(due.map(({ digest }) => digest))];

    const locked = await transaction.query<Link>(lockLinks, columns(due));
    await failpoint("G1.linksLocked");
    const links = locked.length === 0 ? 0 : await transaction.execute(deleteLinks, columns(locked));
    await failpoint("G1.linksGone");
    const loose = (await transaction.query<{ digest: string }>(lockBlobs, [digests])).map(({ digest }) => digest);
    await failpoint("G1.blobsLocked");
    const blobs = await deleteLoose(transaction, loose);

    await transaction.execute(postpone, [...columns(due), ...columns(locked), loose]);
    await failpoint("G1.postponed");
    await transaction.execute(forget, [batch.map(({ id }) => id)]);
    await failpoint("G1.forgotten");
    return { reviewed: batch.length, links, blobs };
  });
}

/**
 * G1 for links that the caller has locked and that nothing may keep any longer (purge): those that no manifest names go, and blobs without a link
 * with them, due at once. Waits for who has a blob locked. Returns the keys that are doomed now.
 */
export async function reviewNow(transaction: Queryable, links: readonly Link[]): Promise<string[]> {
  if (links.length === 0) return [];
  await transaction.execute(deleteLinks, columns(links));
  const digests = [...new Set(links.map(({ digest }) => digest))];
  const loose = (await transaction.query<{ digest: string }>(awaitBlobs, [digests])).map(({ digest }) => digest);
  const keys = (await transaction.query<{ key: string }>(deleteBlobs, [loose])).map(({ key }) => key);
  await transaction.execute(doom, [keys, keys]);
  return keys;
}

async function deleteLoose(transaction: Queryable, digests: readonly string[]): Promise<number> {
  if (digests.length === 0) return 0;
  const gone = await transaction.query<{ key: string; cached: boolean }>(deleteBlobs, [digests]);
  await failpoint("G1.blobsGone");
  const keysOf = (blobs: typeof gone) => blobs.map(({ key }) => key);
  if (gone.length > 0) await transaction.execute(doom, [keysOf(gone), keysOf(gone.filter(({ cached }) => cached))]);
  await failpoint("G1.doomed");
  return gone.length;
}

function distinct(links: readonly Link[]): Link[] {
  return [...new Map(links.map((link) => [`${link.repository} ${link.digest}`, link])).values()];
}

function columns(links: readonly Link[]): [number[], string[]] {
  return [links.map(({ repository }) => repository), links.map(({ digest }) => digest)];
}
