// Resources that are valid alone and not together. The one that was there first keeps what both want.

import type { TagPolicySpec, UpstreamSpec } from "../api/kinds.ts";
import { reasons } from "../api/conditions.ts";
import { describeKey, keyString, type ResourceKey } from "../domain/resource.ts";
import { canonicalHost } from "../domain/upstream-names.ts";

export type JudgedResource =
  | (ResourceKey & { readonly kind: "Upstream"; readonly spec: UpstreamSpec })
  | (ResourceKey & { readonly kind: "TagPolicy"; readonly spec: TagPolicySpec })
  | (ResourceKey & { readonly kind: "RetentionPolicy" | "AccessPolicy" });

export interface Conflict {
  /** The resource that loses. */
  readonly resource: ResourceKey;
  readonly reason: (typeof reasons)["prefixInUse" | "hostInUse" | "repositoryInUse" | "dependencyNotReady"];
  readonly path: string;
  readonly message: string;
}

/** What decides which of two came first: the record, or, where it is not known, only the order of the files. */
type Order = "record" | "files";

const first: Readonly<Record<Order, string>> = {
  record: "which was there first",
  files: "which comes first in these files (the one that is recorded already, or first, keeps it)",
};

/**
 * All conflicts among valid resources, given oldest first (Git's order). An Upstream with a conflict owns nothing, so a
 * third one may still have the prefix or the hosts that the second one wanted. Of a TagPolicy whose repository another one has,
 * only that image is in conflict.
 */
export function findConflicts(oldestFirst: readonly JudgedResource[], { order = "record" }: { readonly order?: Order } = {}): Conflict[] {
  const { owners, conflicts } = judgeUpstreams(oldestFirst, first[order]);
  return [...conflicts, ...judgeTagPolicies(oldestFirst, { owners, why: first[order] })];
}

function judgeUpstreams(resources: readonly JudgedResource[], why: string) {
  const prefixes = new Map<string, ResourceKey>();
  const hosts = new Map<string, ResourceKey>();
  const owners = new Set<string>();
  const conflicts: Conflict[] = [];
  for (const resource of resources) {
    if (resource.kind !== "Upstream") continue;
    const { spec } = resource;
    const found: Conflict[] = [];
    const prefixOwner = prefixes.get(spec.prefix);
    if (prefixOwner !== undefined) {
      const message = `prefix ${spec.prefix} belongs to ${describeKey(prefixOwner)}, ${why}: choose another prefix`;
      found.push({ resource, reason: reasons.prefixInUse, path: "spec.prefix", message });
    }
    for (const [index, host] of spec.hosts.entries()) {
      const owner = hosts.get(canonicalHost(host));
      if (owner === undefined) continue;
      const message = `host ${host} is answered by ${describeKey(owner)}, ${why}: remove it here or there`;
      found.push({ resource, reason: reasons.hostInUse, path: `spec.hosts[${index}]`, message });
    }
    conflicts.push(...found);
    if (found.length > 0) continue;
    owners.add(keyString(resource));
    prefixes.set(spec.prefix, resource);
    for (const host of spec.hosts) hosts.set(canonicalHost(host), resource);
  }
  return { owners, conflicts };
}

function judgeTagPolicies(
  resources: readonly JudgedResource[],
  { owners, why }: { readonly owners: ReadonlySet<string>; readonly why: string },
): Conflict[] {
  const repositories = new Map<string, ResourceKey>();
  const conflicts: Conflict[] = [];
  for (const resource of resources) {
    if (resource.kind !== "TagPolicy") continue;
    const { upstreamRef, images } = resource.spec;
    const upstream: ResourceKey = { kind: "Upstream", namespace: resource.namespace, name: upstreamRef.name };
    if (!owners.has(keyString(upstream))) {
      const message = `there is no ${describeKey(upstream)} that is served: create it, or name another one of the same namespace`;
      conflicts.push({ resource, reason: reasons.dependencyNotReady, path: "spec.upstreamRef.name", message });
      continue;
    }
    for (const [index, { repository }] of images.entries()) {
      const claim = `${keyString(upstream)} ${repository}`;
      const owner = repositories.get(claim);
      if (owner === undefined) repositories.set(claim, resource);
      else {
        const message = `${repository} gets its versions from ${describeKey(owner)}, ${why}: remove it here or there`;
        conflicts.push({ resource, reason: reasons.repositoryInUse, path: `spec.images[${index}].repository`, message });
      }
    }
  }
  return conflicts;
}
