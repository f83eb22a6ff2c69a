// `metadata` of a document: what counts of it here, and what an API server would refuse.

import type { Problem } from "./problem.ts";
import { isObject } from "./structure.ts";
import { didYouMean } from "./suggestion.ts";

export interface Metadata {
  readonly name: string;
  /** `default` when none is written. */
  readonly namespace: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Fields of ObjectMeta: what `kubectl get -o yaml` prints is read back. */
const known = [
  "name",
  "namespace",
  "labels",
  "annotations",
  "generateName",
  "finalizers",
  "ownerReferences",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "selfLink",
  "managedFields",
];

export function readMetadata(value: unknown): { readonly metadata?: Metadata; readonly problems: readonly Problem[] } {
  if (!isObject(value)) return { problems: [{ path: "metadata", message: "is required, with a name", rule: "required" }] };
  const { name, namespace = "default" } = value;
  const problems: Problem[] = Object.keys(value)
    .filter((field) => !known.includes(field))
    .map((field) => ({ path: `metadata.${field}`, message: `is no field of metadata${didYouMean(field, known)}`, rule: "unknown-field" }));
  if (name === undefined || name === null || name === "")
    problems.push({ path: "metadata.name", message: "is required", rule: "required" });
  else if (typeof name !== "string") problems.push({ path: "metadata.name", message: "must be a string: put it in quotes", rule: "type" });
  if (namespace !== null && typeof namespace !== "string") {
    problems.push({ path: "metadata.namespace", message: "must be a string: put it in quotes", rule: "type" });
  }
  problems.push(...stringMapProblems("labels", value["labels"]), ...stringMapProblems("annotations", value["annotations"]));
  if (problems.length > 0 || typeof name !== "string") return { problems };
  const annotations = (value["annotations"] ?? {}) as Record<string, string>;
  return { metadata: { name, namespace: typeof namespace === "string" ? namespace : "default", annotations }, problems };
}

function stringMapProblems(field: string, value: unknown): Problem[] {
  if (value === undefined || value === null) return [];
  if (!isObject(value)) return [{ path: `metadata.${field}`, message: "must be an object", rule: "type" }];
  return Object.entries(value)
    .filter(([, entry]) => typeof entry !== "string")
    .map(([key]) => ({ path: `metadata.${field}[${JSON.stringify(key)}]`, message: "must be a string: put it in quotes", rule: "type" }));
}
