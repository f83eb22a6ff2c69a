// A resource against its schema, its CEL rules and what only code can check: for files, for content from Git, and for what the control API is given.

import type { Specs } from "../api/kinds.ts";
import type { Kind } from "../domain/resource.ts";
import { celProblems, touchedBy } from "./cel.ts";
import { judgeByCode } from "./code-rules.ts";
import { schemaOf, specSchemaOf } from "./crds.ts";
import type { Problem } from "./problem.ts";
import { schemaProblems } from "./schema.ts";
import { findDuplicates, isObject, prepare } from "./structure.ts";

export interface ResourceInput<K extends Kind = Kind> {
  readonly kind: K;
  readonly namespace: string;
  readonly name: string;
  readonly spec: unknown;
}

export interface ValidationOptions {
  /** The spec that counted before, for rules about change (immutable fields). */
  readonly previous?: unknown;
  /** Refused as an API server does under strict field validation, or left out with a warning: files of the record may be newer than we are. */
  readonly unknownFields?: "refuse" | "warn";
}

export interface Accepted<K extends Kind> {
  readonly problems?: undefined;
  /** Effective: defaults filled in. */
  readonly spec: Specs[K];
  readonly suspend: boolean;
  /** Worth a word, refused by nobody. */
  readonly warnings: readonly string[];
}

export interface Refused {
  /** At least one, at most 20. */
  readonly problems: readonly Problem[];
}

const maxProblems = 20;

/** Judges one resource by itself. What it may not be beside others is conflicts.ts's. */
export function validateResource<K extends Kind>(resource: ResourceInput<K>, options: ValidationOptions = {}): Accepted<K> | Refused {
  const { kind } = resource;
  const schema = specSchemaOf(kind);
  if (!isObject(resource.spec)) {
    const message = resource.spec === undefined || resource.spec === null ? "is required" : "must be an object";
    return { problems: [{ path: "spec", message, rule: "required" }] };
  }
  const { value, unknownFields } = prepare(schema, resource.spec, ["spec"]);
  const unknown = options.unknownFields === "warn" ? [] : unknownFields;

  // An API server judges rules only when the schema has accepted everything. A person wants to hear all at once, so ours judge what is not touched by it.
  const structural = [...nameProblems(resource), ...unknown, ...schemaProblems(schema, value, ["spec"])];
  // Nobody would hear of the rules, and a list may be very long.
  if (structural.length >= maxProblems) return refuse(structural);
  const rules = [
    ...(structural.length > 0 ? [] : [...findDuplicates(schema, value, ["spec"]), ...objectRules(resource, value)]),
    ...celProblems(schema, value, before(kind, options), ["spec"], touchedBy(structural)),
  ];
  if (structural.length + rules.length > 0) return refuse([...structural, ...rules]);

  const { suspend, ...spec } = value as Specs[K] & { readonly suspend: boolean };
  const judgement = judgeByCode(kind, spec as unknown as Specs[K]);
  if (judgement.problems.length > 0) return refuse(judgement.problems);

  const ignored =
    options.unknownFields === "warn" ? unknownFields.map(({ path, message }) => `${path} is ignored, because it ${message}`) : [];
  return { spec: spec as unknown as Specs[K], suspend, warnings: [...ignored, ...judgement.warnings] };
}

function refuse(problems: readonly Problem[]): Refused {
  return { problems: problems.slice(0, maxProblems) };
}

/** The old spec with today's defaults, so that a field that was added since did not change. */
function before(kind: Kind, { previous }: ValidationOptions): unknown {
  return isObject(previous) ? prepare(specSchemaOf(kind), previous, ["spec"]).value : undefined;
}

/** Rules of the object as a whole see its metadata, and are about nothing else there. */
function objectRules(resource: ResourceInput, spec: unknown): Problem[] {
  const { "x-kubernetes-validations": rules } = schemaOf(resource.kind);
  return celProblems({ type: "object", "x-kubernetes-validations": rules }, { metadata: { name: resource.name }, spec }, undefined, []).map(
    (problem) => ({
      ...problem,
      path: "metadata.name",
    }),
  );
}

/** What an API server asks of names (RFC 1123). The record makes paths of them. */
function nameProblems({ name, namespace }: ResourceInput): Problem[] {
  const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
  const nameIsGood = name.length <= 253 && name.split(".").every((part) => label.test(part));
  const namespaceIsGood = namespace.length <= 63 && label.test(namespace);
  const form = "must be lower case letters, digits and -, with a letter or digit at both ends";
  return [
    ...(nameIsGood ? [] : [{ path: "metadata.name", message: `${form}, in parts between dots, for example chainguard`, rule: "name" }]),
    ...(namespaceIsGood ? [] : [{ path: "metadata.namespace", message: `${form}, at most 63 characters`, rule: "name" }]),
  ];
}
