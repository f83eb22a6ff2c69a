// The canonical form of a spec and its digest, which the record's trailers remember (design: record, "One rule"):
// without `suspend` and without what equals its default, keys sorted. So a release that adds a field with a default changes no digest.

import type { Kind } from "../domain/resource.ts";
import { digestOf, type Digest } from "../domain/digest.ts";
import { specSchemaOf, type Schema } from "./crds.ts";
import { isObject, prepare } from "./structure.ts";

/** `spec`: as written or with defaults filled in, the answer is the same. */
export function canonicalSpec(kind: Kind, spec: unknown): Record<string, unknown> {
  const schema = specSchemaOf(kind);
  const { suspend: _, ...rest } = canonical(schema, prepare(schema, spec, []).value) as Record<string, unknown>;
  return rest;
}

/** `sha256:<hex>` of the canonical spec as JSON. */
export function specDigest(kind: Kind, spec: unknown): Digest {
  return digestOf(JSON.stringify(canonicalSpec(kind, spec)));
}

function canonical(schema: Schema, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => canonical(schema.items ?? {}, item));
  if (!isObject(value)) return value;
  const fields = Object.entries(value)
    .map(([field, child]): [string, unknown, Schema] => {
      const property = schema.properties?.[field] ?? {};
      return [field, canonical(property, child), property];
    })
    .filter(([, child, property]) => property.default === undefined || JSON.stringify(child) !== JSON.stringify(defaultOf(property)))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([field, child]) => [field, child]));
}

function defaultOf(property: Schema): unknown {
  return canonical(property, prepare(property, structuredClone(property.default), []).value);
}
