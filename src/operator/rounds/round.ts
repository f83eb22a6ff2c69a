// One round: everything that the sources, Git and the registry's proposals ask for, as one run of commits. Pure: what it needs is handed in.

import { kinds, keyString, type ResourceKey } from "../../domain/resource.ts";
import type { Proposal } from "../../api/control/proposals.ts";
import type { PlannedCommit } from "../../record/commits.ts";
import type { History } from "../../record/history.ts";
import { adoptionCommit, removalCommit, resourceCommit, type Committer } from "../../record/messages.ts";
import type { RecordView } from "../../record/record-view.ts";
import type { RemovalWord } from "../../record/removal-word.ts";
import type { Verdicts } from "../../validation/verdicts.ts";
import type { Grants } from "./grants.ts";
import { otherInstallation, type OtherInstallation } from "./other-installation.ts";
import type { ResourceSnapshot } from "../ports.ts";
import { filesInOrder } from "./published-resources.ts";
import { decideRecord } from "./record-decision.ts";
import { findRemovals, type Removals } from "./removals.ts";
import { judge, type Judgement } from "../reconcilers/skeleton.ts";
import { settleProposals, type Settled } from "./settle-proposals.ts";

export interface RoundInput {
  readonly snapshot: ResourceSnapshot;
  readonly view: RecordView;
  readonly history: History;
  readonly grants: Grants;
  /** Of the rounds before. */
  readonly verdicts: Verdicts;
  /** false: it was recorded so often lately that it waits. */
  readonly mayRecord: (id: string) => boolean;
  /** Installations from which nothing is adopted, of whose the record is besides. */
  readonly yieldsTo: (other: OtherInstallation | undefined) => ReadonlySet<string>;
  /** How many changes of a namespace may be recorded now. */
  readonly roomIn: (namespace: string) => number;
  readonly committer: Committer;
  readonly proposals: readonly Proposal[];
  /** Commits that are ready as they are: plans. */
  readonly others: readonly PlannedCommit[];
  /** Persons let files go. */
  readonly removalWords: readonly RemovalWord[];
  readonly now: Date;
}

export interface RoundPlan {
  readonly judgements: readonly Judgement[];
  readonly commits: readonly PlannedCommit[];
  readonly settled: readonly Settled[];
  readonly deferred: readonly Proposal[];
  readonly removals: Removals;
  /** Whose the record is besides; undefined: nobody's. */
  readonly other: OtherInstallation | undefined;
  readonly yieldsTo: ReadonlySet<string>;
}

export function planRound(input: RoundInput): RoundPlan {
  const { snapshot, view, history, committer } = input;
  const { installation } = committer;
  const removals = findRemovals(view, history, { snapshot, installation, words: input.removalWords, now: input.now });
  const gone = new Set(removals.removals.map(({ key }) => keyString(key)));
  const inOrder = filesInOrder(view).filter(({ key }) => !gone.has(keyString(key)));
  const judgements = judge(snapshot.resources, { files: view.resources, inOrder, grants: input.grants, verdicts: input.verdicts });
  const other = otherInstallation(removals, history, { installation, now: input.now });
  const yieldsTo = input.yieldsTo(other);
  const proposals = settleProposals(input.proposals, view, { committer, now: input.now });
  return {
    judgements,
    commits: [
      ...removals.removals.map(({ key, ...removal }) => removalCommit(key, { ...removal, committer })),
      ...inTheirRoom(
        kinds.flatMap((kind) =>
          judgements.filter(({ key }) => key.kind === kind).flatMap((judgement) => changeOf(judgement, input, yieldsTo)),
        ),
        input,
      ),
      ...proposals.commits,
      ...input.others,
    ],
    settled: proposals.settled,
    deferred: proposals.deferred,
    removals,
    other,
    yieldsTo,
  };
}

interface Change {
  readonly key: ResourceKey;
  readonly commit: PlannedCommit;
}

/** Of a namespace for which there is no room for all those that were recorded longest ago, so that each has its turn. */
function inTheirRoom(changes: readonly Change[], { history, roomIn }: RoundInput): readonly PlannedCommit[] {
  const recordedAt = ({ key }: Change) => history.memoryOf(key)?.commit.index ?? -1;
  const chosen = [...Map.groupBy(changes, ({ key }) => key.namespace)].flatMap(([namespace, theirs]) => {
    const room = roomIn(namespace);
    return theirs.length <= room ? theirs : theirs.toSorted((a, b) => recordedAt(a) - recordedAt(b)).slice(0, room);
  });
  const now = new Set(chosen);
  return changes.filter((change) => now.has(change)).map(({ commit }) => commit);
}

function changeOf(judgement: Judgement, { view, history, committer, mayRecord }: RoundInput, yieldsTo: ReadonlySet<string>): Change[] {
  if (judgement.state !== "good") return [];
  const { desired } = judgement;
  if (!mayRecord(keyString(desired.key))) return [];
  const file = view.resources.get(keyString(desired.key));
  const decision = decideRecord(desired, { file, history, installation: committer.installation, yieldsTo });
  const change = { ...desired, generation: decision.generation };
  switch (decision.action) {
    case "keep":
      return [];
    case "adopt":
      return [{ key: desired.key, commit: adoptionCommit(change, decision.by, committer) }];
    case "render": {
      const [before, ends] = [file === undefined ? {} : { before: file }, decision.ends === undefined ? {} : { ends: decision.ends }];
      return [{ key: desired.key, commit: resourceCommit({ ...change, ...before, ...ends }, committer) }];
    }
  }
}
