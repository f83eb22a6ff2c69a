// Which policies run on a schedule: those that are published, because a job asks the registry for its policy.

import { annotations } from "../../api/conditions.ts";
import type { RetentionPolicySpec, TagPolicySpec } from "../../api/kinds.ts";
import { keyString, type ResourceKey } from "../../domain/resource.ts";
import type { Outcome } from "../rounds/passages.ts";
import type { Judgement } from "../reconcilers/skeleton.ts";
import type { ScheduledPolicy } from "./timetable.ts";

/** Policies of one kind that are good, recorded and served. */
export function scheduledPolicies(
  kind: "TagPolicy" | "RetentionPolicy",
  judgements: readonly Judgement[],
  { served, history }: Pick<Outcome, "served" | "history">,
  lacks: (key: ResourceKey, spec: TagPolicySpec) => string | undefined,
): readonly ScheduledPolicy[] {
  const resources = new Map(served.resources.map((resource) => [keyString(resource), resource]));
  return judgements.flatMap((judgement) => {
    const resource = resources.get(keyString(judgement.key));
    if (judgement.key.kind !== kind || judgement.state !== "good" || resource === undefined) return [];
    const { schedule, timeZone } = resource.spec as TagPolicySpec | RetentionPolicySpec;
    const asked = judgement.observed.annotations;
    const requestedAt = requestedAtOf(asked);
    const approve = asked[annotations.approvePlan];
    const { revision } = resource;
    const recordedAt = history.commit(revision)?.date;
    const { generation, handledRequest } = judgement.observed;
    const lacking = kind === "TagPolicy" ? lacks(judgement.key, resource.spec as TagPolicySpec) : undefined;
    const policy = { key: judgement.key, revision, schedule, timeZone, requestedAt };
    return [
      {
        ...policy,
        ...(generation === undefined ? {} : { generation }),
        ...(recordedAt === undefined ? {} : { recordedAt }),
        ...(lacking === undefined ? {} : { lacks: lacking }),
        ...(handledRequest === undefined ? {} : { handledRequest }),
        ...(approve === undefined ? {} : { approve }),
      },
    ];
  });
}

/** Why a run of a policy must not go on, in a sentence; undefined: it may. A policy that is only wrong runs as it was recorded. */
export function haltOf(key: ResourceKey, judgements: readonly Judgement[], { served }: Pick<Outcome, "served">): string | undefined {
  const id = keyString(key);
  const judgement = judgements.find((candidate) => keyString(candidate.key) === id);
  if (judgement?.state === "suspended")
    return `stopped: spec.suspend of ${key.kind} ${key.namespace}/${key.name} was set while its job ran`;
  // What is gone and served waits for a person's word.
  if (judgement !== undefined || served.resources.some((resource) => keyString(resource) === id)) return undefined;
  return `stopped: ${key.kind} ${key.namespace}/${key.name} was deleted while its job ran`;
}

/** Of a request in the status: as the resource definitions have it. */
const longestRequest = 128;

/** Value of the annotation that asks for a look now, as much of it as a status has room for. */
export function requestedAtOf(asked: Readonly<Record<string, string>>): string | undefined {
  return (asked[annotations.requestedAt] ?? asked[annotations.fluxRequestedAt])?.slice(0, longestRequest).toWellFormed();
}
