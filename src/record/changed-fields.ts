// Which fields differ between two specs, for people: `cache.tagTTL: 5m → 1m`.

import { escapedControls } from "../domain/printable.ts";

const maxLines = 40;
const maxValueLength = 120;
/** Nobody's value begins a line of a commit message. */
const notOfOneLine = /[\p{Cc}\u2028\u2029]/u;

/** One line a field, in field order. */
export function changedFields(before: unknown, after: unknown): readonly string[] {
  const [old, now] = [leaves(before), leaves(after)];
  const paths = [...new Set([...old.keys(), ...now.keys()])].sort();
  const lines = paths.filter((path) => old.get(path) !== now.get(path)).map((path) => line(path, old.get(path), now.get(path)));
  return lines.length <= maxLines ? lines : [...lines.slice(0, maxLines), `and ${lines.length - maxLines} more`];
}

function line(path: string, old: string | undefined, now: string | undefined): string {
  if (old === undefined) return `${path}: ${now ?? ""}`;
  return `${path}: ${old} → ${now ?? "not set"}`;
}

function leaves(value: unknown, path = "", found = new Map<string, string>()): Map<string, string> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    for (const [key, field] of Object.entries(value)) leaves(field, path === "" ? key : `${path}.${key}`, found);
  } else if (value !== undefined && path !== "") {
    found.set(path, shorten(typeof value === "string" && !notOfOneLine.test(value) ? value : escapedControls(JSON.stringify(value))));
  }
  return found;
}

function shorten(text: string): string {
  return text.length <= maxValueLength ? text : `${text.slice(0, maxValueLength)}…`;
}
