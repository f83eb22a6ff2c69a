// The kind's own part of a status, for people: `lastRun` and the like as lines, lists of objects as tables.

import { faint, table } from "../output.ts";

/** Rows of a list that are shown; `-o json` has them all. */
const mostRows = 20;

export function renderDetails(details: Readonly<Record<string, unknown>>): string {
  return Object.entries(details)
    .flatMap(([name, value]) => describe(name, value, ""))
    .join("\n");
}

function describe(name: string, value: unknown, indent: string): string[] {
  if (Array.isArray(value)) {
    const objects = value.filter(isObject);
    if (objects.length !== value.length) return [`${indent}${name}: ${faint(value.map(scalar).join(", "))}`];
    return [`${indent}${name}: ${value.length === 0 ? "none" : ""}`.trimEnd(), ...rows(objects, `${indent}  `)];
  }
  if (isObject(value)) {
    const inside = Object.entries(value).filter(([, field]) => field !== undefined);
    return [`${indent}${name}:`, ...inside.flatMap(([field, entry]) => describe(field, entry, `${indent}  `))];
  }
  return [`${indent}${name}: ${faint(scalar(value))}`];
}

function rows(objects: readonly Record<string, unknown>[], indent: string): string[] {
  if (objects.length === 0) return [];
  const shown = objects.slice(0, mostRows);
  const columns = [...new Set(shown.flatMap((object) => Object.keys(object)))];
  const text = table(
    columns.map((column) => column.toUpperCase()),
    shown.map((object) => columns.map((column) => scalar(object[column]))),
  );
  const more = objects.length - shown.length;
  return [...text.split("\n"), ...(more === 0 ? [] : [faint(`and ${more} more (-o json has them)`)])].map((line) => `${indent}${line}`);
}

function scalar(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
