// What an API server does before it validates: unknown fields refused (strict field validation), nulls dropped, defaults filled in, duplicates found.

import { isDeepStrictEqual } from "node:util";

import type { Schema } from "./crds.ts";
import { formatPath, type PathSegment, type Problem } from "./problem.ts";
import { didYouMean } from "./suggestion.ts";

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export interface Prepared {
  /** A copy with defaults and without nulls and unknown fields. */
  readonly value: unknown;
  readonly unknownFields: readonly Problem[];
}

/** Structural defaulting (apiextensions: "Defaulting and nullable"). Values of the wrong type are left for the schema to judge. */
export function prepare(schema: Schema, value: unknown, path: readonly PathSegment[]): Prepared {
  const unknownFields: Problem[] = [];
  const prepared = visit(schema, value, path, unknownFields);
  return { value: prepared, unknownFields };
}

function visit(schema: Schema, value: unknown, path: readonly PathSegment[], unknownFields: Problem[]): unknown {
  if (Array.isArray(value) && schema.items !== undefined) {
    const items = schema.items;
    return value.map((item: unknown, index) => visit(items, item, [...path, index], unknownFields));
  }
  if (!isObject(value) || schema.properties === undefined) return value;
  const properties = schema.properties;
  for (const field of Object.keys(value)) {
    if (Object.hasOwn(properties, field) || schema["x-kubernetes-preserve-unknown-fields"] === true) continue;
    const hint = didYouMean(field, Object.keys(properties));
    unknownFields.push({ path: formatPath([...path, field]), message: `is no field of this kind${hint}`, rule: "unknown-field" });
  }
  const fields = Object.entries(properties).flatMap(([field, property]): [string, unknown][] => {
    const given = Object.hasOwn(value, field) ? value[field] : undefined;
    // A null is as good as nothing where nothing is nullable.
    const present = given ?? structuredClone(property.default);
    return present === undefined ? [] : [[field, visit(property, present, [...path, field], unknownFields)]];
  });
  return Object.fromEntries(fields);
}

/** Entries of sets and of lists with keys that are there twice. */
export function findDuplicates(schema: Schema, value: unknown, path: readonly PathSegment[]): Problem[] {
  if (Array.isArray(value) && schema.items !== undefined) {
    const items = schema.items;
    const inside = value.flatMap((item: unknown, index) => findDuplicates(items, item, [...path, index]));
    return [...duplicatesIn(schema, value, path), ...inside];
  }
  if (!isObject(value) || schema.properties === undefined) return [];
  return Object.entries(schema.properties).flatMap(([field, property]) => findDuplicates(property, value[field], [...path, field]));
}

function duplicatesIn(schema: Schema, list: readonly unknown[], path: readonly PathSegment[]): Problem[] {
  const kind = schema["x-kubernetes-list-type"] ?? "atomic";
  if (kind === "atomic") return [];
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const identity = (item: unknown) => (kind === "map" && isObject(item) ? keys.map((key) => item[key]) : [item]);
  return list.flatMap((item, index) => {
    const first = list.findIndex((other) => isDeepStrictEqual(identity(other), identity(item)));
    if (first === index) return [];
    const what = kind === "map" ? `has the same ${keys.join(" and ")} as` : "is the same as";
    return [
      { path: formatPath([...path, index]), message: `${what} ${formatPath([...path, first])}: remove one of them`, rule: "duplicate" },
    ];
  });
}
