// What is published, as resources are shown. Conditions are the control plane's to say: in a cluster they are in the status of each resource.

import type { ResourceView } from "../../../api/control/resources.ts";
import type { Configuration } from "./configuration.ts";

/** GET resources, of a registry to which no control plane reports: by kind, namespace and name. */
export function publishedViews({ upstreams, tagPolicies, retentionPolicies, accessPolicies }: Configuration): readonly ResourceView[] {
  const all = [...upstreams, ...tagPolicies, ...retentionPolicies, ...accessPolicies];
  return all
    .map(({ kind, namespace, name, generation, revision, spec }) => ({
      kind,
      namespace,
      name,
      generation,
      spec,
      status: { observedGeneration: generation, recordedGeneration: generation, revision, conditions: [] },
    }))
    .sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
}

const idOf = ({ kind, namespace, name }: Pick<ResourceView, "kind" | "namespace" | "name">) => `${kind}/${namespace}/${name}`;
