// What names a custom resource: kind, namespace, name.

export const apiVersion = "wharfinger.dev/v1alpha1";
export const kinds = ["Upstream", "TagPolicy", "RetentionPolicy", "AccessPolicy"] as const;
export type Kind = (typeof kinds)[number];

export interface ResourceKey {
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
}

/** `upstream default/chainguard`: how messages and commit subjects name a resource. */
export function describeKey(key: ResourceKey): string {
  return `${key.kind.toLowerCase()} ${key.namespace}/${key.name}`;
}

export function keyString(key: ResourceKey): string {
  return `${key.kind}/${key.namespace}/${key.name}`;
}

export function isKind(text: string): text is Kind {
  return (kinds as readonly string[]).includes(text);
}
