// Reading a spec whose type nobody vouches for, with the field in every complaint.

import { parseDuration } from "../duration.ts";

/** Why a policy cannot be evaluated. Never leaves this room: the policy becomes one that keeps everything. */
export class PolicyProblem extends Error {}

export type Mapping = Readonly<Record<string, unknown>>;

export function mapping(value: unknown, field: string): Mapping {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Mapping;
  throw new PolicyProblem(`${field} is not a mapping`);
}

export function list(value: unknown, field: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new PolicyProblem(`${field} is not a list`);
}

export function text(value: unknown, field: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw new PolicyProblem(`${field} is not a text`);
}

export function wholeNumber(value: unknown, field: string): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
  throw new PolicyProblem(`${field} is not a whole number`);
}

/** Milliseconds. */
export function duration(value: unknown, field: string): number {
  const parsed = parseDuration(text(value, field));
  if (parsed === undefined) throw new PolicyProblem(`${field} is not a duration such as 720h`);
  return parsed;
}

export function optional<T>(value: unknown, read: (value: unknown, field: string) => T, field: string): T | undefined {
  return value === undefined || value === null ? undefined : read(value, field);
}

/** A key that this version does not know may be a keep rule of a newer one: not understood is not evaluated. */
export function refuseUnknown(value: Mapping, known: readonly string[], field: string): void {
  const unknown = Object.keys(value).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw new PolicyProblem(`${field} has ${unknown.join(", ")}, which this version does not know`);
}
