// How much a tenant's namespace may ask the registry to serve: the configuration travels whole, so that what one namespace is full of is everybody's.

import { keyString, type ResourceKey } from "../../domain/resource.ts";

/** Bytes of effective specs, as JSON: thousands of policies as people write them. A publish has room for 64 MiB of all. */
const mostOfNamespace = 4 * 1024 * 1024;

export const crowdedMessage = `the resources of its namespace have more than ${mostOfNamespace / 1024 / 1024} MiB together, which is what a grant is for: take some out, or make them smaller`;

/** Ids of those that find no room beside those that came before. The administrators' namespace is not counted. */
export function findCrowded(
  oldestFirst: readonly (ResourceKey & { readonly spec?: unknown })[],
  { administrators }: { readonly administrators: string },
): ReadonlySet<string> {
  const used = new Map<string, number>();
  const crowded = new Set<string>();
  for (const { kind, namespace, name, spec } of oldestFirst) {
    if (namespace === administrators) continue;
    const bytes = (used.get(namespace) ?? 0) + Buffer.byteLength(JSON.stringify(spec) ?? "");
    if (bytes > mostOfNamespace) crowded.add(keyString({ kind, namespace, name }));
    else used.set(namespace, bytes);
  }
  return crowded;
}
