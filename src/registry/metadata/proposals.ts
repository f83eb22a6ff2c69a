// Versions found by tag-sync, or to be retired by prune, on their way into Git (design: tag-sync, points 7 and 8; record, "Publishing").

import type { Proposal, ProposalRequest } from "../../api/control/proposals.ts";
import { statement, type Queryable } from "./database.ts";

interface ProposalRow {
  readonly id: number;
  readonly policy: string;
  readonly repository: string;
  readonly body: ProposalRequest;
  readonly state: Proposal["state"];
  readonly reason: string | null;
  readonly revision: string | null;
}

/** A stored proposal; `image` is added by the service, which knows the Upstream. */
export type StoredProposal = Omit<Proposal, "image">;

const insert = statement(
  "proposal-insert",
  `INSERT INTO proposals (run, kind, policy, repository, body)
   VALUES ($1, $2, $3, $4, $5)
   RETURNING id, policy, repository, body, state, reason, revision`,
);

export async function insertProposal(
  transaction: Queryable,
  proposal: { readonly run: string | undefined; readonly policy: string; readonly repository: string; readonly body: ProposalRequest },
): Promise<StoredProposal> {
  const { run, policy, repository, body } = proposal;
  const [row] = await transaction.query<ProposalRow>(insert, [run ?? null, body.kind, policy, repository, JSON.stringify(body)]);
  if (row === undefined) throw new Error("INSERT INTO proposals returned no row");
  return stored(row);
}

// One writer at a time for the proposals of a repository: two jobs that find the same build make one proposal.
const lockRepository = statement("proposal-lock", "SELECT pg_advisory_xact_lock(hashtext('wharfinger-proposal'), hashtext($1))");

export async function lockProposals(transaction: Queryable, repository: string): Promise<void> {
  await transaction.query(lockRepository, [repository]);
}

const waitingOf = statement(
  "proposal-waiting-of",
  `SELECT id, policy, repository, body, state, reason, revision FROM proposals
   WHERE state = 'waiting' AND repository = $1 AND kind = $2 ORDER BY id`,
);

export async function waitingProposalsOf(
  queryable: Queryable,
  repository: string,
  kind: ProposalRequest["kind"],
): Promise<StoredProposal[]> {
  return (await queryable.query<ProposalRow>(waitingOf, [repository, kind])).map(stored);
}

const waiting = statement(
  "proposal-waiting",
  `SELECT id, policy, repository, body, state, reason, revision FROM proposals
   WHERE state = 'waiting' ORDER BY id LIMIT 1000`,
);

/** In the order in which they were stored; at most 1,000. */
export async function waitingProposals(queryable: Queryable): Promise<StoredProposal[]> {
  return (await queryable.query<ProposalRow>(waiting)).map(stored);
}

const byId = statement("proposal-by-id", "SELECT id, policy, repository, body, state, reason, revision FROM proposals WHERE id = $1");

export async function proposalById(queryable: Queryable, id: string): Promise<StoredProposal | undefined> {
  if (!isId(id)) return undefined;
  const [row] = await queryable.query<ProposalRow>(byId, [id]);
  return row === undefined ? undefined : stored(row);
}

const firstMinters = statement(
  "proposal-first-minters",
  `SELECT policy FROM proposals WHERE repository = $1 AND kind = 'mint' AND state <> 'refused'
   GROUP BY policy ORDER BY min(id)`,
);

/** Policies that had versions of this repository accepted, the earliest first. */
export async function mintersOf(queryable: Queryable, repository: string): Promise<string[]> {
  return (await queryable.query<{ policy: string }>(firstMinters, [repository])).map(({ policy }) => policy);
}

const settle = statement(
  "proposal-settle",
  `UPDATE proposals
   SET state = CASE WHEN settled.refused IS NULL THEN 'published' ELSE 'refused' END,
       reason = settled.refused, revision = $3, settled_at = now()
   FROM unnest($1::bigint[], $2::text[]) AS settled (id, refused)
   WHERE proposals.id = settled.id AND proposals.state = 'waiting'`,
);
const unpin = statement("proposal-unpin", "DELETE FROM proposal_pins WHERE proposal = ANY($1::bigint[])");

/**
 * For the transaction of a publish, after the ledger rows are in place: what the revision contains is published, what was refused says why, and
 * the pins of both go (from here on the ledger holds what was copied). Ids that are unknown or settled already are left alone.
 */
export async function settleProposals(
  transaction: Queryable,
  options: { readonly settled: readonly { readonly id: string; readonly refused?: string }[]; readonly revision: string },
): Promise<void> {
  const known = options.settled.filter(({ id }) => isId(id));
  if (known.length === 0) return;
  const ids = known.map(({ id }) => id);
  await transaction.execute(settle, [ids, known.map(({ refused }) => refused ?? null), options.revision]);
  await transaction.execute(unpin, [ids]);
}

const prune = statement(
  "proposal-prune",
  `DELETE FROM proposals WHERE id IN (
     SELECT old.id FROM proposals old
     WHERE old.state = 'refused' AND old.settled_at < now() - interval '90 days'
     ORDER BY old.id LIMIT 1000)`,
);

/** Refused ones older than 90 days, a batch of them. Published ones stay: they say which policy had a repository first. */
export function pruneProposals(queryable: Queryable): Promise<number> {
  return queryable.execute(prune);
}

function isId(id: string): boolean {
  return /^[1-9]\d{0,17}$/.test(id);
}

function stored(row: ProposalRow): StoredProposal {
  return { ...row, id: String(row.id) };
}
