// What of the watched namespaces was read whole: only there is gone what is missing.

import type { ReadNamespace, ResourceSnapshot } from "../ports.ts";
import type { CustomResource } from "./objects.ts";
import type { Standing } from "./standing-namespaces.ts";

export type ClusterSnapshot = Required<ResourceSnapshot>;

/** Lists as they were answered. */
export interface Listed extends Pick<ResourceSnapshot, "resources" | "problems"> {
  /** By namespace: every list of it was answered, and it is ours to look at. */
  readonly whole: ReadonlyMap<string, boolean>;
}

/** What the lists and the namespaces say together. */
export function joined({ resources, problems, whole }: Listed, standing: ReadonlyMap<string, Standing>): ClusterSnapshot {
  const namespaces = new Map(
    [...whole].map(([namespace, listed]): [string, ReadNamespace] => {
      const { uid, problem } = standing.get(namespace) ?? {};
      return [namespace, { uid, whole: listed && problem === undefined }];
    }),
  );
  return {
    resources: resources.map((resource) => ({ ...resource, namespaceUid: namespaces.get(resource.namespace)?.uid })),
    problems: [...problems, ...[...standing.values()].flatMap(({ problem }) => problem ?? [])],
    complete: [...namespaces.values()].every((read) => read.whole),
    namespaces,
  };
}

/** Where something came or went. What has the same name and another uid did both. */
export function changedNamespaces(
  before: ReadonlyMap<string, CustomResource>,
  now: ReadonlyMap<string, CustomResource>,
): ReadonlySet<string> {
  const differs = ([id, { metadata }]: [string, CustomResource], other: typeof now) => other.get(id)?.metadata.uid !== metadata.uid;
  const changed = [...[...before].filter((entry) => differs(entry, now)), ...[...now].filter((entry) => differs(entry, before))];
  return new Set(changed.map(([, { metadata }]) => metadata.namespace ?? ""));
}
