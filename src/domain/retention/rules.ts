// The keep rules: optional `tags` (RE2, whole tag) and at most one criterion that counts among the rule's own tags in one repository.

import { RE2JS, RE2JSException } from "re2js";

import { parseVersionRange, type VersionRange } from "../version-range.ts";
import { compareVersions, type Version } from "../version.ts";
import type { TagFact } from "./facts.ts";
import { duration, mapping, optional, PolicyProblem, refuseUnknown, text, wholeNumber, type Mapping } from "./reading.ts";
import { versionGroup, versionOfTag } from "./versions.ts";
import { compareNames, formatTime } from "./words.ts";

/** A tag as the rules see it. */
export interface Candidate extends TagFact {
  /** Last pull of its digest, of an index around it or of a child; undefined: none was counted. */
  readonly pulledAt?: number;
  /** Since when this registry has the image: what was not here could not be pulled. */
  readonly presentSince: number;
}

export interface RuleContext {
  readonly now: number;
  readonly pullsCountedSince?: number;
}

/** For each candidate that the rule is about: kept or not, in words. */
export type RuleAnswer = ReadonlyMap<string, { readonly keep: boolean; readonly why: string }>;

type Answers = Map<string, { keep: boolean; why: string }>;
type Criterion = (own: readonly Candidate[], context: RuleContext) => Answers;

export interface KeepRule {
  readonly name: string;
  readonly tags: string | undefined;
  /** About tags that its pattern does not match it says nothing. */
  answer(candidates: readonly Candidate[], context: RuleContext): RuleAnswer;
  /** Only rules without `tags` speak about manifests that have none. undefined: says nothing about them. */
  readonly pulledWithin: number | undefined;
  readonly aboutPulls: boolean;
}

const criteria = ["mostRecentlyPushed", "mostRecentlyPulled", "pushedWithin", "pulledWithin", "semver"] as const;

/** For `mostRecentlyPulled`, which names no period: as long a look as people take before they call an image unused. */
export const rankingPeriod = 720 * 3_600_000;

export function compileRule(value: unknown, index: number): KeepRule {
  const rule = mapping(value, `keep[${index}]`);
  const name = optional(rule["name"], text, `keep[${index}].name`) ?? `keep[${index}]`;
  refuseUnknown(rule, ["name", "tags", ...criteria], `keep rule ${name}`);
  const written = criteria.filter((criterion) => rule[criterion] !== undefined);
  if (written.length > 1) throw new PolicyProblem(`keep rule ${name} has more than one criterion: ${written.join(", ")}`);
  const tags = optional(rule["tags"], text, `keep rule ${name}: tags`);
  const matches = tags === undefined ? () => true : compilePattern(tags, name);
  const criterion = compileCriterion(rule, name);
  return {
    name,
    tags,
    answer(candidates, context) {
      return criterion(
        candidates.filter((candidate) => matches(candidate.name)),
        context,
      );
    },
    aboutPulls: rule["pulledWithin"] !== undefined || rule["mostRecentlyPulled"] !== undefined,
    pulledWithin: tags === undefined ? optional(rule["pulledWithin"], duration, `keep rule ${name}: pulledWithin`) : undefined,
  };
}

function compilePattern(pattern: string, rule: string): (tag: string) => boolean {
  try {
    const compiled = RE2JS.compile(pattern);
    return (tag) => compiled.matches(tag);
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw new PolicyProblem(`keep rule ${rule}: tags is not an RE2 expression (${error.message})`);
  }
}

function compileCriterion(rule: Mapping, name: string): Criterion {
  const field = (key: string) => `keep rule ${name}: ${key}`;
  if (rule["mostRecentlyPushed"] !== undefined) return newestPushed(wholeNumber(rule["mostRecentlyPushed"], field("mostRecentlyPushed")));
  if (rule["mostRecentlyPulled"] !== undefined) return newestPulled(wholeNumber(rule["mostRecentlyPulled"], field("mostRecentlyPulled")));
  if (rule["pushedWithin"] !== undefined) {
    return pushedWithin(duration(rule["pushedWithin"], field("pushedWithin")), text(rule["pushedWithin"], field("pushedWithin")));
  }
  if (rule["pulledWithin"] !== undefined) {
    return pulledWithin(duration(rule["pulledWithin"], field("pulledWithin")), text(rule["pulledWithin"], field("pulledWithin")));
  }
  if (rule["semver"] !== undefined) return newestVersions(mapping(rule["semver"], field("semver")), name);
  return (own) => answers(own, () => ({ keep: true, why: "it keeps all of them" }));
}

function answers(own: readonly Candidate[], judge: (candidate: Candidate, place: number) => { keep: boolean; why: string }): Answers {
  return new Map(own.map((candidate, place) => [candidate.name, judge(candidate, place)]));
}

/** Newest first; equal times by name, so that two plans never differ. */
function byTime(own: readonly Candidate[], time: (candidate: Candidate) => number): Candidate[] {
  return own.toSorted((a, b) => time(b) - time(a) || compareNames(a.name, b.name));
}

function newestPushed(count: number): Criterion {
  return (own) =>
    answers(
      byTime(own, ({ pushedAt }) => pushedAt),
      (tag, place) => ({
        keep: place < count,
        why: `number ${place + 1} of ${own.length} by push (${formatTime(tag.pushedAt)}), ${count} are kept`,
      }),
    );
}

function pushedWithin(period: number, written: string): Criterion {
  return (own, { now }) =>
    answers(own, ({ pushedAt }) =>
      pushedAt > now - period
        ? { keep: true, why: `pushed ${formatTime(pushedAt)}, within ${written}` }
        : { keep: false, why: `pushed ${formatTime(pushedAt)}, longer ago than ${written}` },
    );
}

function pulledWithin(period: number, written: string): Criterion {
  return (own, context) => answers(own, (candidate) => judgePull(candidate, period, written, context));
}

/** `pulledWithin` for anything that can be pulled. Deletes nothing before pulls were counted, and the image was here, for that long. */
export function judgePull(
  subject: { readonly pulledAt?: number; readonly presentSince: number },
  period: number,
  written: string,
  { now, pullsCountedSince }: RuleContext,
): { keep: boolean; why: string } {
  const { pulledAt, presentSince } = subject;
  if (pulledAt !== undefined && pulledAt > now - period) return { keep: true, why: `pulled ${formatTime(pulledAt)}, within ${written}` };
  if (pullsCountedSince === undefined)
    return { keep: true, why: `pulls are not counted, so nobody knows whether it was pulled within ${written}` };
  if (pullsCountedSince > now - period)
    return { keep: true, why: `pulls are counted since ${formatTime(pullsCountedSince)} only, not yet for ${written}` };
  if (presentSince > now - period) return { keep: true, why: `here since ${formatTime(presentSince)}, not yet for ${written}` };
  return pulledAt === undefined
    ? { keep: false, why: `not pulled within ${written}` }
    : { keep: false, why: `pulled ${formatTime(pulledAt)}, longer ago than ${written}` };
}

function newestPulled(count: number): Criterion {
  // An image that arrived and was not pulled yet ranks by its arrival: it had no chance before.
  const used = ({ pulledAt, presentSince }: Candidate) => Math.max(pulledAt ?? presentSince, presentSince);
  return (own, { now, pullsCountedSince }) => {
    if (pullsCountedSince === undefined || pullsCountedSince > now - rankingPeriod) {
      const since =
        pullsCountedSince === undefined ? "pulls are not counted" : `pulls are counted since ${formatTime(pullsCountedSince)} only`;
      return answers(own, () => ({ keep: true, why: `${since}; a ranking needs 720h` }));
    }
    return answers(byTime(own, used), (tag, place) => ({
      keep: place < count,
      why: `number ${place + 1} of ${own.length} by pull (${tag.pulledAt === undefined ? `never pulled, here since ${formatTime(tag.presentSince)}` : formatTime(tag.pulledAt)}), ${count} are kept`,
    }));
  };
}

function newestVersions(semver: Mapping, name: string): Criterion {
  refuseUnknown(semver, ["range", "newest", "per"], `keep rule ${name}: semver`);
  const newest = wholeNumber(semver["newest"], `keep rule ${name}: semver.newest`);
  const range = compileRange(optional(semver["range"], text, `keep rule ${name}: semver.range`), name);
  const per = semver["per"] ?? "Minor";
  if (per !== "Minor" && per !== "Major") throw new PolicyProblem(`keep rule ${name}: semver.per is neither Minor nor Major`);

  return (own) => {
    const answered: Answers = new Map();
    const groups = new Map<string, Versioned[]>();
    for (const candidate of own) {
      const version = versionOfTag(candidate.name);
      if (version === undefined) answered.set(candidate.name, { keep: false, why: "not a version" });
      else if (range !== undefined && !range.includes(version)) answered.set(candidate.name, { keep: false, why: `not in ${range.text}` });
      else addTo(groups, versionGroup(version, per), { name: candidate.name, version });
    }
    for (const [group, members] of groups) {
      members.sort((a, b) => compareVersions(b.version, a.version) || compareNames(a.name, b.name));
      for (const [place, { name }] of members.entries()) {
        const why = `number ${place + 1} of ${members.length} versions of ${group}, ${newest} are kept`;
        answered.set(name, { keep: place < newest, why });
      }
    }
    return answered;
  };
}

interface Versioned {
  readonly name: string;
  readonly version: Version;
}

function compileRange(range: string | undefined, rule: string): VersionRange | undefined {
  if (range === undefined) return undefined;
  const parsed = parseVersionRange(range);
  if ("problem" in parsed) throw new PolicyProblem(`keep rule ${rule}: semver.range: ${parsed.problem}`);
  return parsed;
}

function addTo<T>(groups: Map<string, T[]>, key: string, member: T): void {
  const group = groups.get(key);
  if (group === undefined) groups.set(key, [member]);
  else group.push(member);
}
