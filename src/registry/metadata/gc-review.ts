// G1 of storage.md: one batch of the queue. Every step is a statement of its own, because each must see what the step before waited for.

import { failpoint } from "#failpoints";

import { statement, type Database, type Queryable } from "./database.ts";
import { planByIndex } from "./steady-plans.ts";

const linksAtOnce = 1_000;

export interface Review {
  /** Queue rows looked at; fewer than `linksAtOnce`: nothing else is due. */
  readonly reviewed: number;
  readonly links: number;
  readonly blobs: number;
}

interface Link {
  readonly repository: number;
  readonly digest: string;
}

/** A row that this transaction has locked is found again by its place, which nobody can change meanwhile: an index is not asked twice. */
interface Placed {
  readonly place: string;
}

// The rest of the queue's rows come from triggers; here it is known at the end of the transaction whether anything is left to look at.
const settleOwn = statement("gc-settle-own", "SELECT set_config('wharfinger.links_settled', 'on', true)");
const take = statement(
  "gc-take",
  `SELECT ctid AS place, repository, digest FROM gc_queue
   WHERE review_after <= now()
   ORDER BY review_after, id
   LIMIT $1
   FOR UPDATE SKIP LOCKED`,
);
const lockLinks = statement(
  "gc-lock-links",
  `SELECT l.ctid AS place, l.repository, l.digest
   FROM repository_blobs l
   JOIN unnest($1::bigint[], $2::text[]) AS due (repository, digest) ON l.repository = due.repository AND l.digest = due.digest
   WHERE l.keep_until <= now()
   ORDER BY l.repository, l.digest
   FOR UPDATE OF l SKIP LOCKED`,
);
// What must not be there is asked for one row at a time, here and below: as NOT EXISTS it is joined, and when nearly everything of a table has just
// been deleted and is not vacuumed, the whole index is read for it.
const deleteLinks = statement(
  "gc-delete-links",
  `DELETE FROM repository_blobs l
   WHERE l.ctid = ANY($1::tid[])
     AND (SELECT true FROM manifest_blobs b WHERE b.repository = l.repository AND b.digest = l.digest LIMIT 1) IS NULL
     AND (SELECT true FROM gc_queue q WHERE q.repository = l.repository AND q.digest = l.digest AND q.review_after > now() LIMIT 1) IS NULL
   RETURNING l.repository, l.digest`,
);
// A blob that a link names needs no look: when that link goes, the digest is queued again.
const lockBlobs = statement(
  "gc-lock-blobs",
  `SELECT ctid AS place, digest FROM blobs b
   WHERE digest = ANY($1) AND (SELECT true FROM repository_blobs l WHERE l.digest = b.digest LIMIT 1) IS NULL
   ORDER BY digest
   FOR UPDATE SKIP LOCKED`,
);
const awaitBlobs = statement(
  "gc-await-blobs",
  `SELECT ctid AS place, digest FROM blobs b
   WHERE digest = ANY($1) AND (SELECT true FROM repository_blobs l WHERE l.digest = b.digest LIMIT 1) IS NULL
   ORDER BY digest
   FOR UPDATE`,
);
const deleteBlobs = statement(
  "gc-delete-blobs",
  `DELETE FROM blobs b
   WHERE ctid = ANY($1::tid[]) AND (SELECT true FROM repository_blobs l WHERE l.digest = b.digest LIMIT 1) IS NULL
   RETURNING digest, object_key AS key, cached`,
);
// What only ever was a copy of an Upstream's is due at once: upstream has it, and the space is why it went.
const doom = statement(
  "gc-doom",
  `UPDATE objects SET state = 'doomed', doomed_at = now(), sweep_after = CASE WHEN key = ANY($2) THEN now() END
   WHERE key = ANY($1) AND state = 'live'`,
);
// Leased links come back when the lease ends; a link or a blob that somebody had locked comes back in a minute. A blob that stayed when its link
// went comes back at once: its other link may be going in a transaction that cannot see that this one went.
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
   WHERE NOT b.digest = ANY($5) AND NOT EXISTS (SELECT FROM repository_blobs l WHERE l.digest = b.digest)
   UNION ALL
   SELECT gone.repository, gone.digest, now()
   FROM unnest($6::bigint[], $7::text[]) AS gone (repository, digest)`,
);
const forget = statement("gc-forget", "DELETE FROM gc_queue WHERE ctid = ANY($1::tid[])");

interface LooseBlob extends Placed {
  readonly digest: string;
}

/** Reviews one batch of what is due, in one transaction. Any number of processes may do it at once; nobody waits for them. */
export function reviewQueue(database: Pick<Database, "transaction">): Promise<Review> {
  return database.transaction((transaction) => reviewBatch(transaction), { unchanged: ({ reviewed }) => reviewed === 0 });
}

async function reviewBatch(transaction: Queryable): Promise<Review> {
  const batch = await transaction.query<Link & Placed>(take, [linksAtOnce]);
  if (batch.length === 0) return { reviewed: 0, links: 0, blobs: 0 };
  await failpoint("G1.taken");
  const due = distinct(batch);
  const digests = [...new Set(due.map(({ digest }) => digest))];

  await transaction.query(settleOwn);
  await planByIndex(transaction);
  const locked = await transaction.query<Link & Placed>(lockLinks, columns(due));
  await failpoint("G1.linksLocked");
  const links = locked.length === 0 ? [] : await transaction.query<Link>(deleteLinks, [placesOf(locked)]);
  await failpoint("G1.linksGone");
  const loose = await transaction.query<LooseBlob>(lockBlobs, [digests]);
  await failpoint("G1.blobsLocked");
  const gone = new Set(await deleteLoose(transaction, loose));

  // What went whole, link and blob, needs no further look: that is nearly everything, when much goes.
  const left = links.filter(({ digest }) => !gone.has(digest));
  const open = due.filter(({ digest }) => !gone.has(digest));
  if (open.length > 0)
    await transaction.execute(postpone, [...columns(open), ...columns(locked), loose.map(({ digest }) => digest), ...columns(left)]);
  await failpoint("G1.postponed");
  await transaction.execute(forget, [placesOf(batch)]);
  await failpoint("G1.forgotten");
  return { reviewed: batch.length, links: links.length, blobs: gone.size };
}

/**
 * G1 for links that the caller has locked and that nothing may keep any longer (purge): those that no manifest names go, and blobs without a link
 * with them, due at once. Waits for who has a blob locked. Returns the keys that are doomed now.
 */
export async function reviewNow(transaction: Queryable, links: readonly (Link & Placed)[]): Promise<string[]> {
  if (links.length === 0) return [];
  await planByIndex(transaction);
  await transaction.execute(deleteLinks, [placesOf(links)]);
  const digests = [...new Set(links.map(({ digest }) => digest))];
  const loose = await transaction.query<LooseBlob>(awaitBlobs, [digests]);
  const keys = (await transaction.query<{ key: string }>(deleteBlobs, [placesOf(loose)])).map(({ key }) => key);
  await transaction.execute(doom, [keys, keys]);
  return keys;
}

/** Returns the digests that went. */
async function deleteLoose(transaction: Queryable, loose: readonly LooseBlob[]): Promise<string[]> {
  if (loose.length === 0) return [];
  const gone = await transaction.query<{ digest: string; key: string; cached: boolean }>(deleteBlobs, [placesOf(loose)]);
  await failpoint("G1.blobsGone");
  const keysOf = (blobs: typeof gone) => blobs.map(({ key }) => key);
  if (gone.length > 0) await transaction.execute(doom, [keysOf(gone), keysOf(gone.filter(({ cached }) => cached))]);
  await failpoint("G1.doomed");
  return gone.map(({ digest }) => digest);
}

function distinct(links: readonly Link[]): Link[] {
  return [...new Map(links.map((link) => [`${link.repository} ${link.digest}`, link])).values()];
}

function columns(links: readonly Link[]): [number[], string[]] {
  return [links.map(({ repository }) => repository), links.map(({ digest }) => digest)];
}

function placesOf(rows: readonly Placed[]): string[] {
  return rows.map(({ place }) => place);
}
