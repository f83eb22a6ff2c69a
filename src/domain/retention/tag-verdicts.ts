// Tags: kept if any rule of any policy that selects the repository keeps them.

import type { Verdict } from "./facts.ts";
import { lastPull, type Graph } from "./graph.ts";
import type { InUse } from "./in-use.ts";
import type { EvaluablePolicy, Policy } from "./policy.ts";
import type { Candidate, RuleContext } from "./rules.ts";

export interface Judgement {
  /** The policy that is planned: its rules are named plainly, those of others with their policy. */
  readonly planned: string;
  /** Those that select this repository, the planned one first, then by key. */
  readonly policies: readonly Policy[];
  readonly inUse: InUse;
  readonly context: RuleContext;
}

/** The verdict of every ordinary tag. */
export function judgeTags(graph: Graph, judgement: Judgement): Map<string, Verdict> {
  const { policies, context, inUse } = judgement;
  const candidates = graph.ordinary.map((tag): Candidate => {
    const pulledAt = lastPull(graph, tag.digest);
    const presentSince = graph.manifests.get(tag.digest)?.pushedAt ?? tag.pushedAt;
    return { ...tag, presentSince: Math.max(presentSince, tag.pushedAt), ...(pulledAt === undefined ? {} : { pulledAt }) };
  });
  const kept = new Map<string, Verdict>();
  const refused = new Map<string, string[]>(candidates.map(({ name }) => [name, []]));
  const keep = (tag: string, rule: string, reason: string) => {
    if (!kept.has(tag)) kept.set(tag, { keep: true, rule, reason });
  };

  for (const policy of policies) {
    const closed = closedReason(policy, inUse);
    if (closed === undefined) continue;
    for (const { name } of candidates) keep(name, ruleName(judgement, policy, closed.rule), closed.reason);
  }
  for (const policy of policies.filter((policy): policy is EvaluablePolicy => policy.broken === undefined)) {
    for (const rule of policy.keep) {
      const name = ruleName(judgement, policy, rule.name);
      const answer = rule.answer(candidates, context);
      for (const { name: tag } of candidates) {
        const { keep: keeps, why } = answer.get(tag) ?? { keep: false, why: `does not match ${rule.tags ?? ""}` };
        if (keeps) keep(tag, name, why);
        else refused.get(tag)?.push(`${name}: ${why}`);
      }
    }
    for (const { name, digest } of candidates) {
      const use = inUse.useOf(policy, graph, digest);
      if (use !== undefined) keep(name, ruleName(judgement, policy, "inUse"), use);
    }
  }
  return new Map(
    candidates.map(({ name }) => [
      name,
      kept.get(name) ?? { keep: false, rule: "none", reason: `no rule keeps it (${(refused.get(name) ?? []).join("; ")})` },
    ]),
  );
}

/** Why this policy keeps everything it selects, whatever its rules say. */
export function closedReason(policy: Policy, inUse: InUse): { readonly rule: string; readonly reason: string } | undefined {
  if (policy.broken !== undefined)
    return { rule: "invalid", reason: `the policy cannot be evaluated, so it keeps everything: ${policy.broken}` };
  const silent = inUse.silence(policy);
  return silent === undefined ? undefined : { rule: "inUse", reason: silent };
}

export function ruleName(judgement: Pick<Judgement, "planned">, policy: Policy, rule: string): string {
  return policy.key === judgement.planned ? rule : `${policy.key}: ${rule}`;
}
