// The condition CredentialsLoaded of a TagPolicy: whether the registry has what its runs need of Secrets and ConfigMaps. These are the public keys and the
// trusted root that it names, and the login of its Upstream. While they are on their way, its runs wait (credential-waits.ts).

import { conditionTypes, reasons } from "../../api/conditions.ts";
import type { TagPolicySpec, UpstreamSpec } from "../../api/kinds.ts";
import { keyString, type ResourceKey } from "../../domain/resource.ts";
import type { ConditionDraft } from "../status-store.ts";
import { isDelivered, lackAmong, type Lack, type NamedCredentials } from "./named-credentials.ts";
import type { ReportContext } from "./reconciler.ts";
import type { Placed } from "./skeleton.ts";
import { anchorsOf } from "./trust-anchors.ts";
import { secretsOf } from "./upstream.ts";

/** What a run of the TagPolicy `key` would lack; undefined: nothing, as far as anybody says. */
export function lackOf(key: ResourceKey, spec: TagPolicySpec, context: ReportContext): Lack | undefined {
  return lackAmong(key, neededBy(key, spec, context), context);
}

export function credentialsLoaded(key: ResourceKey, spec: TagPolicySpec, context: ReportContext): (ConditionDraft & Placed)[] {
  const needed = neededBy(key, spec, context);
  if (needed.length === 0 || context.secrets === undefined) return [];
  const type = conditionTypes.credentialsLoaded;
  const { finding } = lackAmong(key, needed, context) ?? {};
  if (finding !== undefined) {
    const until = context.runsOf(key)?.waitsUntil;
    const waits = until === undefined ? "" : `; its run waits for that, until ${until} at most: then it begins with what the registry has`;
    return [{ type, status: "False", ...finding, message: `${finding.message}${waits}` }];
  }
  const loaded = (message: string): ConditionDraft => ({ type, status: "True", reason: reasons.succeeded, message });
  if (context.delivery === undefined) return [loaded("what it names is there, and the registry reads it where the control plane does")];
  if (isDelivered(needed, context)) return [loaded("every process of the registry has what its runs need as it is now")];
  const message = "whether the registry has what its runs need is not known here: its processes do not say what somebody else brings them";
  return [{ type, status: "Unknown", reason: reasons.notDelivered, message }];
}

function neededBy(key: ResourceKey, spec: TagPolicySpec, context: ReportContext): readonly NamedCredentials[] {
  return [
    ...anchorsOf(key, spec, context),
    ...ofUpstream({ kind: "Upstream", namespace: key.namespace, name: spec.upstreamRef.name }, context),
  ];
}

function ofUpstream(key: ResourceKey, { view }: ReportContext): readonly NamedCredentials[] {
  const spec = view.resources.get(keyString(key))?.spec as UpstreamSpec | undefined;
  if (spec === undefined) return [];
  const about = <F extends { readonly message: string }>(finding: F): F => ({
    ...finding,
    message: `Upstream ${key.name}: ${finding.message}`,
  });
  return secretsOf(key, spec).map(({ owner, missing, problemOf }) => ({
    owner,
    path: "spec.upstreamRef.name",
    missing: about(missing),
    problemOf: (data) => {
      const problem = problemOf(data);
      return problem && about(problem);
    },
  }));
}
