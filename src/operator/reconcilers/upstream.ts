// Upstream: recorded and published by the skeleton; here what the registry says of it.

import { conditionTypes, reasons } from "../../api/conditions.ts";
import type { UpstreamSpec } from "../../api/kinds.ts";
import type { ResourceKey } from "../../domain/resource.ts";
import type { ConditionDraft } from "../status-store.ts";
import type { Reconciler, ReportContext } from "./reconciler.ts";
import type { Finding, OwnReport, Placed } from "./skeleton.ts";

export const upstreamReconciler: Reconciler<"Upstream"> = {
  kind: "Upstream",
  report(key, spec, context) {
    const missing = missingSecret(key, spec, context);
    return { ...(missing === undefined ? {} : { notReady: missing }), conditions: conditionsOf(key, spec, context, missing), details: {} };
  },
};

function missingSecret(key: ResourceKey, spec: UpstreamSpec, { secrets }: ReportContext): (Finding & Placed) | undefined {
  if (secrets === undefined) return undefined;
  const references = [
    { path: "spec.auth.secretRef.name", name: spec.auth.secretRef?.name },
    { path: "spec.certSecretRef.name", name: spec.certSecretRef?.name },
  ];
  const missing = references.find(({ name }) => name !== undefined && secrets.secret(key.namespace, name) === undefined);
  if (missing === undefined) return undefined;
  const { path, name } = missing;
  const message = `there is no Secret ${key.namespace}/${name}: create it, or take the reference out`;
  return { reason: reasons.secretNotFound, path, message };
}

function conditionsOf(
  key: ResourceKey,
  spec: UpstreamSpec,
  { upstreams }: ReportContext,
  missing: (Finding & Placed) | undefined,
): OwnReport["conditions"] {
  const seen = upstreams?.find((view) => view.key === `${key.namespace}/${key.name}`);
  const conditions: (ConditionDraft & Placed)[] = [];
  if (seen !== undefined) {
    const reason = { True: reasons.succeeded, False: "Unreachable", Unknown: "NotAsked" }[seen.reachable];
    conditions.push({ type: conditionTypes.reachable, status: seen.reachable, reason, message: seen.message });
    if (seen.rateLimit?.remaining === 0) {
      const { limit, resetsAt } = seen.rateLimit;
      const until = resetsAt === undefined ? "" : ` until ${resetsAt}`;
      const message = `upstream answers no more requests${until} (its limit is ${limit}); what is cached is served`;
      conditions.push({ type: conditionTypes.rateLimited, status: "True", reason: "LimitReached", message });
    }
  }
  if (spec.auth.secretRef === undefined && spec.certSecretRef === undefined) return conditions;
  const type = conditionTypes.credentialsLoaded;
  if (missing !== undefined) conditions.push({ type, status: "False", ...missing });
  else if (seen?.credentialsLoaded === true) {
    conditions.push({ type, status: "True", reason: reasons.succeeded, message: "the registry uses the Secret as it is now" });
  } else if (seen !== undefined) {
    conditions.push({
      type,
      status: "False",
      reason: reasons.secretInvalid,
      message: "the registry could not load the Secret: see its keys in the reference of Upstream",
    });
  }
  return conditions;
}
