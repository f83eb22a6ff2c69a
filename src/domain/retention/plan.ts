// The plan: for each tag and untagged manifest keep or delete, by which rule of which policy, in words, and the bytes that come free.
// A pure function (design: retention.md); dry run, page, CLI, job and the recheck of an apply all ask it.

import type { Digest } from "../digest.ts";
import { holdersOf, type BlobHolders } from "./bytes.ts";
import { departures, inOrder, nameOf, type Removal } from "./departures.ts";
import type { Facts, PolicySource, RepositoryFacts, Verdict } from "./facts.ts";
import { graphOf, type Graph } from "./graph.ts";
import { inUseOf, type InUse } from "./in-use.ts";
import { judgeManifests } from "./manifest-verdicts.ts";
import { blockOf, notesOf, type Blocked } from "./limits.ts";
import { compilePolicy, type Policy } from "./policy.ts";
import { judgeTags } from "./tag-verdicts.ts";
import { compareNames } from "./words.ts";

export interface PlannedEntry {
  readonly repository: string;
  /** undefined: an untagged manifest. */
  readonly tag: string | undefined;
  readonly digest: Digest;
  readonly verdict: "keep" | "delete";
  readonly rule: string;
  readonly reason: string;
  /** A version tag: deleting means a proposal to retire. */
  readonly version: boolean;
  readonly bytes: number;
}

export interface RetentionPlan {
  readonly entries: readonly PlannedEntry[];
  readonly totals: { readonly kept: number; readonly deleted: number; readonly bytes: number };
  readonly blocked: Blocked | undefined;
  readonly notes: readonly string[];
}

export interface PlanInput {
  /** The policy to plan, by its key; it is one of `policies`. */
  readonly policy: string;
  /** Every published RetentionPolicy, of any action, suspended or not: their keep rules always count. */
  readonly policies: readonly PolicySource[];
  readonly facts: Facts;
}

/** Repositories that the policy does not select are left out of the plan, whatever the facts hold. */
export function planRetention({ policy: key, policies, facts }: PlanInput): RetentionPlan {
  const compiled = compilePolicies(policies);
  const planned = compiled.find((policy) => policy.key === key);
  if (planned === undefined) throw new RangeError(`no policy ${key} among those to plan`);
  const inUse = inUseOf(facts);
  const holders = holdersOf({
    repositories: facts.repositories.filter(({ kind }) => kind === "own"),
    heldElsewhere: facts.heldElsewhere,
  });
  const entries = facts.repositories
    .filter(({ name }) => planned.selects(name))
    .toSorted((a, b) => compareNames(a.name, b.name))
    .flatMap((repository) => entriesOf(judgeRepository(repository, { planned: key, policies: compiled, inUse, facts }), holders));
  const deleted = entries.filter(({ verdict }) => verdict === "delete");
  return {
    entries,
    totals: { kept: entries.length - deleted.length, deleted: deleted.length, bytes: deleted.reduce((sum, { bytes }) => sum + bytes, 0) },
    blocked: blockOf(planned, inUse, entries),
    notes: notesOf(planned, inUse, facts, entries),
  };
}

export function compilePolicies(policies: readonly PolicySource[]): readonly Policy[] {
  return policies.map(compilePolicy).toSorted((a, b) => compareNames(a.key, b.key));
}

/** Which repositories the policy selects: the facts that its plan needs. */
export function selectedBy(key: string, policies: readonly PolicySource[]): (repository: string) => boolean {
  const policy = compilePolicies(policies).find((compiled) => compiled.key === key);
  return (repository) => policy?.selects(repository) === true;
}

/** One repository, judged. */
export interface JudgedRepository {
  readonly repository: RepositoryFacts;
  readonly graph: Graph;
  readonly tags: ReadonlyMap<string, Verdict>;
  /** Empty for a proxied repository: its manifests are the cache's. */
  readonly manifests: ReadonlyMap<Digest, Verdict>;
  readonly condemned: ReadonlySet<Digest>;
}

export function judgeRepository(
  repository: RepositoryFacts,
  context: { readonly planned: string; readonly policies: readonly Policy[]; readonly inUse: InUse; readonly facts: Facts },
): JudgedRepository {
  const selecting = context.policies.filter((policy) => policy.selects(repository.name));
  const first = selecting.filter(({ key }) => key === context.planned);
  const judgement = {
    planned: context.planned,
    inUse: context.inUse,
    context: { now: context.facts.now, pullsCountedSince: repository.pullsCountedSince },
    policies: [...first, ...selecting.filter(({ key }) => key !== context.planned)],
  };
  const graph = graphOf(repository);
  const tags = judgeTags(graph, judgement);
  if (repository.kind === "proxied") return { repository, graph, tags, manifests: new Map(), condemned: new Set() };
  const { manifests, followers } = judgeManifests(repository.departed, graph, tags, judgement);
  const condemned = new Set([...manifests].filter(([, { keep }]) => !keep).map(([digest]) => digest));
  return { repository, graph, tags: new Map([...tags, ...followers]), manifests, condemned };
}

/** What the verdicts take away, in the order of the plan. */
export function removalsOf({ repository, graph, tags, condemned }: JudgedRepository): readonly Removal[] {
  const removedTags = repository.tags.filter(({ name }) => tags.get(name)?.keep === false);
  const free = [...condemned].filter((digest) => graph.tagsOf(digest).length === 0 && !isHeld(graph, digest));
  return inOrder([...removedTags.map((tag) => ({ tag })), ...free.map((untagged) => ({ untagged }))]);
}

function isHeld(graph: Graph, digest: Digest): boolean {
  return graph.parentsOf(digest).length > 0 || graph.subjectOf(digest) !== undefined;
}

function entriesOf(judged: JudgedRepository, holders: BlobHolders): PlannedEntry[] {
  const { repository, graph, tags, manifests, condemned } = judged;
  const freed = new Map(
    departures(graph, condemned, removalsOf(judged)).map((departure) => [nameOf(departure.removal), holders.release(departure.manifests)]),
  );
  const entry = (tag: string | undefined, digest: Digest, { keep, rule, reason }: Verdict): PlannedEntry => ({
    repository: repository.name,
    tag,
    digest,
    verdict: keep ? "keep" : "delete",
    rule,
    reason,
    version: repository.kind === "proxied",
    bytes: freed.get(tag ?? digest) ?? 0,
  });
  const listed: Removal[] = [
    ...repository.tags.filter(({ name }) => tags.has(name)).map((tag) => ({ tag })),
    ...[...manifests.keys()].filter((digest) => graph.tagsOf(digest).length === 0).map((untagged) => ({ untagged })),
  ];
  return inOrder(listed).map((removal) => {
    if ("tag" in removal) return entry(removal.tag.name, removal.tag.digest, tags.get(removal.tag.name) ?? unjudged);
    return entry(undefined, removal.untagged, manifests.get(removal.untagged) ?? unjudged);
  });
}

const unjudged: Verdict = { keep: true, rule: "none", reason: "not judged" };
