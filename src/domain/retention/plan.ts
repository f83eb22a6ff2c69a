// The plan: for each tag and untagged manifest keep or delete, by which rule of which policy, in words, and the bytes that come free.
// Pure (design: retention.md); dry run, page, CLI, job and the recheck of an apply all ask it. Repository by repository, so that whoever
// plans a large registry can do something else in between.

import type { Digest } from "../digest.ts";
import { holdersOf, type Going } from "./bytes.ts";
import { departures, inOrder, nameOf, type Removal } from "./departures.ts";
import type { ClusterFacts, FreeableBlobs, PolicySource, RepositoryFacts, Verdict } from "./facts.ts";
import { graphOf, type Graph } from "./graph.ts";
import { inUseOf } from "./in-use.ts";
import { blockOf, notesOf, type Blocked } from "./limits.ts";
import { judgeManifests } from "./manifest-verdicts.ts";
import type { PlannedEntry } from "./planned-entry.ts";
import { compilePolicy } from "./policy.ts";
import { judgeTags } from "./tag-verdicts.ts";
import { compareNames } from "./words.ts";

export interface RetentionPlan {
  readonly entries: readonly PlannedEntry[];
  readonly totals: { readonly kept: number; readonly deleted: number; readonly bytes: number };
  readonly blocked: Blocked | undefined;
  readonly notes: readonly string[];
}

export interface PlannerOptions {
  /** The policy to plan, by its key; it is one of `policies`. */
  readonly policy: string;
  /** Every published RetentionPolicy, of any action, suspended or not: their keep rules always count. */
  readonly policies: readonly PolicySource[];
  /** Configured clusters; empty: nobody can be asked what is in use. */
  readonly clusters: readonly ClusterFacts[];
  readonly now: number;
}

/** One repository, judged. */
export interface JudgedRepository {
  readonly repository: RepositoryFacts;
  readonly graph: Graph;
  readonly tags: ReadonlyMap<string, Verdict>;
  /** Empty for a proxied repository: its manifests are the cache's. */
  readonly manifests: ReadonlyMap<Digest, Verdict>;
  /** Manifests that nothing keeps. */
  readonly condemned: ReadonlySet<Digest>;
}

export interface Planner {
  /** Repositories that the planned policy does not select are none of its plan. */
  readonly selects: (repository: string) => boolean;
  readonly judge: (repository: RepositoryFacts) => JudgedRepository;
  readonly describe: (judged: readonly JudgedRepository[], blobsOf: FreeableBlobs) => RetentionPlan;
}

export function createPlanner({ policy: key, policies, clusters, now }: PlannerOptions): Planner {
  const compiled = policies.map(compilePolicy).toSorted((a, b) => compareNames(a.key, b.key));
  const planned = compiled.find((policy) => policy.key === key);
  if (planned === undefined) throw new RangeError(`no policy ${key} among those to plan`);
  const others = compiled.filter((policy) => policy !== planned);
  const inUse = inUseOf({ clusters: clusters.toSorted((a, b) => compareNames(a.name, b.name)), now });
  return {
    selects: planned.selects,
    judge(repository) {
      const judgement = {
        planned: key,
        policies: [planned, ...others].filter((policy) => policy.selects(repository.name)),
        inUse,
        context: { now, pullsCountedSince: repository.pullsCountedSince },
      };
      const graph = graphOf(repository);
      const tags = judgeTags(graph, judgement);
      if (repository.kind === "proxied") return { repository, graph, tags, manifests: new Map(), condemned: new Set() };
      const { manifests, followers } = judgeManifests(repository.departed, graph, tags, judgement);
      const condemned = new Set<Digest>();
      for (const [digest, { keep }] of manifests) if (!keep) condemned.add(digest);
      return { repository, graph, tags: new Map([...tags, ...followers]), manifests, condemned };
    },
    describe(judged, blobsOf) {
      const release = holdersOf(judged.flatMap(goingOf), blobsOf);
      const entries = judged
        .toSorted((a, b) => compareNames(a.repository.name, b.repository.name))
        .flatMap((one) => entriesOf(one, release));
      const deleted = entries.filter(({ verdict }) => verdict === "delete");
      return {
        entries,
        totals: {
          kept: entries.length - deleted.length,
          deleted: deleted.length,
          bytes: deleted.reduce((sum, { bytes }) => sum + bytes, 0),
        },
        blocked: blockOf(planned, inUse, entries),
        notes: notesOf(
          planned,
          inUse,
          judged.map(({ repository }) => repository),
          entries,
        ),
      };
    },
  };
}

function goingOf({ repository, condemned }: JudgedRepository): readonly Going[] {
  return [...condemned].map((manifest) => ({ repository: repository.name, manifest }));
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

function entriesOf(judged: JudgedRepository, release: (manifests: readonly Going[]) => number): PlannedEntry[] {
  const { repository, graph, tags, manifests, condemned } = judged;
  const freed = new Map<string, number>();
  for (const { removal, manifests: leaving } of departures(graph, condemned, removalsOf(judged))) {
    freed.set(nameOf(removal), release(leaving.map((manifest) => ({ repository: repository.name, manifest }))));
  }
  const entry = (removal: Removal, { keep, rule, reason }: Verdict): PlannedEntry => ({
    repository: repository.name,
    tag: "tag" in removal ? removal.tag.name : undefined,
    digest: "tag" in removal ? removal.tag.digest : removal.untagged,
    verdict: keep ? "keep" : "delete",
    rule,
    reason,
    version: repository.kind === "proxied",
    bytes: freed.get(nameOf(removal)) ?? 0,
  });
  const untagged = [...manifests.keys()].filter((digest) => graph.tagsOf(digest).length === 0);
  const listed: Removal[] = [...repository.tags.map((tag) => ({ tag })), ...untagged.map((digest) => ({ untagged: digest }))];
  return inOrder(listed).flatMap((removal) => {
    const verdict = "tag" in removal ? tags.get(removal.tag.name) : manifests.get(removal.untagged);
    return verdict === undefined ? [] : [entry(removal, verdict)];
  });
}
