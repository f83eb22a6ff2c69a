// What is to be said of the record as a whole, after a round.

import { reasons } from "../../api/conditions.ts";
import type { ControlPlaneStatus } from "../../api/control/record.ts";
import { describeKey, keyString, type ResourceKey } from "../../domain/resource.ts";
import type { FileProblem } from "../../record/yaml-file.ts";
import type { Outcome } from "./passages.ts";
import type { Met } from "../../observability/obstacles.ts";
import type { HowToSay } from "../persons-word.ts";
import type { SourceProblem } from "../ports.ts";
import type { Removals, WaitingRemovals } from "./removals.ts";
import type { RoundPlan } from "./round.ts";

export interface RecordStatus {
  readonly head: string | null;
  /** As last heard from the registry. */
  readonly published: string | null;
  /** Files of the record that no resource stands behind. */
  readonly orphans: readonly ResourceKey[];
  /** Files that are not valid, with their lines. */
  readonly problems: readonly FileProblem[];
  /** Fields of its valid files that are kept and ignored. */
  readonly warnings: readonly FileProblem[];
  /** What waits for a person, and what the person has to do. */
  readonly waiting: readonly string[];
  /** Removals among it. */
  readonly waitingRemovals: readonly WaitingRemovals[];
  /** Why nothing can be committed at this moment, or the remote not be followed; undefined: all is well. */
  readonly problem: string | undefined;
  /** The record is another installation's, too; undefined: it is ours. */
  readonly other: Met | undefined;
  /** Documents of the source that are no resources at all, so no condition can say it. */
  readonly sourceProblems: readonly SourceProblem[];
}

/** Of the record alone; the source speaks for itself at any time. */
export type RoundStatus = Omit<RecordStatus, "sourceProblems">;

export const nothingYet: RoundStatus = {
  head: null,
  published: null,
  orphans: [],
  problems: [],
  warnings: [],
  waiting: [],
  waitingRemovals: [],
  problem: undefined,
  other: undefined,
};

export function recordStatus(plan: RoundPlan, outcome: Outcome, howToSay: HowToSay): Omit<RoundStatus, "other"> {
  const { head, problems, warnings } = outcome.view;
  return {
    head,
    published: outcome.state?.revision ?? null,
    orphans: plan.removals.orphans,
    problems,
    warnings,
    waiting: waitingFor(plan, outcome, howToSay),
    waitingRemovals: plan.removals.waiting,
    problem: outcome.commitProblem?.message ?? outcome.remoteProblem,
  };
}

/** As people are shown it. */
export function shownStatus(status: RecordStatus): ControlPlaneStatus {
  const { head, orphans, problems, warnings, waiting, problem, other, sourceProblems } = status;
  return {
    head,
    orphans: orphans.map(describeKey),
    problems: problems.map(shownProblem),
    warnings: warnings.map(shownProblem),
    waiting: [...waiting],
    ...(problem === undefined ? {} : { problem }),
    ...(other === undefined ? {} : { otherInstallation: other.message }),
    sourceProblems: sourceProblems.map(({ source, line, message }) =>
      line === undefined ? { source, message } : { source, line, message },
    ),
  };
}

function shownProblem({ path, line, message }: FileProblem): ControlPlaneStatus["problems"][number] {
  return line === undefined ? { file: path, message } : { file: path, line, message };
}

/** Of what was emptied: all names may be more than the ConfigMap has room for that tells of them. */
const mostNamed = 20;
const forAPerson: ReadonlySet<string> = new Set(["RevisionNotAccepted", reasons.signerNotAllowed]);

function waitingFor({ removals, deferred }: RoundPlan, { publishProblem }: Outcome, howToSay: HowToSay): string[] {
  const waiting: string[] = [];
  if (publishProblem !== undefined && forAPerson.has(publishProblem.reason)) waiting.push(publishProblem.message);
  waiting.push(...waitingRemovals(removals, howToSay));
  for (const { repository } of deferred) waiting.push(`versions of ${repository} wait until its ledger file is valid`);
  return [...new Set(waiting)];
}

/** A sentence a namespace, and, where they are several, one for all. */
function waitingRemovals({ waiting, wordForAll }: Removals, howToSay: HowToSay): readonly string[] {
  const sentences = waiting.slice(0, mostNamed).map(({ namespace, keys, loss, word }) => {
    const many = `namespace ${namespace}: ${areGone(keys.length)} (${named(keys.map(keyString))})`;
    const why = `within an hour ${loss.gone} of ${loss.stood} ${loss.of} would be removed`;
    return `${many}; what is recorded is served on, because ${why}. To remove it: ${howToSay("confirm-removal", word)}`;
  });
  if (waiting.length < 2 || wordForAll === undefined) return sentences;
  const total = waiting.reduce((sum, { keys }) => sum + keys.length, 0);
  const where = named(waiting.map(({ namespace, keys }) => `${namespace} ${keys.length}`));
  return [
    ...sentences,
    `${areGone(total)} in ${waiting.length} namespaces (${where}). To remove all of them: ${howToSay("confirm-removal", wordForAll)}`,
  ];
}

function areGone(count: number): string {
  return count === 1 ? "1 resource is gone" : `${count} resources are gone`;
}

function named(names: readonly string[]): string {
  const more = names.length > mostNamed ? `, … and ${names.length - mostNamed} more` : "";
  return `${names.slice(0, mostNamed).join(", ")}${more}`;
}
