// Which Secrets and ConfigMaps a resource names, and what it uses of them: nothing else of a Secret leaves its namespace (`cosign.key` lies beside `cosign.pub`).

import type { TagPolicySpec, UpstreamSpec } from "../../api/kinds.ts";
import type { MountedOwner } from "../../domain/mounted-secrets.ts";
import { loginKeys } from "../../domain/registry-login.ts";
import type { Kind } from "../../domain/resource.ts";
import { tlsKeys } from "../../domain/tls-secret.ts";
import { trustedRootKey } from "../../domain/trusted-root.ts";

export interface WantedSecret extends MountedOwner {
  /** Keys that are used. */
  readonly uses: (key: string) => boolean;
}

/** Keys that are used of a Secret or ConfigMap, by the field that names it. */
export const usedKeys = {
  "auth.secretRef": (key: string) => loginKeys.includes(key),
  certSecretRef: (key: string) => tlsKeys.includes(key),
  "keys[].secretRef": (key: string) => key.endsWith(".pub"),
  "trustedRoot.configMapRef": (key: string) => key === trustedRootKey,
} as const;

/** `spec`: valid. In the resource's own namespace, always. */
export function secretsNamedBy(resource: {
  readonly kind: Kind;
  readonly namespace: string;
  readonly spec: unknown;
}): readonly WantedSecret[] {
  const { kind, namespace } = resource;
  const named = (reference: { readonly name: string } | undefined, uses: WantedSecret["uses"], from: MountedOwner["kind"] = "Secret") =>
    reference === undefined ? [] : [{ kind: from, namespace, name: reference.name, uses }];
  if (kind === "Upstream") {
    const { auth, certSecretRef } = resource.spec as UpstreamSpec;
    return [...named(auth.secretRef, usedKeys["auth.secretRef"]), ...named(certSecretRef, usedKeys.certSecretRef)];
  }
  if (kind !== "TagPolicy") return [];
  const { keys = [], trustedRoot } = (resource.spec as TagPolicySpec).verify;
  return [
    ...keys.flatMap(({ secretRef }) => named(secretRef, usedKeys["keys[].secretRef"])),
    ...named(trustedRoot?.configMapRef, usedKeys["trustedRoot.configMapRef"], "ConfigMap"),
  ];
}
