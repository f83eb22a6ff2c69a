// `plans/<namespace>/<policy>.yaml`: what the last run that deleted something deleted, and why (design: retention). A plan that deletes nothing commits nothing.

import { stringify } from "yaml";

import { recordApiVersion } from "../api/conditions.ts";
import type { PlanEntry } from "../api/control.ts";
import type { PlannedCommit } from "../record/commits.ts";
import { planCommit, type Committer } from "../record/messages.ts";
import type { JobOutcome } from "./ports.ts";

const maxEntries = 1_000;
const maxSubjects = 20;

interface Applied {
  readonly plan: string;
  readonly deleted: readonly PlanEntry[];
  readonly bytes: number;
}

/** The commit of a prune run; undefined when it deleted nothing. `policy`: namespace/name. */
export function deletedCommit(policy: string, outcome: JobOutcome, committer: Committer): PlannedCommit | undefined {
  const applied = appliedBy(outcome.result);
  if (applied === undefined || applied.deleted.length === 0) return undefined;
  const { plan, deleted, bytes } = applied;
  const entries = deleted.slice(0, maxEntries).map(({ repository, tag, digest, rule, reason, bytes }) => ({
    repository,
    ...(tag === undefined ? {} : { tag }),
    digest,
    rule,
    reason,
    bytes,
  }));
  const document = {
    apiVersion: recordApiVersion,
    kind: "Plan",
    policy,
    run: outcome.run,
    plan,
    deleted: deleted.length,
    bytes,
    ...(deleted.length > maxEntries ? { notListed: deleted.length - maxEntries } : {}),
    entries,
  };
  const lines = deleted
    .slice(0, maxSubjects)
    .map(({ repository, tag, digest, reason }) => `* ${repository}${tag === undefined ? `@${digest}` : `:${tag}`}: ${reason}`);
  const more = deleted.length > maxSubjects ? [`* and ${deleted.length - maxSubjects} more in the file`] : [];
  return planCommit(policy, {
    subject: `${deleted.length} deleted, ${bytes} bytes`,
    body: [...lines, ...more].join("\n"),
    content: stringify(document, { lineWidth: 0, aliasDuplicateObjects: false }),
    committer,
  });
}

/** The result of a prune run is the registry's answer to its apply, alone or under `applied`. */
function appliedBy(result: unknown): Applied | undefined {
  for (const candidate of [result, (result as { applied?: unknown } | null | undefined)?.applied]) {
    const found = candidate as Partial<Applied> | null | undefined;
    if (typeof found?.plan === "string" && Array.isArray(found.deleted))
      return { plan: found.plan, deleted: found.deleted, bytes: found.bytes ?? 0 };
  }
  return undefined;
}
