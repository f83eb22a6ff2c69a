// `plans/<namespace>/<policy>.yaml`: what the last run that deleted something deleted, and why (design: retention). A plan that deletes nothing commits nothing.

import { stringify } from "yaml";

import { recordApiVersion } from "../api/conditions.ts";
import type { PlanEntry } from "../api/control/retention.ts";
import type { PlannedCommit } from "../record/commits.ts";
import { planCommit, type Committer } from "../record/messages.ts";
import type { JobOutcome } from "./ports.ts";

const maxEntries = 1_000;
const maxSubjects = 20;

interface Applied {
  readonly plan: string;
  /** A run that deleted very much lists not all of it. */
  readonly count: number;
  readonly deleted: readonly PlanEntry[];
  readonly bytes: number;
}

/** The commit of a prune run; undefined when it deleted nothing. `policy`: namespace/name. */
export function deletedCommit(policy: string, outcome: JobOutcome, committer: Committer): PlannedCommit | undefined {
  const applied = appliedBy(outcome.result);
  if (applied === undefined || applied.deleted.length === 0) return undefined;
  const { plan, count, deleted, bytes } = applied;
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
    deleted: count,
    bytes,
    ...(count > entries.length ? { notListed: count - entries.length } : {}),
    entries,
  };
  const lines = deleted
    .slice(0, maxSubjects)
    .map(({ repository, tag, digest, reason }) => `* ${repository}${tag === undefined ? `@${digest}` : `:${tag}`}: ${reason}`);
  const more = count > maxSubjects ? [`* and ${count - maxSubjects} more in the file`] : [];
  return planCommit(policy, {
    run: outcome.run,
    subject: `${count} deleted, ${bytes} bytes`,
    body: [...lines, ...more].join("\n"),
    content: stringify(document, { lineWidth: 0, aliasDuplicateObjects: false }),
    committer,
  });
}

/** The result of a prune run is the registry's answer to its apply, alone or under `applied`. */
function appliedBy(result: unknown): Applied | undefined {
  const whole = result as { readonly applied?: unknown; readonly deleted?: unknown } | null | undefined;
  for (const candidate of [whole, whole?.applied]) {
    const found = candidate as Partial<Applied> | null | undefined;
    if (typeof found?.plan !== "string" || !Array.isArray(found.deleted)) continue;
    const deleted = (found.deleted as readonly unknown[]).filter(isEntry);
    const count = typeof whole?.deleted === "number" ? Math.max(whole.deleted, deleted.length) : deleted.length;
    return { plan: found.plan, count, deleted, bytes: typeof found.bytes === "number" ? found.bytes : 0 };
  }
  return undefined;
}

/** A run's result is what its job wrote. */
function isEntry(value: unknown): value is PlanEntry {
  const entry = value as Partial<PlanEntry> | null | undefined;
  return typeof entry?.repository === "string" && typeof entry.digest === "string" && typeof entry.reason === "string";
}
