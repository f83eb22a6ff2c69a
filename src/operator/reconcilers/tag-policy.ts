// TagPolicy: its versions in the record, and what its runs found.

import { conditionTypes, reasons } from "../../api/conditions.ts";
import type { TagPolicySpec } from "../../api/kinds.ts";
import { keyString, type ResourceKey } from "../../domain/resource.ts";
import { findByRepository, type UpstreamNames } from "../../domain/upstream-names.ts";
import type { ConditionDraft } from "../status-store.ts";
import { runDetails } from "./run-details.ts";
import type { Reconciler, ReportContext } from "./reconciler.ts";
import type { Finding } from "./skeleton.ts";

export const tagPolicyReconciler: Reconciler<"TagPolicy"> = {
  kind: "TagPolicy",
  report(key, spec, context) {
    const missing = missingKey(key, spec, context);
    const runs = context.runsOf(key);
    const conditions: ConditionDraft[] = [];
    if (runs?.last !== undefined) {
      const { succeeded, message } = runs.last;
      conditions.push({
        type: conditionTypes.synced,
        status: succeeded ? "True" : "False",
        reason: succeeded ? reasons.succeeded : reasons.runFailed,
        message,
      });
    }
    return {
      ...(missing === undefined ? {} : { notReady: missing }),
      conditions,
      details: {
        images: { total: spec.images.length, ...failedOf(runs?.last?.result) },
        tags: countTags(key, spec, context),
        ...runDetails(runs),
      },
    };
  },
};

function missingKey(key: ResourceKey, spec: TagPolicySpec, { secrets }: ReportContext): Finding | undefined {
  if (secrets === undefined) return undefined;
  const missing = (spec.verify.keys ?? []).find(({ secretRef }) => secrets.secret(key.namespace, secretRef.name) === undefined);
  if (missing === undefined) return undefined;
  const message = `there is no Secret ${key.namespace}/${missing.secretRef.name} with public keys (*.pub): create it, or name another one`;
  return { reason: reasons.secretNotFound, message };
}

/** Version tags that are served of the policy's images. */
function countTags(key: ResourceKey, spec: TagPolicySpec, { view }: ReportContext): number {
  const file = view.resources.get(keyString({ kind: "Upstream", namespace: key.namespace, name: spec.upstreamRef.name }));
  if (file?.spec === undefined) return 0;
  const names = spec.images.map(({ repository }) => findByRepository(file.spec as UpstreamNames, repository)?.name ?? "");
  return names.reduce((sum, name) => sum + Object.keys(view.ledgers.get(name)?.ledger.tags ?? {}).length, 0);
}

/** The part of a run's result that people look for first; other shapes are shown in lastRun as they are. */
function failedOf(result: unknown): { failed?: number } {
  const failed = (result as { failed?: unknown } | null | undefined)?.failed;
  return typeof failed === "number" ? { failed } : {};
}
