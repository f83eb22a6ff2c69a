// The four kinds.

import type { Specs } from "../../api/kinds.ts";
import { keyString, type Kind, type ResourceKey } from "../../domain/resource.ts";
import { accessPolicyReconciler } from "./access-policy.ts";
import { requestedAtOf } from "../runs/scheduled-policies.ts";
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

/** The kind's own part of the status; of what was not judged good no conditions, and the details of what is served of it. */
export function ownReport(judgement: Judgement, context: ReportContext): OwnReport {
  const { key, state } = judgement;
  const spec = state === "good" || state === "blocked" ? judgement.desired.spec : context.view.resources.get(keyString(key))?.spec;
  const own = spec === undefined ? { conditions: [], details: runsAlone(key, context) } : reportAs(key.kind, key, spec, context);
  const details = { ...handledOf(judgement, context), ...own.details };
  return state === "good" ? { ...own, details } : { conditions: [], details };
}

function runsAlone(key: ResourceKey, context: ReportContext): Readonly<Record<string, unknown>> {
  return hasRuns(key) ? runDetails(context.runsOf(key)) : {};
}

/** What has no runs is done with a request when it was looked at, an Upstream when it was asked; a policy's runs say theirs. What was said stays. */
function handledOf({ key, state, observed }: Judgement, context: ReportContext): Readonly<Record<string, unknown>> {
  const { annotations, handledRequest = "" } = observed;
  const requestedAt = hasRuns(key) || state !== "good" ? undefined : requestedAtOf(annotations);
  const handled = requestedAt === undefined || context.awaitsProbe(key, requestedAt) ? handledRequest : requestedAt;
  return handled === "" ? {} : { lastHandledReconcileAt: handled };
}

function hasRuns({ kind }: ResourceKey): boolean {
  return kind === "TagPolicy" || kind === "RetentionPolicy";
}

function reportAs<K extends Kind>(kind: K, key: ResourceKey, spec: unknown, context: ReportContext): OwnReport {
  return reconcilers[kind].report(key, spec as Specs[K], context);
}
