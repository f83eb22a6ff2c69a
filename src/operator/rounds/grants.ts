// Who may configure what (design: api, "Who may configure what"): the administrators' namespace everything, others what they were granted.

import type { Kind, ResourceKey } from "../../domain/resource.ts";
import { canonicalHost } from "../../domain/upstream-names.ts";

/** `tenants` of the settings. */
export interface Grant {
  readonly namespace: string;
  readonly repositories: readonly string[];
  readonly kinds: readonly string[];
  readonly prefixes: readonly string[];
  readonly hosts: readonly string[];
}

export interface Grants {
  /** The administrators' namespace. */
  readonly administrators: string;
  readonly tenants: readonly Grant[];
}

interface GrantRefusal {
  /** Field that is not granted. */
  readonly path: string;
  readonly message: string;
}

/** Why the resource does not count; undefined: it does. What a policy selects is intersected with the grant by the registry. */
export function refuseGrant(grants: Grants, key: ResourceKey, spec: unknown): GrantRefusal | undefined {
  if (key.namespace === grants.administrators) return undefined;
  const own = grants.tenants.filter(({ namespace }) => namespace === key.namespace);
  const where = `the settings' \`tenants\``;
  if (own.length === 0) {
    const message = `namespace ${key.namespace} has no grant: add it to ${where}, or put the resource into namespace ${grants.administrators}`;
    return { path: "metadata.namespace", message };
  }
  const granted = own.filter(({ kinds }) => kinds.includes(key.kind));
  if (granted.length === 0) {
    const message = `namespace ${key.namespace} may not have resources of kind ${key.kind}: add the kind to its grant in ${where}`;
    return { path: "kind", message };
  }
  return key.kind === "Upstream" ? refuseUpstream(key.kind, granted, spec) : undefined;
}

function refuseUpstream(kind: Kind, granted: readonly Grant[], spec: unknown): GrantRefusal | undefined {
  const { prefix = "", hosts = [], auth } = (spec ?? {}) as { prefix?: string; hosts?: string[]; auth?: { provider?: string } };
  const prefixes = granted.flatMap((grant) => grant.prefixes);
  if (!prefixes.includes(prefix)) {
    const message = `prefix ${prefix} is not granted (granted: ${prefixes.join(", ") || "none"}): add it to the grant's \`prefixes\``;
    return { path: "spec.prefix", message };
  }
  const answered = granted.flatMap((grant) => grant.hosts.map(canonicalHost));
  const index = hosts.findIndex((host) => !answered.includes(canonicalHost(host)));
  if (index !== -1) {
    const message = `host ${hosts[index]} is not granted (granted: ${answered.join(", ") || "none"}): remove it, or add it to the grant's \`hosts\``;
    return { path: `spec.hosts[${index}]`, message };
  }
  if (auth?.provider === undefined || auth.provider === "generic") return undefined;
  return {
    path: "spec.auth.provider",
    message: `a tenant's ${kind} never uses the registry's own cloud identity: use provider generic`,
  };
}
