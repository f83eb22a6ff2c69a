// After the commits and the publish: how each resource came through, for its conditions.

import { reasons } from "../../api/conditions.ts";
import type { RecordState } from "../../api/control/record.ts";
import { keyString } from "../../domain/resource.ts";
import type { History } from "../../record/history.ts";
import type { RecordView } from "../../record/record-view.ts";
import { decideRecord } from "./record-decision.ts";
import type { ServedRecord } from "./published-resources.ts";
import type { Finding, Judgement, Passage } from "../reconcilers/skeleton.ts";

export interface Outcome {
  readonly view: RecordView;
  readonly history: History;
  readonly installation: string;
  /** As of the round's plan. */
  readonly yieldsTo: ReadonlySet<string>;
  readonly served: ServedRecord;
  /** Why nothing could be committed. */
  readonly commitProblem: Finding | undefined;
  /** Why the remote cannot be followed. */
  readonly remoteProblem: string | undefined;
  /** Why HEAD is not published. */
  readonly publishProblem: Finding | undefined;
  /** The registry's answer, the last one where it gives none. */
  readonly state: RecordState | undefined;
}

const waits =
  "waits to be committed: it changed so often that now it is recorded once a minute, or its namespace so often that now one change a second is";

export function passageOf(judgement: Judgement, outcome: Outcome): Passage {
  const { view, history, installation, yieldsTo } = outcome;
  const id = keyString(judgement.key);
  const file = view.resources.get(id);
  const memory = history.memoryOf(judgement.key);
  const decision = judgement.state === "good" ? decideRecord(judgement.desired, { file, history, installation, yieldsTo }) : undefined;
  const pending = decision !== undefined && decision.action !== "keep";
  return {
    decision,
    file,
    recordedGeneration: memory === undefined || memory.specDigest === "none" ? undefined : memory.generation,
    notRecorded: pending ? (outcome.commitProblem ?? { reason: reasons.notRecorded, message: waits }) : undefined,
    notPublished: notPublished(id, outcome),
  };
}

/** Why the registry does not serve a file, or not yet. */
export function notPublished(id: string, outcome: Outcome): Passage["notPublished"] {
  const { served, publishProblem, state } = outcome;
  const withheld = served.withheld.get(id);
  if (withheld !== undefined) return { reason: withheld.reason, message: withheld.message, final: true };
  const pods = state?.pods ?? [];
  const behind = pods.filter(({ revision }) => !serves(revision, id, outcome));
  // A registry that starts anew is served by what it had: what every process had as it is now when it was last heard is no less there.
  if (publishProblem !== undefined && (behind.length > 0 || pods.length === 0)) return { ...publishProblem, final: false };
  const refused = state?.refused?.find(({ kind, namespace, name }) => `${kind}/${namespace}/${name}` === id);
  if (refused !== undefined) return { reason: refused.reason, message: refused.message, final: true };
  if (behind.length === 0) return undefined;
  const message = `recorded and published; ${behind.map((pod) => pod.id).join(", ")} still ${behind.length === 1 ? "serves" : "serve"} an older revision`;
  return { reason: reasons.progressing, message, final: false };
}

/** Whether a process at this revision has the file as it is now: a thousand resources do not wait for the commit of one. */
function serves(revision: string | null, id: string, { view, history }: Outcome): boolean {
  if (revision === view.head) return true;
  const at = revision === null ? undefined : history.commit(revision);
  const file = view.resources.get(id);
  return at !== undefined && file !== undefined && file.revision.index <= at.index;
}
