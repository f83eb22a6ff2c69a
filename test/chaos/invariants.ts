// The checker of storage.md's invariants, from outside: its own SQL and its own reading of the store, nothing of the registry's. (`wharfinger
// audit --deep` asks the same; two checkers that were written apart do not make the same mistake.) Online it may see what is on its way: call it
// when nothing is written, or call it twice and believe what both say.

import { createHash } from "node:crypto";

/** Rows of an ad hoc query. */
export type Ask = <Row>(sql: string) => Promise<Row[]>;

export interface StoredBytes {
  readonly key: string;
  /** False: an upload that is not whole. */
  readonly finished: boolean;
}

export interface CheckedStore {
  list(): AsyncIterable<StoredBytes>;
  read(key: string): Promise<Uint8Array>;
}

// Each question answers what contradicts its invariant.
const questions = `
  SELECT '1: the tag ' || repository || ':' || name || ' leads nowhere' AS problem FROM tags t
  WHERE NOT EXISTS (SELECT FROM manifests m WHERE (m.repository, m.digest) = (t.repository, t.digest))
  UNION ALL
  SELECT '1: the manifest ' || manifest || ' of ' || repository || ' holds the blob ' || held || ', which it cannot read' FROM manifest_blobs n
  WHERE held IS NOT NULL AND NOT EXISTS (
    SELECT FROM repository_blobs l JOIN blobs b ON b.digest = l.digest JOIN objects o ON o.key = b.object_key AND o.state = 'live'
    WHERE (l.repository, l.digest) = (n.repository, n.held))
  UNION ALL
  SELECT '1: the manifest ' || manifest || ' of ' || repository || ' holds the child ' || held || ', which is not here' FROM manifest_children n
  WHERE held IS NOT NULL AND NOT EXISTS (SELECT FROM manifests m WHERE (m.repository, m.digest) = (n.repository, n.held))
  UNION ALL
  SELECT '1: the index ' || manifest || ' of ' || n.repository || ' does not hold its child ' || child || ', which is here' FROM manifest_children n
  JOIN repositories r ON r.id = n.repository AND r.upstream IS NULL
  WHERE held IS NULL AND EXISTS (SELECT FROM manifests m WHERE (m.repository, m.digest) = (n.repository, n.child))
  UNION ALL
  SELECT '1: the version ' || repository || ':' || tag || ' holds ' || held || ', which is not here' FROM ledger l
  WHERE held IS NOT NULL AND NOT EXISTS (SELECT FROM manifests m WHERE (m.repository, m.digest) = (l.repository, l.held))
  UNION ALL
  SELECT '1: ' || kept.why || ' needs ' || n.named || ', and nothing holds it' FROM (
    WITH RECURSIVE pinned (why, repository, digest) AS (
      SELECT 'the version ' || tag, repository, held FROM ledger WHERE held IS NOT NULL
      UNION SELECT 'the proposal ' || proposal, repository, held FROM proposal_pins
      UNION SELECT p.why, p.repository, c.child FROM pinned p JOIN manifest_children c ON (c.repository, c.manifest) = (p.repository, p.digest))
    SELECT * FROM pinned) kept
  JOIN (SELECT repository, manifest, digest AS named, held FROM manifest_blobs
        UNION ALL SELECT repository, manifest, child, held FROM manifest_children) n ON (n.repository, n.manifest) = (kept.repository, kept.digest)
  WHERE n.held IS NULL
  UNION ALL
  SELECT '3: ' || digest || ' is two manifests' FROM manifests GROUP BY digest HAVING count(DISTINCT bytes) > 1
  UNION ALL
  SELECT '4: the object ' || key || ' is live, and no blob has it' FROM objects o
  WHERE state = 'live' AND NOT EXISTS (SELECT FROM blobs b WHERE b.object_key = o.key)
  UNION ALL
  SELECT '4: the blob ' || digest || ' is in ' || object_key || ', which is ' || o.state FROM blobs b JOIN objects o ON o.key = b.object_key
  WHERE o.state <> 'live'
  UNION ALL
  SELECT '5: the blob ' || digest || ' has ' || b.size || ' bytes, its object ' || o.size FROM blobs b JOIN objects o ON o.key = b.object_key
  WHERE o.size IS DISTINCT FROM b.size
  UNION ALL
  SELECT '5: the repository ' || coalesce(u.repository, h.repository) || ' counts ' || coalesce(u.bytes, 0) || ' bytes and holds ' || coalesce(h.bytes, 0)
  FROM (SELECT repository, sum(bytes) AS bytes FROM repository_usage GROUP BY repository) u
  FULL JOIN (
    SELECT repository, sum(bytes) AS bytes FROM (
      SELECT l.repository, b.size AS bytes FROM repository_blobs l JOIN blobs b ON b.digest = l.digest
      UNION ALL SELECT repository, length(bytes) FROM manifests
      UNION ALL SELECT repository, length(bytes) FROM trash) held
    GROUP BY repository) h ON h.repository = u.repository
  WHERE coalesce(u.bytes, 0) <> coalesce(h.bytes, 0)
  UNION ALL
  SELECT '6: the version ' || repository || ':' || tag || ' is not in the published ledger' FROM ledger served
  WHERE NOT EXISTS (SELECT FROM ledgers l WHERE l.repository = served.repository AND l.document -> 'tags' ->> served.tag = served.digest)`;

/** Content that nobody names any longer, after everything was due and collected. */
const leftovers = `
  SELECT '4: the blob ' || digest || ' is linked in ' || repository || ', and nothing names it' AS problem FROM repository_blobs l
  WHERE keep_until <= now() AND NOT EXISTS (SELECT FROM manifest_blobs n WHERE (n.repository, n.digest) = (l.repository, l.digest))
  UNION ALL
  SELECT '4: the blob ' || digest || ' is linked nowhere' FROM blobs b WHERE NOT EXISTS (SELECT FROM repository_blobs l WHERE l.digest = b.digest)`;

interface Named {
  readonly digest: string;
}

/** Contradictions, each beginning with the number of its invariant; none in a healthy registry. `collected`: everything due was collected. */
export async function findViolations(ask: Ask, store: CheckedStore, options: { readonly collected: boolean }): Promise<string[]> {
  const asked = options.collected ? `${questions} UNION ALL ${leftovers}` : questions;
  const rows = await ask<{ problem: string }>(asked);
  return [...rows.map(({ problem }) => problem), ...(await judgeManifests(ask)), ...(await judgeStore(ask, store, options))];
}

/** 1, 5: every manifest is its digest, and the tables name what its bytes name. */
async function judgeManifests(ask: Ask): Promise<string[]> {
  const manifests = await ask<{ digest: string; bytes: Buffer; subject: string | null; own: boolean; named: string[]; held: string[] }>(
    `SELECT m.digest, m.bytes, m.subject, r.upstream IS NULL AS own,
       ARRAY(SELECT digest FROM manifest_blobs n WHERE (n.repository, n.manifest) = (m.repository, m.digest)
             UNION SELECT child FROM manifest_children n WHERE (n.repository, n.manifest) = (m.repository, m.digest)) AS named,
       ARRAY(SELECT held FROM manifest_blobs n WHERE (n.repository, n.manifest) = (m.repository, m.digest) AND held IS NOT NULL) AS held
     FROM manifests m JOIN repositories r ON r.id = m.repository`,
  );
  return manifests.flatMap(({ digest, bytes, subject, own, named, held }) => {
    if (hashOf(bytes, digest) !== digest) return [`1: the manifest ${digest} has other bytes`];
    const said = JSON.parse(bytes.toString()) as { config?: Named; layers?: Named[]; manifests?: Named[]; subject?: Named };
    const blobs = [said.config, ...(said.layers ?? [])].flatMap((blob) => blob?.digest ?? []);
    const all = new Set([...blobs, ...(said.manifests ?? []).map((child) => child.digest)]);
    return [
      ...(all.symmetricDifference(new Set(named)).size === 0 ? [] : [`1: the manifest ${digest} names other things than the tables say`]),
      ...(own ? blobs.filter((blob) => !held.includes(blob)).map((blob) => `1: the manifest ${digest} does not hold ${blob}`) : []),
      ...((said.subject?.digest ?? null) === subject ? [] : [`5: the manifest ${digest} is listed with the subject ${subject ?? "none"}`]),
    ];
  });
}

/** 1, 4: objects in the store are the live rows, and hash to the digests of their blobs. */
async function judgeStore(ask: Ask, store: CheckedStore, { collected }: { readonly collected: boolean }): Promise<string[]> {
  const problems: string[] = [];
  const finished = new Set<string>();
  const stored: StoredBytes[] = [];
  // Listed before the database is asked: what comes meanwhile is announced first.
  for await (const object of store.list()) stored.push(object);
  // What was never live is deleted once more after a week: a writer that was paused may have written after the first time.
  const rows = await ask<{ key: string; state: string; digest: string | null; again: boolean }>(
    `SELECT o.key, o.state, b.digest, NOT o.ever_live AND o.deletions > 0 AS again
     FROM objects o LEFT JOIN blobs b ON b.object_key = o.key`,
  );
  const known = new Map(rows.map((row) => [row.key, row]));
  for (const object of stored) {
    if (object.finished) finished.add(object.key);
    const row = known.get(object.key);
    if (row === undefined) problems.push(`4: ${object.key} is in the store, and the database does not know it`);
    else if (collected && row.state !== "live" && !row.again) problems.push(`4: ${object.key} is in the store still, and ${row.state}`);
  }
  for (const { key, state, digest } of rows) {
    if (state !== "live") continue;
    if (!finished.has(key)) problems.push(`1: the object ${key} of ${digest ?? "nothing"} is live and not in the store`);
    else if (digest !== null && hashOf(await store.read(key), digest) !== digest) problems.push(`1: the bytes of ${digest} are others`);
  }
  return problems;
}

function hashOf(bytes: Uint8Array, digest: string): string {
  const [algorithm = ""] = digest.split(":");
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}
