// Which Secrets and ConfigMaps a spec names: every `…secretRef` and `…configMapRef` in it, at any depth, in the resource's own namespace.

import type { SecretKind } from "./named-secrets.ts";

const fields: readonly { readonly kind: SecretKind; readonly field: RegExp }[] = [
  { kind: "Secret", field: /secretRef$/i },
  { kind: "ConfigMap", field: /configMapRef$/i },
];

export function referencesOf(spec: unknown): readonly { readonly kind: SecretKind; readonly name: string }[] {
  if (typeof spec !== "object" || spec === null) return [];
  return Object.entries(spec).flatMap(([field, value]: [string, unknown]) => {
    const kind = fields.find((known) => known.field.test(field))?.kind;
    const name = (value as { readonly name?: unknown } | null)?.name;
    return kind !== undefined && typeof name === "string" ? [{ kind, name }] : referencesOf(value);
  });
}
