// Version tags are not deleted here: they are proposed to retire, the record says so, and the publish removes them. Git first, also here.

import type { PlanEntry, RetireProposal } from "../../api/control.ts";
import type { Digest } from "../../domain/digest.ts";
import { inUseOf } from "../../domain/retention/in-use.ts";
import { compilePolicies, judgeRepository } from "../../domain/retention/plan.ts";
import { insertProposal, lockProposals, waitingProposalsOf } from "../metadata/proposals.ts";
import type { Queryable } from "../metadata/database.ts";
import type { Repository } from "../metadata/repositories.ts";
import type { Applied, ApplyContext } from "./apply-plan.ts";
import { readFacts } from "./retention-facts.ts";

/** One proposal for the version tags of this repository that the policy still deletes; those that wait already are not proposed twice. */
export async function proposeRetirement(
  context: ApplyContext,
  repository: Repository,
  entries: readonly PlanEntry[],
  run: string | undefined,
): Promise<Applied> {
  return context.database.transaction(async (transaction) => {
    await lockProposals(transaction, repository.name);
    const refusal = context.refusal();
    if (refusal !== undefined) return { deleted: [], kept: entries.map((entry) => changed(entry, refusal)), proposals: [], bytes: 0 };
    const verdicts = await judge(context, transaction, repository);
    const kept: PlanEntry[] = [];
    const retiring: RetireProposal["tags"] = [];
    for (const entry of entries) {
      const now = verdicts.get(entry.tag ?? "");
      if (now === undefined) kept.push(changed(entry, "the version is not published any more"));
      else if (now.digest !== entry.digest) kept.push(changed(entry, `the version is ${now.digest} now`));
      else if (now.keep) kept.push({ ...entry, verdict: "keep", rule: now.rule, reason: now.reason });
      else retiring.push({ tag: entry.tag ?? "", digest: entry.digest, reason: `policy ${context.policy}: ${now.reason}` });
    }
    const waiting = await waitingProposalsOf(transaction, repository.name, "retire");
    const proposals = new Set<string>();
    const fresh = retiring.filter(({ tag, digest }) => {
      const before = waiting.find(
        ({ body }) => body.kind === "retire" && body.tags.some((other) => other.tag === tag && other.digest === digest),
      );
      if (before !== undefined) proposals.add(before.id);
      return before === undefined;
    });
    if (fresh.length > 0) {
      const body: RetireProposal = { kind: "retire", ...(run === undefined ? {} : { run }), repository: repository.name, tags: fresh };
      proposals.add((await insertProposal(transaction, { run, policy: context.policy, repository: repository.name, body })).id);
    }
    return { deleted: [], kept, proposals: [...proposals], bytes: 0 };
  });
}

function changed(entry: PlanEntry, reason: string): PlanEntry {
  return { ...entry, verdict: "keep", rule: "changed", reason };
}

interface VersionVerdict {
  readonly digest: Digest;
  readonly keep: boolean;
  readonly rule: string;
  readonly reason: string;
}

async function judge(context: ApplyContext, transaction: Queryable, repository: Repository): Promise<ReadonlyMap<string, VersionVerdict>> {
  const policies = compilePolicies(await context.policies());
  const facts = await readFacts(transaction, [repository], context.pullsCounted);
  const [read] = facts.repositories;
  if (read === undefined) return new Map();
  const { tags } = judgeRepository(read, { planned: context.policy, policies, inUse: inUseOf(facts), facts });
  return new Map(
    read.tags.flatMap(({ name, digest }) => {
      const verdict = tags.get(name);
      return verdict === undefined ? [] : [[name, { ...verdict, digest }] as const];
    }),
  );
}
