// Version tags are not deleted here: they are proposed to retire, the record says so, and the publish removes them. Git first, also here.

import type { RetireProposal } from "../../../api/control/proposals.ts";
import type { PlanEntry } from "../../../api/control/retention.ts";
import { insertProposal, lockProposals, waitingProposalsOf } from "../../metadata/proposals.ts";
import type { Repository } from "../../metadata/repositories.ts";
import { judge, type Applied, type ApplyContext } from "../retention/apply-plan.ts";

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
    const { repository: facts, tags } = await judge(context, transaction, repository);
    const published = new Map(facts.tags.map(({ name, digest }) => [name, digest]));
    const kept: PlanEntry[] = [];
    const retiring: RetireProposal["tags"] = [];
    for (const entry of entries) {
      const now = published.get(entry.tag ?? "");
      const verdict = tags.get(entry.tag ?? "");
      if (now === undefined || verdict === undefined) kept.push(changed(entry, "the version is not published any more"));
      else if (now !== entry.digest) kept.push(changed(entry, `the version is ${now} now`));
      else if (verdict.keep) kept.push({ ...entry, verdict: "keep", rule: verdict.rule, reason: verdict.reason });
      else retiring.push({ tag: entry.tag ?? "", digest: entry.digest, reason: `policy ${context.policy}: ${verdict.reason}` });
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
