// Files of the record that no resource of the source stands behind. Without a status of their own people would not see what is served.

import { conditionTypes, reasons } from "../api/conditions.ts";
import { keyString, type ResourceKey } from "../domain/resource.ts";
import type { RecordedFile } from "../record/record-view.ts";
import { notPublished, type Outcome } from "./passages.ts";
import type { HowToSay } from "./persons-word.ts";
import { filesInOrder } from "./published-resources.ts";
import type { Finding } from "./reconcilers/skeleton.ts";
import type { RoundPlan } from "./round.ts";
import type { ConditionDraft, Status } from "./status-store.ts";

/** One status a file, with the reason why it is there still. */
export function unsourced(plan: RoundPlan, outcome: Outcome, howToSay: HowToSay): readonly Status[] {
  const sourced = new Set(plan.judgements.map(({ key }) => keyString(key)));
  return filesInOrder(outcome.view)
    .filter(({ key }) => !sourced.has(keyString(key)))
    .map((file) => statusOf(file, outcome, whyServed(file.key, plan, outcome, howToSay)));
}

function whyServed(key: ResourceKey, { removals }: RoundPlan, { view, commitProblem }: Outcome, howToSay: HowToSay): Finding {
  const id = keyString(key);
  if (removals.orphans.some((orphan) => keyString(orphan) === id)) {
    const message = "in the record, and no resource stands behind it: served until its file is removed or the resource comes back";
    return { reason: reasons.orphaned, message };
  }
  if (!removals.removals.some((removal) => keyString(removal.key) === id)) {
    const message = "its resource is not in what could be read of the configuration: served until all of it can be read";
    return { reason: reasons.sourceIncomplete, message };
  }
  if (!removals.waiting)
    return commitProblem ?? { reason: reasons.notRecorded, message: "its resource is gone; its removal waits to be committed" };
  const message = `its resource is gone, with many others: served until you confirm it (${howToSay("confirm-removal", view.head ?? "")})`;
  return { reason: reasons.waitsForConfirmation, message };
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
