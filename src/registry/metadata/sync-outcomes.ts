// How tag-sync settled each digest, so that one that did not change costs one HEAD (design: tag-sync, point 1).

import type { SyncOutcome } from "../../api/control/runs.ts";
import { statement, type Queryable } from "./database.ts";

interface OutcomeRow {
  readonly repository: string;
  readonly source_tag: string;
  readonly digest: string;
  readonly outcome: string;
  readonly message: string | null;
  readonly retry_after: number | null;
}

// The job says whether another look is worth it; how long until then follows from the age: what is old changes rarely. After a week only what an
// administrator can mend ($9) is looked at again.
const upsert = statement(
  "sync-outcome-upsert",
  `INSERT INTO sync_outcomes AS known (policy, generation, repository, source_tag, digest, outcome, message, retry_at, anchors)
   SELECT $1, $2, repository, source_tag, digest, outcome, message, now() + make_interval(secs => retry_after), $10
   FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[])
     AS new (repository, source_tag, digest, outcome, message, retry_after)
   ORDER BY repository, source_tag, digest
   ON CONFLICT (policy, generation, repository, source_tag, digest) DO UPDATE SET
     outcome = excluded.outcome,
     message = excluded.message,
     anchors = excluded.anchors,
     checked_at = now(),
     retry_at = CASE
       WHEN excluded.retry_at IS NULL THEN NULL
       WHEN excluded.outcome = ANY($9) THEN excluded.retry_at
       WHEN now() - known.first_seen > interval '7 days' THEN NULL
       ELSE greatest(excluded.retry_at, now() + least(now() - known.first_seen, interval '6 hours'))
     END`,
);

/** Failures that are mended here, not upstream: they are never given up. */
const mendedHere = ["KeyMissing", "TrustedRootInvalid", "TrustedRootExpired", "CopyIncomplete"];

/** Stores what a run settled. `retryAfter` (seconds) is the shortest pause; it grows with the age of the digest, 6 hours at most, for 7 days. */
export async function recordOutcomes(
  queryable: Queryable,
  run: { readonly policy: string; readonly generation: number; readonly anchors?: string | undefined },
  outcomes: readonly SyncOutcome[],
): Promise<void> {
  const unique = [...new Map(outcomes.map((entry) => [JSON.stringify([entry.repository, entry.sourceTag, entry.digest]), entry])).values()];
  if (unique.length === 0) return;
  await queryable.execute(upsert, [
    run.policy,
    run.generation,
    unique.map(({ repository }) => repository),
    unique.map(({ sourceTag }) => sourceTag),
    unique.map(({ digest }) => digest),
    unique.map(({ outcome }) => outcome),
    unique.map(({ message }) => message ?? null),
    unique.map(({ retryAfter }) => retryAfter ?? null),
    mendedHere,
    run.anchors ?? null,
  ]);
}

/** Digests of a source tag that are remembered. */
const newestOfTag = 10;

// From one source tag to the next along the primary key, then the newest of each along their index: what is read does not grow with what was settled.
const settled = statement(
  "sync-outcome-settled",
  `WITH RECURSIVE source AS (
     (SELECT repository, source_tag FROM sync_outcomes WHERE policy = $1 AND generation = $2 ORDER BY repository, source_tag LIMIT 1)
     UNION ALL
     SELECT next.repository, next.source_tag FROM source, LATERAL (
       SELECT repository, source_tag FROM sync_outcomes o
       WHERE o.policy = $1 AND o.generation = $2 AND (o.repository, o.source_tag) > (source.repository, source.source_tag)
       ORDER BY repository, source_tag LIMIT 1
     ) next
   )
   SELECT repository, source_tag, digest, outcome, message, ceil(extract(epoch FROM retry_at - now()))::int AS retry_after
   FROM source, LATERAL (
     SELECT digest, outcome, message, retry_at, checked_at, anchors FROM sync_outcomes o
     WHERE o.policy = $1 AND o.generation = $2 AND o.repository = source.repository AND o.source_tag = source.source_tag
     ORDER BY checked_at DESC, digest LIMIT ${newestOfTag}
   ) known
   WHERE (retry_at IS NULL OR retry_at > now()) AND (outcome = 'Minted' OR anchors IS NULL OR anchors = $3)
   ORDER BY repository, source_tag, checked_at DESC, digest`,
);

/**
 * What needs no look now: finished under this generation, or not yet due again. What was refused counts only under the `anchors` of now. The last ten
 * digests of each source tag.
 */
export async function settledOutcomes(
  queryable: Queryable,
  run: { readonly policy: string; readonly generation: number; readonly anchors: string },
): Promise<SyncOutcome[]> {
  return (await queryable.query<OutcomeRow>(settled, [run.policy, run.generation, run.anchors])).map(toOutcome);
}

const refused = statement(
  "sync-outcome-refused",
  `SELECT repository, source_tag, digest, outcome, message, ceil(extract(epoch FROM retry_at - now()))::int AS retry_after
   FROM sync_outcomes
   WHERE policy = $1 AND repository = $2 AND outcome <> 'Minted'
   ORDER BY generation DESC, checked_at DESC LIMIT $3`,
);

/** What was refused and why, newest first: for `GET versions`. `repository` as upstream writes it. */
export async function refusedOutcomes(
  queryable: Queryable,
  options: { readonly policy: string; readonly repository: string; readonly limit: number },
): Promise<SyncOutcome[]> {
  return (await queryable.query<OutcomeRow>(refused, [options.policy, options.repository, options.limit])).map(toOutcome);
}

// A policy that was deleted and made again begins with generation 1 again: what is not its generation now is an old one. One that this
// release refuses is published all the same. An outcome that a run settles again meanwhile has another `checked_at`, and stays.
const prune = statement(
  "sync-outcome-prune",
  `WITH published AS (
     SELECT (resource->>'namespace') || '/' || (resource->>'name') AS policy, (resource->>'generation')::bigint AS generation
     FROM record, jsonb_array_elements(document->'resources' || coalesce(document->'refused', '[]')) AS resource
     WHERE resource->>'kind' = 'TagPolicy'
   ), numbered AS (
     SELECT policy, generation, repository, source_tag, digest, checked_at,
       row_number() OVER (PARTITION BY policy, generation, repository, source_tag ORDER BY checked_at DESC, digest) AS place
     FROM sync_outcomes
   ), old AS (
     SELECT n.* FROM numbered n LEFT JOIN published p ON p.policy = n.policy
     WHERE place > ${newestOfTag} OR p.policy IS NULL OR (n.generation <> p.generation AND n.checked_at < now() - interval '30 days')
     LIMIT 10000
   )
   DELETE FROM sync_outcomes o USING old
   WHERE (o.policy, o.generation, o.repository, o.source_tag, o.digest, o.checked_at)
       = (old.policy, old.generation, old.repository, old.source_tag, old.digest, old.checked_at)`,
);

/**
 * Outcomes that decide nothing any more, a batch of them: behind the ten newest of their source tag, of a generation that was not settled for
 * 30 days, or of a policy that is not published.
 */
export function pruneOutcomes(queryable: Queryable): Promise<number> {
  return queryable.execute(prune);
}

function toOutcome(row: OutcomeRow): SyncOutcome {
  return {
    repository: row.repository,
    sourceTag: row.source_tag,
    digest: row.digest,
    outcome: row.outcome,
    ...(row.message === null ? {} : { message: row.message }),
    ...(row.retry_after === null ? {} : { retryAfter: Math.max(1, row.retry_after) }),
  };
}
