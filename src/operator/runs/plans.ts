// `plans/<namespace>/<policy>.yaml`: what the last run that deleted something deleted, and why (design: retention). A plan that deletes nothing commits nothing.

import { stringify } from "yaml";

import { recordApiVersion } from "../../api/conditions.ts";
import type { PlanEntry } from "../../api/control/retention.ts";
import { printableLine } from "../../domain/printable.ts";
import type { PlannedCommit } from "../../record/commits.ts";
import { planCommit, type Committer } from "../../record/messages.ts";
import type { JobOutcome } from "../ports.ts";
import { entriesOf, fieldsOf, numberIn, textIn } from "./run-results.ts";

const maxEntries = 1_000;
const maxSubjects = 20;
/** Characters of what a job says of one deletion. */
const longest = { id: 512, words: 1_000 } as const;

interface Applied {
  readonly plan: string;
  /** A run that deleted very much lists not all of it. */
  readonly count: number;
  readonly deleted: readonly Deleted[];
  readonly bytes: number;
}

type Deleted = Pick<PlanEntry, "repository" | "tag" | "digest" | "rule" | "reason" | "bytes">;

/** The commit of a prune run; undefined when it deleted nothing. `policy`: namespace/name. */
export function deletedCommit(policy: string, outcome: JobOutcome, committer: Committer): PlannedCommit | undefined {
  const applied = appliedBy(outcome.result);
  if (applied === undefined || applied.deleted.length === 0) return undefined;
  const { plan, count, deleted, bytes } = applied;
  const entries = deleted.slice(0, maxEntries);
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
    .map(({ repository, tag, digest, reason }) =>
      printableLine(`* ${repository}${tag === undefined ? `@${digest}` : `:${tag}`}: ${reason}`),
    );
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
  const whole = fieldsOf(result);
  for (const candidate of [whole, fieldsOf(whole["applied"])]) {
    const plan = textIn(candidate, "plan", longest.id);
    if (plan === undefined || !Array.isArray(candidate["deleted"])) continue;
    const deleted = entriesOf(candidate["deleted"]).flatMap((entry) => deletedBy(fieldsOf(entry)));
    const count = Math.max(numberIn(whole, "deleted") ?? 0, deleted.length);
    return { plan, count, deleted, bytes: numberIn(candidate, "bytes") ?? 0 };
  }
  return undefined;
}

function deletedBy(entry: Readonly<Record<string, unknown>>): Deleted[] {
  const [repository, tag] = [textIn(entry, "repository", longest.id), textIn(entry, "tag", longest.id)];
  const [digest, reason] = [textIn(entry, "digest", longest.id), textIn(entry, "reason", longest.words)];
  if (repository === undefined || digest === undefined || reason === undefined) return [];
  const [rule, bytes] = [textIn(entry, "rule", longest.id) ?? "", numberIn(entry, "bytes") ?? 0];
  return [{ repository, ...(tag === undefined ? {} : { tag }), digest, rule, reason, bytes }];
}
