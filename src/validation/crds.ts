// The CustomResourceDefinitions of crds/: the one source of what a resource may look like. They are shipped beside the program and read once.

import { readFileSync } from "node:fs";

import { parse } from "yaml";

import type { Kind } from "../domain/resource.ts";

/** One entry of `x-kubernetes-validations`. */
export interface CelRule {
  readonly rule: string;
  readonly message: string;
  /** Child that the problem is about, as `.secretRef`. */
  readonly fieldPath?: string;
}

/** A structural schema, as far as our definitions use it. */
export interface Schema {
  readonly type?: "object" | "array" | "string" | "integer" | "boolean";
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly "x-kubernetes-validations"?: readonly CelRule[];
  readonly "x-kubernetes-list-type"?: "atomic" | "set" | "map";
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
}

interface Definition {
  readonly spec: { readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: Schema } }[] };
}

const files: Readonly<Record<Kind, string>> = {
  Upstream: "upstreams.yaml",
  TagPolicy: "tagpolicies.yaml",
  RetentionPolicy: "retentionpolicies.yaml",
  AccessPolicy: "accesspolicies.yaml",
};
const loaded = new Map<Kind, Schema>();

/** The schema of the whole object: `apiVersion`, `kind`, `metadata`, `spec`, `status`. */
export function schemaOf(kind: Kind): Schema {
  const known = loaded.get(kind);
  if (known !== undefined) return known;
  // The same distance from src/validation and from dist/validation.
  const text = readFileSync(new URL(`../../crds/${files[kind]}`, import.meta.url), "utf8");
  const schema = (parse(text) as Definition).spec.versions[0]?.schema.openAPIV3Schema;
  if (schema === undefined) throw new Error(`crds/${files[kind]} has no schema`);
  loaded.set(kind, schema);
  return schema;
}

export function specSchemaOf(kind: Kind): Schema {
  const schema = schemaOf(kind).properties?.["spec"];
  if (schema === undefined) throw new Error(`crds/${files[kind]} has no schema of spec`);
  return schema;
}
