// Which Secrets and ConfigMaps a spec names, whether it is valid or not: every `…secretRef` and `…configMapRef` in it, at any depth, in the resource's
// own namespace, with the keys that are used by the field that it stands in.

import { usedKeys } from "../credentials/secret-references.ts";
import type { SecretKind } from "./named-secrets.ts";

const fields: readonly { readonly kind: SecretKind; readonly field: RegExp }[] = [
  { kind: "Secret", field: /secretRef$/i },
  { kind: "ConfigMap", field: /configMapRef$/i },
];

export interface NamedReference {
  readonly kind: SecretKind;
  readonly name: string;
  readonly uses: (key: string) => boolean;
}

/** `path`: of `spec` in the whole one. */
export function referencesOf(spec: unknown, path = ""): readonly NamedReference[] {
  if (typeof spec !== "object" || spec === null) return [];
  return Object.entries(spec).flatMap(([field, value]: [string, unknown]) => {
    const place = Array.isArray(spec) ? `${path}[]` : `${path}.${field}`;
    const kind = fields.find((known) => known.field.test(field))?.kind;
    const name = (value as { readonly name?: unknown } | null)?.name;
    return kind !== undefined && typeof name === "string" ? [{ kind, name, uses: usesOf(place) }] : referencesOf(value, place);
  });
}

/** Of a field that nobody told about here everything may be used. */
function usesOf(place: string): NamedReference["uses"] {
  return Object.entries(usedKeys).find(([field]) => place.endsWith(`.${field}`))?.[1] ?? (() => true);
}
