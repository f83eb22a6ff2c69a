// The four kinds.

import type { Specs } from "../../api/kinds.ts";
import type { Kind, ResourceKey } from "../../domain/resource.ts";
import { accessPolicyReconciler } from "./access-policy.ts";
import type { ObservedResource } from "../ports.ts";
import { requestedAtOf } from "../scheduled-policies.ts";
import type { Reconciler, ReportContext } from "./reconciler.ts";
import { retentionPolicyReconciler } from "./retention-policy.ts";
import { runDetails } from "./run-details.ts";
import type { Judgement, OwnReport } from "./skeleton.ts";
import { tagPolicyReconciler } from "./tag-policy.ts";
import { upstreamReconciler } from "./upstream.ts";

const reconcilers: { readonly [K in Kind]: Reconciler<K> } = {
  Upstream: upstreamReconciler,
  TagPolicy: tagPolicyReconciler,
  RetentionPolicy: retentionPolicyReconciler,
  AccessPolicy: accessPolicyReconciler,
};

/** The kind's own part of the status; of what was not judged good no more than its runs. */
export function ownReport(judgement: Judgement, context: ReportContext): OwnReport {
  if (judgement.state !== "good") return { conditions: [], details: runDetails(context.runsOf(judgement.key)) };
  const { key, desired, observed } = judgement;
  const own = reportAs(key.kind, key, desired.spec, context);
  return { ...own, details: { ...handledOf(observed), ...own.details } };
}

/** What has no runs is done with a request when it was looked at; a policy's runs say theirs. */
function handledOf({ kind, annotations }: ObservedResource): Readonly<Record<string, unknown>> {
  const requestedAt = requestedAtOf(annotations);
  if (requestedAt === undefined || kind === "TagPolicy" || kind === "RetentionPolicy") return {};
  return { lastHandledReconcileAt: requestedAt };
}

function reportAs<K extends Kind>(kind: K, key: ResourceKey, spec: unknown, context: ReportContext): OwnReport {
  return reconcilers[kind].report(key, spec as Specs[K], context);
}
