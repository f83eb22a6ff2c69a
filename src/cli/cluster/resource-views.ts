// Resources as a cluster has them, in the form in which the control API shows those of a folder.

import type { Condition, ResourceView } from "../../api/control/resources.ts";
import { kinds, type Kind } from "../../domain/resource.ts";
import type { ResourceStatus } from "../../operator/kube/status-of.ts";
import { groupVersion, paths, pluralOf, type CustomResource } from "../../operator/kube/objects.ts";
import type { Cluster } from "./open-cluster.ts";
import { explainRefusal, type Need } from "./refusals.ts";

export interface WantedResources {
  readonly kinds?: readonly Kind[];
  /** All of them when it is left out. */
  readonly namespace?: string;
}

/** By kind, namespace and name. Rejects with CommandError. */
export async function resourceViews(cluster: Cluster, { kinds: wanted = kinds, namespace }: WantedResources): Promise<ResourceView[]> {
  const lists = await Promise.all(
    wanted.map(async (kind) => {
      const path = namespace === undefined ? paths.everywhere(kind) : paths.resources(kind, namespace);
      const { items } = await cluster.client.send<{ readonly items: readonly CustomResource[] }>({ path }).catch((error: unknown) => {
        throw explainRefusal(error, needOf("list", kind, { namespace }), cluster);
      });
      return items.map((item) => viewOf(kind, item));
    }),
  );
  return lists.flat();
}

/** `path`: of one resource. */
export function pathOf(kind: Kind, namespace: string, name: string): string {
  return `${paths.resources(kind, namespace)}/${name}`;
}

export function needOf(verb: string, kind: Kind, { namespace, name }: { namespace?: string | undefined; name?: string }): Need {
  return {
    verb,
    resource: `${pluralOf(kind)}.${groupVersion.split("/")[0] ?? ""}`,
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined
      ? { missing: "Wharfinger’s definitions are not in this cluster: `kubectl apply -f crds/`, or choose another with --context." }
      : {}),
  };
}

export function viewOf(kind: Kind, { metadata, spec, status = {} }: CustomResource): ResourceView {
  const { observedGeneration = 0, conditions = [], recordedGeneration, revision, ...details } = status as ResourceStatus;
  return {
    kind,
    namespace: metadata.namespace ?? "",
    name: metadata.name,
    generation: metadata.generation ?? 0,
    spec,
    status: {
      observedGeneration,
      ...(typeof recordedGeneration === "number" ? { recordedGeneration } : {}),
      ...(typeof revision === "string" ? { revision } : {}),
      conditions: conditions as Condition[],
      ...(Object.keys(details).length === 0 ? {} : { details }),
    },
  };
}
