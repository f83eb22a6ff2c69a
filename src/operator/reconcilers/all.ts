// The four kinds.

import type { Specs } from "../../api/kinds.ts";
import type { Kind, ResourceKey } from "../../domain/resource.ts";
import { accessPolicyReconciler } from "./access-policy.ts";
import type { Reconciler, ReportContext } from "./reconciler.ts";
import { retentionPolicyReconciler } from "./retention-policy.ts";
import type { Judgement, OwnReport } from "./skeleton.ts";
import { tagPolicyReconciler } from "./tag-policy.ts";
import { upstreamReconciler } from "./upstream.ts";

const reconcilers: { readonly [K in Kind]: Reconciler<K> } = {
  Upstream: upstreamReconciler,
  TagPolicy: tagPolicyReconciler,
  RetentionPolicy: retentionPolicyReconciler,
  AccessPolicy: accessPolicyReconciler,
};

/** The kind's own part of the status; nothing for what was not judged good. */
export function ownReport(judgement: Judgement, context: ReportContext): OwnReport {
  if (judgement.state !== "good") return { conditions: [], details: {} };
  return reportAs(judgement.key.kind, judgement.key, judgement.desired.spec, context);
}

function reportAs<K extends Kind>(kind: K, key: ResourceKey, spec: unknown, context: ReportContext): OwnReport {
  return reconcilers[kind].report(key, spec as Specs[K], context);
}
