// What holds for every field of every definition (design: api.md), read from the files alone.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { describe, expect, test } from "vitest";
import { parse } from "yaml";

import { conditionTypes } from "../src/api/conditions.ts";
import { kinds } from "../src/domain/resource.ts";
import { schemaOf, type Schema } from "../src/validation/crds.ts";

interface Definition {
  readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
  readonly spec: {
    readonly scope: string;
    readonly names: { readonly plural: string; readonly shortNames: readonly string[]; readonly categories: readonly string[] };
    readonly versions: readonly {
      readonly name: string;
      readonly subresources: object;
      readonly additionalPrinterColumns: readonly { readonly name: string }[];
    }[];
  };
}

/** Of the design page: plural, short name and columns. */
const promised = {
  Upstream: ["upstreams", "upst", "Prefix, URL, Reachable, Ready, Reason, Age"],
  TagPolicy: ["tagpolicies", "tagpol", "Upstream, Verify, Tags, Failed, Ready, Reason, Age"],
  RetentionPolicy: ["retentionpolicies", "retpol", "Action, Kept, Planned, Deleted, Last Run, Ready, Reason, Age"],
  AccessPolicy: ["accesspolicies", "accpol", "Subjects, Actions, Repositories, Ready, Reason, Age"],
} as const;

interface Limits extends Schema {
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly format?: string;
}

/** Every schema below one, with its path. */
function fieldsOf(schema: Schema, path: string): [string, Limits][] {
  const inside = Object.entries(schema.properties ?? {}).flatMap(([name, property]) => fieldsOf(property, `${path}.${name}`));
  return [[path, schema], ...inside, ...(schema.items === undefined ? [] : fieldsOf(schema.items, `${path}[]`))];
}

describe.each(kinds)("%s", (kind) => {
  const [plural, shortName, columns] = promised[kind];
  const { metadata, spec } = parse(readFileSync(resolve(import.meta.dirname, `../crds/${plural}.yaml`), "utf8")) as Definition;
  const fields = fieldsOf(schemaOf(kind), "").filter(([path]) => path !== ".metadata");
  const pathsOf = (wrong: (schema: Limits, path: string) => boolean) =>
    fields.filter(([path, schema]) => wrong(schema, path)).map(([path]) => path);

  test("is named, listed and found as designed", () => {
    expect(spec).toMatchObject({ scope: "Namespaced", names: { plural, shortNames: [shortName], categories: ["wharfinger"] } });
    const [version, ...others] = spec.versions;
    expect(others).toEqual([]);
    expect(version).toMatchObject({ name: "v1alpha1", subresources: { status: {} } });
    expect(version?.additionalPrinterColumns.map(({ name }) => name).join(", ")).toBe(columns);
    // Flux would replace what looks like a variable in a rule.
    expect(metadata.annotations["kustomize.toolkit.fluxcd.io/substitute"]).toBe("disabled");
  });

  test("every string and list has a limit", () => {
    const unlimited = ({ type, maxLength, maxItems, enum: allowed, format }: Limits) =>
      (type === "string" && maxLength === undefined && allowed === undefined && format !== "date-time") ||
      (type === "array" && maxItems === undefined);
    expect(pathsOf(unlimited)).toEqual([]);
  });

  test("every object says which fields it has", () => {
    expect(pathsOf(({ type, properties }) => type === "object" && properties === undefined)).toEqual([]);
    expect(pathsOf((schema) => schema["x-kubernetes-preserve-unknown-fields"] === true)).toEqual([]);
  });

  test("every rule says what to do", () => {
    const rules = fields.flatMap(([, schema]) => schema["x-kubernetes-validations"] ?? []);
    expect(rules.filter(({ message }) => message.length < 20 || message.endsWith("."))).toEqual([]);
  });

  test("a default inside an optional object is reached", () => {
    // Either the object has a default of its own, or leaving it out means something else, which its description says.
    const unreached = ({ type, properties = {}, required = [] }: Limits) =>
      type === "object" &&
      Object.entries(properties).some(
        ([name, property]) =>
          property.type === "object" &&
          !required.includes(name) &&
          property.default === undefined &&
          Object.values(property.properties ?? {}).some((inner) => inner.default !== undefined) &&
          !/by default|left to other rules/.test(property.description ?? ""),
      );
    expect(pathsOf((schema, path) => path.startsWith(".spec") && unreached(schema))).toEqual([]);
  });

  test("conditions are the ones that programs know", () => {
    const description = schemaOf(kind).properties?.["status"]?.properties?.["conditions"]?.description ?? "";
    const named = [...description.matchAll(/`(\w+)`/g)].map(([, name]) => name);
    expect(named.slice(0, 5)).toEqual(["Ready", "Reconciling", "Stalled", "Recorded", "Overridden"]);
    expect(named.filter((name) => !Object.values<string | undefined>(conditionTypes).includes(name))).toEqual([]);
  });
});
