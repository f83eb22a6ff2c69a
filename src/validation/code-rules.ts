// What neither a schema nor CEL can check. Each rule has a name that starts with `code-`: an API server accepts what they refuse,
// and the resource is then Ready=False with these words.

import type { AccessPolicySpec, RetentionPolicySpec, Specs, TagPolicySpec, UpstreamSpec } from "../api/kinds.ts";
import type { Kind } from "../domain/resource.ts";
import { parseVersionRange } from "../domain/version-range.ts";
import { extractProblems, matchesAnything } from "./expressions.ts";
import { hostProblem, issuerProblem, urlProblem } from "./hosts.ts";
import type { Problem } from "./problem.ts";
import { scheduleProblem, timeZoneProblem } from "./schedule.ts";

export const codeRules = ["code-url", "code-host", "code-cron", "code-time-zone", "code-semver", "code-extract", "code-issuer"] as const;
type CodeRule = (typeof codeRules)[number];

/** What a rule found: refused, or worth a word. */
export interface Judgement {
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
}

const judges: { readonly [K in Kind]: (spec: Specs[K]) => Judgement } = {
  Upstream: judgeUpstream,
  TagPolicy: judgeTagPolicy,
  RetentionPolicy: judgeRetentionPolicy,
  AccessPolicy: judgeAccessPolicy,
};

/** Judges a spec that the schema and CEL have accepted. */
export function judgeByCode<K extends Kind>(kind: K, spec: Specs[K]): Judgement {
  return judges[kind](spec);
}

function check(path: string, rule: CodeRule, message: string | undefined): Problem[] {
  return message === undefined ? [] : [{ path, message, rule }];
}

function judgeUpstream(spec: UpstreamSpec): Judgement {
  const plain = spec.url.startsWith("http://");
  return {
    problems: [
      ...check("spec.url", "code-url", urlProblem(spec.url)),
      ...spec.hosts.flatMap((host, index) => check(`spec.hosts[${index}]`, "code-host", hostProblem(host))),
      ...spec.allowedHosts.flatMap((host, index) => check(`spec.allowedHosts[${index}]`, "code-host", hostProblem(host))),
    ],
    warnings: [
      ...(spec.insecure && !plain ? ["spec.insecure has no effect on an https url: remove it"] : []),
      ...(plain && spec.auth.secretRef !== undefined
        ? ["spec.auth.secretRef: over http everybody on the way can read these credentials"]
        : []),
    ],
  };
}

function judgeTagPolicy(spec: TagPolicySpec): Judgement {
  const identities = spec.verify.keyless ?? [];
  return {
    problems: [
      ...judgeSchedule(spec),
      ...judgeRange("spec.versions.semver", spec.versions?.semver),
      ...check("spec.versions.extract", "code-extract", extractProblems(spec.versions)),
      ...identities.flatMap(({ issuer }, index) => check(`spec.verify.keyless[${index}].issuer`, "code-issuer", issuerProblem(issuer))),
    ],
    warnings: [
      ...identities.flatMap(({ subjectRegExp }, index) =>
        subjectRegExp !== undefined && matchesAnything(subjectRegExp)
          ? [`spec.verify.keyless[${index}].subjectRegExp matches every signer of this issuer: name the one you trust`]
          : [],
      ),
      ...(spec.verify.trustedRoot !== undefined && identities.length === 0
        ? ["spec.verify.trustedRoot has no effect without spec.verify.keyless: keys need none, remove it"]
        : []),
    ],
  };
}

function judgeRetentionPolicy(spec: RetentionPolicySpec): Judgement {
  return {
    problems: [
      ...judgeSchedule(spec),
      ...spec.keep.flatMap((rule, index) => judgeRange(`spec.keep[${index}].semver.range`, rule.semver?.range)),
    ],
    warnings: [],
  };
}

function judgeAccessPolicy(spec: AccessPolicySpec): Judgement {
  const anonymous = spec.subjects.some(({ kind }) => kind === "Anonymous");
  const writes = spec.actions.filter((action) => action !== "pull");
  return {
    problems: [],
    warnings:
      anonymous && writes.length > 0
        ? [`spec.actions: everybody who reaches the registry may ${writes.join(" and ")} here, without credentials`]
        : [],
  };
}

function judgeSchedule(spec: { readonly schedule: string; readonly timeZone: string }): Problem[] {
  const zone = timeZoneProblem(spec.timeZone);
  return zone === undefined
    ? check("spec.schedule", "code-cron", scheduleProblem(spec.schedule, spec.timeZone))
    : check("spec.timeZone", "code-time-zone", zone);
}

function judgeRange(path: string, range: string | undefined): Problem[] {
  if (range === undefined) return [];
  const parsed = parseVersionRange(range);
  return "problem" in parsed ? [{ path, message: parsed.problem, rule: "code-semver" }] : [];
}
