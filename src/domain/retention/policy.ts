// A published policy made ready to judge. It is read as strictly as if nobody had validated it: a policy that this version
// does not understand in every part keeps everything it selects, so a newer or broken rule can never delete.

import { compileSelector, isGlob } from "../glob.ts";
import type { PolicySource } from "./facts.ts";
import { compileRule, type KeepRule } from "./rules.ts";
import { duration, list, mapping, optional, PolicyProblem, refuseUnknown, text, wholeNumber, type Mapping } from "./reading.ts";

interface Selection {
  readonly key: string;
  readonly selects: (repository: string) => boolean;
  /** Namespaces of a cluster that its reports have to cover; undefined: all of it. */
  readonly workloads: readonly string[] | undefined;
}

export interface EvaluablePolicy extends Selection {
  readonly broken: undefined;
  readonly keep: readonly KeepRule[];
  /** undefined: mode Ignore. */
  readonly inUse: { readonly clusters: readonly string[]; readonly keepFor: number } | undefined;
  readonly untaggedKeepFor: number;
  readonly limits: { readonly maxDeletePercent: number; readonly minTags: number };
}

/** Keeps everything it selects. */
export interface BrokenPolicy extends Selection {
  /** Why it cannot be evaluated, in words. */
  readonly broken: string;
}

export type Policy = EvaluablePolicy | BrokenPolicy;

const hour = 3_600_000;
const known = ["repositories", "action", "keep", "inUse", "untagged", "limits", "schedule", "timeZone", "suspend"];

export function compilePolicy(source: PolicySource): Policy {
  const { key, workloads, granted = () => true } = source;
  let selected: (repository: string) => boolean = () => true;
  try {
    if (source.refused !== undefined) throw new PolicyProblem(source.refused);
    const spec = mapping(source.spec, "spec");
    selected = compileSelection(spec["repositories"]);
    refuseUnknown(spec, known, "spec");
    return { key, workloads, selects: (name) => granted(name) && selected(name), broken: undefined, ...compileSpec(spec) };
  } catch (error) {
    if (!(error instanceof PolicyProblem)) throw error;
    return { key, workloads, selects: (name) => granted(name) && selected(name), broken: error.message };
  }
}

function compileSelection(value: unknown): (repository: string) => boolean {
  const repositories = mapping(value, "repositories");
  const globs = (field: string) =>
    (optional(repositories[field], list, `repositories.${field}`) ?? []).map((value) => globOf(value, field));
  return compileSelector({ include: globs("include"), exclude: globs("exclude") });
}

function globOf(value: unknown, field: string): string {
  const glob = text(value, `repositories.${field}`);
  if (!isGlob(glob)) throw new PolicyProblem(`repositories.${field} has ${glob}, which is not a glob`);
  return glob;
}

function compileSpec(spec: Mapping): Omit<EvaluablePolicy, "key" | "selects" | "workloads" | "broken"> {
  const inUse = mapping(spec["inUse"] ?? {}, "inUse");
  const mode = inUse["mode"] ?? "Keep";
  if (mode !== "Keep" && mode !== "Ignore") throw new PolicyProblem("inUse.mode is neither Keep nor Ignore");
  const limits = mapping(spec["limits"] ?? {}, "limits");
  return {
    keep: list(spec["keep"], "keep").map(compileRule),
    inUse:
      mode === "Ignore"
        ? undefined
        : {
            clusters: (optional(inUse["clusters"], list, "inUse.clusters") ?? []).map((name) => text(name, "inUse.clusters")),
            keepFor: optional(inUse["keepFor"], duration, "inUse.keepFor") ?? 72 * hour,
          },
    untaggedKeepFor: optional(mapping(spec["untagged"] ?? {}, "untagged")["keepFor"], duration, "untagged.keepFor") ?? 24 * hour,
    limits: {
      maxDeletePercent: optional(limits["maxDeletePercent"], wholeNumber, "limits.maxDeletePercent") ?? 30,
      minTags: optional(limits["minTags"], wholeNumber, "limits.minTags") ?? 10,
    },
  };
}
