// Files of the record that no resource of the source stands behind. Without a status of their own people would not see what is served.

import { conditionTypes, reasons } from "../../api/conditions.ts";
import { keyString } from "../../domain/resource.ts";
import type { RecordedFile } from "../../record/record-view.ts";
import { notPublished, type Outcome } from "./passages.ts";
import type { HowToSay } from "../persons-word.ts";
import { filesInOrder } from "./published-resources.ts";
import type { Finding } from "../reconcilers/skeleton.ts";
import type { RoundPlan } from "./round.ts";
import type { ConditionDraft, Status } from "../status-store.ts";

/** One status a file, with the reason why it is there still. */
export function unsourced(plan: RoundPlan, outcome: Outcome, howToSay: HowToSay): readonly Status[] {
  const sourced = new Set(plan.judgements.map(({ key }) => keyString(key)));
  const { removals, orphans, waiting } = plan.removals;
  const why: Why = {
    orphans: new Set(orphans.map(keyString)),
    removed: new Set(removals.map(({ key }) => keyString(key))),
    waiting: new Map(waiting.flatMap(({ keys, word }) => keys.map((key) => [keyString(key), word]))),
    howToSay,
  };
  return filesInOrder(outcome.view)
    .filter(({ key }) => !sourced.has(keyString(key)))
    .map((file) => statusOf(file, outcome, whyServed(keyString(file.key), why, outcome)));
}

/** By id. */
interface Why {
  readonly orphans: ReadonlySet<string>;
  readonly removed: ReadonlySet<string>;
  /** The words that let them go. */
  readonly waiting: ReadonlyMap<string, string>;
  readonly howToSay: HowToSay;
}

function whyServed(id: string, { orphans, removed, waiting, howToSay }: Why, { commitProblem }: Outcome): Finding {
  if (orphans.has(id)) {
    const message = "in the record, and no resource stands behind it: served until its file is removed or the resource comes back";
    return { reason: reasons.orphaned, message };
  }
  const word = waiting.get(id);
  if (word !== undefined) {
    const message = `its resource is gone, with many others: served until you confirm it (${howToSay("confirm-removal", word)})`;
    return { reason: reasons.waitsForConfirmation, message };
  }
  if (!removed.has(id)) {
    const message = "its resource is not in what could be read of the configuration: served until all of it can be read";
    return { reason: reasons.sourceIncomplete, message };
  }
  return commitProblem ?? { reason: reasons.notRecorded, message: "its resource is gone; its removal waits to be committed" };
}

function statusOf(file: RecordedFile, outcome: Outcome, why: Finding): Status {
  const { key, spec, revision } = file;
  const generation = outcome.history.memoryOf(key)?.generation ?? 1;
  const obstacle = notPublished(keyString(key), outcome);
  const ready: ConditionDraft = {
    type: conditionTypes.ready,
    status: obstacle === undefined ? "True" : "False",
    reason: obstacle?.reason ?? why.reason,
    message: [obstacle?.message, why.message].filter((part) => part !== undefined).join("; "),
  };
  const recorded = {
    type: conditionTypes.recorded,
    status: "True",
    reason: reasons.succeeded,
    message: `generation ${generation} is recorded`,
  } as const;
  return {
    key,
    generation,
    source: undefined,
    spec,
    recordedGeneration: generation,
    revision: revision.id,
    conditions: [ready, recorded],
    details: {},
  };
}
