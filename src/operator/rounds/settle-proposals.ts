// Proposals become commits: each on top of the one before, what people decided first (design: tag-sync, point 8; record, "Ledger files").

import type { MintProposal, Proposal, RetireProposal } from "../../api/control/proposals.ts";
import type { PublishRequest } from "../../api/control/record.ts";
import type { TagPolicySpec } from "../../api/kinds.ts";
import type { Digest } from "../../domain/digest.ts";
import type { Build, Ledger } from "../../domain/ledger.ts";
import { mint, retire, type MintResult } from "../../domain/minting.ts";
import { printableLine } from "../../domain/printable.ts";
import type { PlannedCommit } from "../../record/commits.ts";
import { decisionsCommit, versionsCommit, type Committer } from "../../record/messages.ts";
import type { RecordView } from "../../record/record-view.ts";

export type Settled = PublishRequest["settled"][number];

export interface SettledProposals {
  readonly commits: readonly PlannedCommit[];
  /** For the publish of these commits. */
  readonly settled: readonly Settled[];
  /** Wait for a person: their ledger file is not valid. */
  readonly deferred: readonly Proposal[];
}

interface LedgerState {
  readonly ledger: Ledger | undefined;
  readonly bytes: Buffer | undefined;
}

export function settleProposals(
  proposals: readonly Proposal[],
  view: RecordView,
  options: { readonly committer: Committer; readonly now: Date },
): SettledProposals {
  const commits: PlannedCommit[] = [];
  const settled: Settled[] = [];
  const deferred: Proposal[] = [];
  const states = new Map<string, LedgerState>();

  for (const proposal of proposals) {
    const { repository } = proposal;
    const recorded = view.ledgers.get(repository);
    if (recorded?.problem !== undefined) {
      deferred.push(proposal);
      continue;
    }
    const state = states.get(repository) ?? { ledger: recorded?.ledger, bytes: recorded?.bytes };
    const answer = answerTo(proposal, state.ledger, view, options.now);
    settled.push({ id: proposal.id, ...(answer.refused === undefined ? {} : { refused: answer.refused }) });
    if (answer.change === undefined) continue;

    let bytes = state.bytes;
    if (!states.has(repository) && recorded !== undefined && recorded.unwritten.length > 0) {
      // By itself, so that reverting the version that follows does not take the decision out again.
      const decisions = decisionsCommit(repository, recorded, bytes, options.committer);
      commits.push(decisions);
      bytes = bytesOf(decisions);
    }
    const { ledger } = answer.change;
    const commit = versionsCommit(repository, { ...answer.change, before: bytes, committer: options.committer });
    commits.push(commit);
    states.set(repository, { ledger, bytes: bytesOf(commit) });
  }
  return { commits, settled, deferred };
}

interface Answer {
  /** Undefined: the ledger says it already, or it was refused. */
  readonly change?: { readonly subject: string; readonly body: string; readonly ledger: Ledger; readonly build?: Digest | undefined };
  readonly refused?: string;
}

function answerTo(proposal: Proposal, ledger: Ledger | undefined, view: RecordView, now: Date): Answer {
  if (proposal.body.kind === "retire") return answerToRetire(proposal, proposal.body, ledger);
  const policy = view.resources.get(`TagPolicy/${proposal.policy}`);
  if (policy?.spec === undefined) return { refused: `tagpolicy ${proposal.policy} is not recorded (any more): nothing is minted for it` };
  const sourceTags = (policy.spec as TagPolicySpec).sourceTags.map(({ name }) => name);
  return answerToMint(proposal, proposal.body, ledger, { now, sourceTags });
}

function answerToMint(
  proposal: Proposal,
  body: MintProposal,
  ledger: Ledger | undefined,
  options: { now: Date; sourceTags: readonly string[] },
): Answer {
  const build = body.build as Build;
  const image = ledger?.image !== undefined && ledger.image !== "" ? ledger.image : (proposal.image ?? body.repository);
  const request = { image, build, tags: body.tags, onRebuild: body.onRebuild };
  const result = mint(ledger, request, options);
  const bound = [...result.added.map(({ tag }) => tag), ...result.moved.map(({ tag }) => tag)];
  const already = body.tags.some((tag) => ledger?.tags[tag] === build.digest);
  const yields = result.refused.every(({ code }) => code === "NewerThere" || code === "FirstStays");
  if (bound.length === 0 && !already && !yields)
    return { refused: result.refused.map(({ tag, reason }) => `${tag}: ${reason}`).join("; ") };
  if (result.ledger === ledger) return {};
  const isNew = !(ledger?.builds ?? []).some(({ digest }) => digest === build.digest);
  const brings = isNew ? build.digest : undefined;
  return { change: { subject: build.version, body: describeMint(proposal.policy, build, result), ledger: result.ledger, build: brings } };
}

function answerToRetire(proposal: Proposal, body: RetireProposal, ledger: Ledger | undefined): Answer {
  const by = `retentionpolicy ${proposal.policy}`;
  const tags = body.tags.map(({ tag, digest, reason }) => ({ tag, digest: digest as Digest, reason }));
  if (ledger === undefined) return { refused: `${body.repository} has no versions` };
  const result = retire(ledger, tags, by);
  if (result.removed.length === 0) {
    const already = tags.every(({ tag }) => ledger.retired[tag] !== undefined);
    return already ? {} : { refused: result.refused.map(({ tag, reason }) => `${tag}: ${reason}`).join("; ") };
  }
  const lines = [
    ...result.removed.map(
      ({ tag, digest }) =>
        `* ${tag} leaves service (${digest}): ${printableLine(body.tags.find((entry) => entry.tag === tag)?.reason ?? "")}`,
    ),
    ...result.refused.map(({ tag, reason }) => `* ${tag} stays: ${reason}`),
  ];
  const named = result.removed.map(({ tag }) => tag);
  const subject = `retire ${named.length > 3 ? `${named.slice(0, 3).join(", ")} and ${named.length - 3} more` : named.join(", ")}`;
  return { change: { subject, body: [`By ${by}.`, lines.join("\n")].join("\n\n"), ledger: result.ledger } };
}

function describeMint(policy: string, build: Build, result: MintResult): string {
  const { evidence } = build;
  const facts = [
    `digest: ${build.digest}`,
    `source tag: ${build.sourceTag}`,
    `policy: tagpolicy ${policy}`,
    `evidence: ${evidence.type}, attestation ${evidence.attestation}`,
    `signer: ${describeSigner(evidence)}`,
    ...(evidence.signed === undefined ? [] : [`signed: ${evidence.signed}`]),
    ...(evidence.logIndex === undefined ? [] : [`log index: ${evidence.logIndex}`]),
    ...(evidence.rootVersion === undefined ? [] : [`trusted root: ${evidence.rootVersion}`]),
    ...(evidence.platforms.length === 0 ? [] : [`platforms: ${evidence.platforms.join(", ")}`]),
  ];
  const tags = [
    ...result.added.map(({ tag }) => `${tag}: new`),
    ...result.moved.map(({ tag, from }) => `${tag}: moves, was ${from}`),
    ...result.refused.map(({ tag, reason }) => `${tag}: not bound, ${reason}`),
  ];
  const list = (lines: readonly string[]): string => lines.map((line) => `* ${line}`).join("\n");
  return [list(facts), `Tags:\n${list(tags)}`].join("\n\n");
}

function describeSigner({ key, subject, issuer }: Build["evidence"]): string {
  if (key !== undefined) return `key ${key.name} (${key.fingerprint})`;
  return subject === undefined || issuer === undefined
    ? "nobody (mode Unverified)"
    : `${printableLine(subject)} (issuer ${printableLine(issuer)})`;
}

function bytesOf(commit: PlannedCommit): Buffer {
  return Buffer.from(commit.files[0]?.content ?? "");
}
