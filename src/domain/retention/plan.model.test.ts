// What must hold for every repository and every set of policies, whatever they look like.

import * as fc from "fast-check";
import { expect, test } from "vitest";

import { digestOf, hexOf, type Digest } from "../digest.ts";
import { departures } from "./departures.ts";
import type { BlobFact, ClusterFacts, FreeableBlobs, ManifestFact, PolicySource, RepositoryFacts, TagFact } from "./facts.ts";
import { graphOf, reach } from "./graph.ts";
import { createPlanner, removalsOf, type JudgedRepository, type RetentionPlan } from "./plan.ts";

const hour = 3_600_000;
const now = Date.UTC(2026, 10, 21, 12);
const runs = { numRuns: 400 };

const digests = Array.from({ length: 9 }, (_, index) => digestOf(`manifest ${index}`));
const blobs = Array.from({ length: 6 }, (_, index) => ({ digest: digestOf(`blob ${index}`), size: 10 ** index }));
const absent = digestOf("absent");
const names = [
  "v1.0.0",
  "v1.0.1",
  "v1.1.0",
  "pr-1",
  "pr-2",
  "pr-3",
  "latest",
  ...[0, 1, 2, 3].map((index) => `sha256-${hexOf(digests[index] ?? absent)}.sig`),
];

const time = fc.integer({ min: 0, max: 2000 }).map((hours) => now - hours * hour);

type Stored = ManifestFact & { readonly blobs: readonly BlobFact[] };
type StoredRepository = Omit<RepositoryFacts, "manifests"> & { readonly manifests: readonly Stored[] };

/** Content addressing has no cycles: children and subjects have lower numbers. */
function manifestArbitrary(index: number): fc.Arbitrary<Stored> {
  const below = [...digests.slice(0, index), absent];
  const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
  const parts = fc.record({
    pushedAt: time,
    keepUntil: fc.oneof({ weight: 5, arbitrary: time }, fc.constant(now + hour)),
    children: index < 3 ? fc.constant([]) : fc.oneof(fc.constant([]), fc.subarray(below, { maxLength: 3 })),
    blobs: fc.subarray(blobs, { maxLength: 3 }),
  });
  return fc
    .tuple(parts, optional(fc.constantFrom(...below)), optional(time), optional(time))
    .map(([parts, subject, untaggedSince, pulledAt]) => ({
      ...parts,
      digest: digests[index] ?? absent,
      ...(subject === undefined ? {} : { subject }),
      ...(untaggedSince === undefined ? {} : { untaggedSince }),
      ...(pulledAt === undefined ? {} : { pulledAt }),
    }));
}

const repositoryArbitrary: fc.Arbitrary<StoredRepository> = fc
  .tuple(
    fc.subarray(digests, { minLength: 1 }),
    fc.tuple(...digests.map((_, index) => manifestArbitrary(index))),
    fc.constantFrom("team-a/one", "team-b/two"),
  )
  .chain(([present, all, name]) => {
    const manifests = all.filter(({ digest }) => present.includes(digest));
    const tag: fc.Arbitrary<TagFact> = fc.record({ name: fc.constantFrom(...names), digest: fc.constantFrom(...present), pushedAt: time });
    return fc.record({
      name: fc.constant(name),
      kind: fc.constant("own" as const),
      tags: fc.uniqueArray(tag, { selector: ({ name }) => name, maxLength: 11 }),
      manifests: fc.constant(manifests),
      departed: fc.subarray([absent, ...digests]).map((gone) => new Set(gone.filter((digest) => !present.includes(digest)))),
    });
  });
const repositoriesArbitrary = fc.uniqueArray(repositoryArbitrary, { selector: ({ name }) => name, minLength: 1, maxLength: 2 });

const criterion = fc.oneof(
  fc.constant({}),
  fc.integer({ min: 1, max: 4 }).map((mostRecentlyPushed) => ({ mostRecentlyPushed })),
  fc.integer({ min: 1, max: 2000 }).map((hours) => ({ pushedWithin: `${hours}h` })),
  fc.record({ newest: fc.integer({ min: 1, max: 2 }), per: fc.constantFrom("Minor", "Major") }).map((semver) => ({ semver })),
);
const pullCriterion = fc.oneof(
  fc.integer({ min: 1, max: 2000 }).map((hours) => ({ pulledWithin: `${hours}h` })),
  fc.integer({ min: 1, max: 4 }).map((mostRecentlyPulled) => ({ mostRecentlyPulled })),
);
const ruleOf = (criteria: fc.Arbitrary<object>) =>
  fc
    .tuple(fc.constantFrom({}, { tags: "v.*" }, { tags: "pr-[12]" }, { tags: "none" }), criteria)
    .map(([tags, criterion]) => ({ name: "rule", ...tags, ...criterion }));
const inUseOf = fc.record({
  mode: fc.constantFrom("Keep", "Keep", "Ignore"),
  clusters: fc.constantFrom([], [], ["east"], ["east", "west"]),
  keepFor: fc.constantFrom("0s", "1h", "72h", "1000h"),
});
const specOf = (criteria: fc.Arbitrary<object>) =>
  fc.record({
    repositories: fc.constantFrom(["**"], ["team-a/**"]).map((include) => ({ include, exclude: [] })),
    keep: fc.array(ruleOf(criteria), { minLength: 1, maxLength: 3 }),
    untagged: fc.constantFrom("0s", "24h", "700h").map((keepFor) => ({ keepFor })),
    inUse: inUseOf,
  });
const policiesOf = (criteria: fc.Arbitrary<object>): fc.Arbitrary<PolicySource[]> =>
  fc.array(specOf(criteria), { minLength: 1, maxLength: 3 }).map((specs) => specs.map((spec, index) => ({ key: `d/p${index}`, spec })));

/** What was pulled and what was seen are times of the same kind: both before and after a report. */
const seen = fc.oneof(
  time,
  fc.integer({ min: 0, max: 90 }).map((minutes) => now - minutes * 60_000),
);
const images: fc.Arbitrary<ClusterFacts["images"]> = fc.record({
  digests: fc.array(fc.tuple(fc.constantFrom(absent, ...digests), seen), { maxLength: 3 }).map((pairs) => new Map(pairs)),
  tags: fc
    .array(fc.tuple(fc.constantFrom("team-a/one", "team-b/two"), fc.constantFrom(...names), seen), { maxLength: 3 })
    .map((found) => new Map(found.map(([repository, tag, at]) => [repository, new Map([[tag, at]])]))),
});
/** Most reports are young and whole, or no plan would delete anything. */
const clusterOf = (name: string): fc.Arbitrary<ClusterFacts> =>
  fc
    .tuple(fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 0, max: 59 }) }, fc.constantFrom(60, 61, 9_999, undefined)), images)
    .chain(([minutes, images]) =>
      fc.oneof({ weight: 9, arbitrary: fc.constant("Cluster" as const) }, fc.constant(["team-a"])).map((scope) => {
        return { name, scope, images, ...(minutes === undefined ? {} : { reportedAt: now - minutes * 60_000 }) };
      }),
    );
const clustersArbitrary: fc.Arbitrary<readonly ClusterFacts[]> = fc.oneof(
  fc.constant([]),
  clusterOf("east").map((east) => [east]),
  fc.tuple(clusterOf("east"), clusterOf("west")),
);
const everything = fc.record({
  repositories: repositoriesArbitrary,
  clusters: clustersArbitrary,
  policies: policiesOf(fc.oneof(criterion, pullCriterion)),
  pullsCountedSince: fc.constantFrom(undefined, now - 100 * hour, now - 3000 * hour),
});

interface Facts {
  readonly repositories: readonly StoredRepository[];
  readonly clusters: readonly ClusterFacts[];
}
const elsewhere = new Set([blobs[5]?.digest ?? absent]);
const factsOf = (
  repositories: readonly StoredRepository[],
  { clusters, pullsCountedSince }: { readonly clusters: readonly ClusterFacts[]; readonly pullsCountedSince?: number | undefined },
): Facts => ({
  clusters,
  repositories: repositories.map((repository) => (pullsCountedSince === undefined ? repository : { ...repository, pullsCountedSince })),
});
const plannerOf = (policies: readonly PolicySource[], clusters: readonly ClusterFacts[]) =>
  createPlanner({ policy: "d/p0", policies, clusters, now });

/** As the database answers: blobs of what goes that nothing kept, here or elsewhere, holds. */
function freeable(repositories: readonly StoredRepository[], judged: readonly JudgedRepository[]): FreeableBlobs {
  const goes = ({ name }: StoredRepository, { digest }: Stored) =>
    judged.some(({ repository, condemned }) => repository.name === name && condemned.has(digest));
  const held = new Set(elsewhere);
  const named = new Map<string, readonly BlobFact[]>();
  for (const repository of repositories) {
    for (const manifest of repository.manifests) {
      named.set(`${repository.name} ${manifest.digest}`, manifest.blobs);
      if (!goes(repository, manifest)) for (const { digest } of manifest.blobs) held.add(digest);
    }
  }
  return (repository, manifest) => (named.get(`${repository} ${manifest}`) ?? []).filter(({ digest }) => !held.has(digest));
}

function plan(policies: readonly PolicySource[], { repositories, clusters }: Facts): RetentionPlan {
  const planner = plannerOf(policies, clusters);
  const judged = repositories.filter(({ name }) => planner.selects(name)).map(planner.judge);
  return planner.describe(judged, freeable(repositories, judged));
}
const deleted = ({ entries }: RetentionPlan) =>
  entries.filter(({ verdict }) => verdict === "delete").map(({ repository, tag, digest }) => `${repository} ${tag ?? digest}`);

/** The repository after these removals, as the registry would leave it. */
function after(
  repository: StoredRepository,
  { policies, clusters }: { readonly policies: readonly PolicySource[]; readonly clusters: readonly ClusterFacts[] },
  pick: (index: number) => boolean,
) {
  const judged = plannerOf(policies, clusters).judge(repository);
  const removals = removalsOf(judged).filter((_, index) => pick(index));
  const gone = new Set(departures(judged.graph, judged.condemned, removals).flatMap(({ manifests }) => manifests));
  const removedTags = new Set(removals.map((removal) => ("tag" in removal ? removal.tag.name : "")));
  const tags = repository.tags.filter(({ name }) => !removedTags.has(name));
  const left = repository.manifests.filter(({ digest }) => !gone.has(digest));
  const lost = (digest: Digest) => judged.graph.tagsOf(digest).length > 0 && !tags.some((tag) => tag.digest === digest);
  const manifests = left.map((manifest) => (lost(manifest.digest) ? { ...manifest, untaggedSince: now } : manifest));
  return { repository: { ...repository, tags, manifests, departed: repository.departed.union(gone) }, gone, judged };
}

test("one more keep rule never deletes more", () => {
  fc.assert(
    fc.property(
      everything,
      ruleOf(fc.oneof(criterion, pullCriterion)),
      fc.nat(),
      ({ repositories, clusters, policies, pullsCountedSince }, rule, nat) => {
        const facts = factsOf(repositories, { clusters, pullsCountedSince });
        const more = policies.map((policy, index) => {
          const spec = policy.spec as { keep: object[] };
          return index === nat % policies.length ? { ...policy, spec: { ...spec, keep: [...spec.keep, rule] } } : policy;
        });
        const before = new Set(deleted(plan(policies, facts)));
        expect(deleted(plan(more, facts)).filter((name) => !before.has(name))).toEqual([]);
      },
    ),
    runs,
  );
});

test("one more policy, also a broken one, never deletes more", () => {
  fc.assert(
    fc.property(
      everything,
      fc.oneof(specOf(criterion), fc.constant({}), fc.constant({ keep: 1 })),
      ({ repositories, clusters, policies, pullsCountedSince }, spec) => {
        const facts = factsOf(repositories, { clusters, pullsCountedSince });
        const before = new Set(deleted(plan(policies, facts)));
        expect(deleted(plan([...policies, { key: "d/x", spec }], facts)).filter((name) => !before.has(name))).toEqual([]);
      },
    ),
    runs,
  );
});

test("the order of policies, repositories, tags and manifests changes nothing, words included", () => {
  fc.assert(
    fc.property(everything, ({ repositories, clusters, policies, pullsCountedSince }) => {
      const turned = repositories.toReversed().map((repository) => ({
        ...repository,
        tags: repository.tags.toReversed(),
        manifests: repository.manifests.toReversed(),
      }));
      const reversed = plan(policies.toReversed(), factsOf(turned, { clusters: clusters.toReversed(), pullsCountedSince }));
      const straight = plan(policies, factsOf(repositories, { clusters, pullsCountedSince }));
      const bare = ({ entries, ...rest }: RetentionPlan) => ({
        ...rest,
        entries: entries.map((entry) => ({ ...entry, reason: entry.reason.replaceAll(/sha\d+:\w+…/g, "…") })),
      });
      expect(bare(reversed)).toEqual(bare(straight));
    }),
    runs,
  );
});

test("what stays loses no child, no referrer and no tag, also when only a part of the plan is applied", () => {
  fc.assert(
    fc.property(everything, fc.nat({ max: 1023 }), ({ repositories, clusters, policies, pullsCountedSince }, bits) => {
      const facts = factsOf(repositories, { clusters, pullsCountedSince });
      for (const repository of facts.repositories) {
        const { repository: left, gone, judged } = after(repository, { policies, clusters }, (index) => ((bits >> (index % 10)) & 1) === 1);
        for (const { digest } of left.tags) expect(gone).not.toContain(digest);
        for (const manifest of left.manifests) {
          expect(manifest.children.filter((child) => gone.has(child))).toEqual([]);
        }
        for (const digest of gone) {
          const manifest = judged.graph.manifests.get(digest);
          const subject = judged.graph.subjectOf(digest);
          expect(subject === undefined || gone.has(subject)).toBe(true);
          expect(subject !== undefined || (manifest?.keepUntil ?? 0) <= now).toBe(true);
        }
      }
    }),
    runs,
  );
});

test("applied whole, a plan takes exactly what it listed", () => {
  fc.assert(
    fc.property(everything, ({ repositories, clusters, policies, pullsCountedSince }) => {
      const facts = factsOf(repositories, { clusters, pullsCountedSince });
      const listed = new Set(deleted(plan(policies, facts)));
      for (const repository of facts.repositories.filter(({ name }) =>
        plan(policies, facts).entries.some((entry) => entry.repository === name),
      )) {
        const { gone, judged } = after(repository, { policies, clusters }, () => true);
        for (const digest of judged.condemned) expect(gone).toContain(digest);
        for (const digest of gone) {
          expect(judged.graph.tagsOf(digest).length > 0 || listed.has(`${repository.name} ${digest}`)).toBe(true);
        }
      }
    }),
    runs,
  );
});

test("a plan right after its apply deletes nothing", () => {
  fc.assert(
    fc.property(repositoriesArbitrary, policiesOf(criterion), clustersArbitrary, (repositories, policies, clusters) => {
      const facts = factsOf(repositories, { clusters });
      const selected = new Set(plan(policies, facts).entries.map(({ repository }) => repository));
      const left = facts.repositories.map((repository) =>
        selected.has(repository.name) ? after(repository, { policies, clusters }, () => true).repository : repository,
      );
      expect(deleted(plan(policies, factsOf(left, { clusters })))).toEqual([]);
    }),
    runs,
  );
});

test("bytes are those of blobs that nothing kept and nobody else holds, each once", () => {
  fc.assert(
    fc.property(everything, ({ repositories, clusters, policies, pullsCountedSince }) => {
      const facts = factsOf(repositories, { clusters, pullsCountedSince });
      const planned = plan(policies, facts);
      const selected = new Set(planned.entries.map(({ repository }) => repository));
      const left = facts.repositories.map((repository) =>
        selected.has(repository.name) ? after(repository, { policies, clusters }, () => true).repository : repository,
      );
      const held = (among: readonly StoredRepository[]) =>
        new Set(among.flatMap(({ manifests }) => manifests.flatMap(({ blobs }) => blobs.map(({ digest }) => digest))));
      const free = held(repositories).difference(held(left)).difference(elsewhere);
      const expected = blobs.filter(({ digest }) => free.has(digest)).reduce((sum, { size }) => sum + size, 0);
      expect(planned.totals.bytes).toBe(expected);
    }),
    runs,
  );
});

interface InUseSpec {
  readonly mode: string;
  readonly clusters: readonly string[];
  readonly keepFor: string;
}
/** Written as the design says it, and not as the planner does. */
function askedBy(policy: PolicySource, clusters: readonly ClusterFacts[]): readonly (ClusterFacts | undefined)[] {
  const { mode, clusters: names } = (policy.spec as { inUse: InUseSpec }).inUse;
  if (mode === "Ignore") return [];
  return names.length === 0 ? clusters : names.map((name) => clusters.find((cluster) => cluster.name === name));
}
const isHeard = (cluster: ClusterFacts | undefined) =>
  cluster?.reportedAt !== undefined && cluster.reportedAt > now - hour && cluster.scope === "Cluster";
const keepForOf = (policy: PolicySource) => Number.parseInt((policy.spec as { inUse: InUseSpec }).inUse.keepFor, 10) * hour;
const selecting = (policies: readonly PolicySource[], name: string) =>
  policies.filter(
    ({ spec }) => (spec as { repositories: { include: string[] } }).repositories.include.includes("**") || name.startsWith("team-a/"),
  );

test("while a cluster that one of the policies asks is silent, or covers a part, nothing that this policy selects is deleted", () => {
  fc.assert(
    fc.property(everything, ({ repositories, clusters, policies, pullsCountedSince }) => {
      const planned = plan(policies, factsOf(repositories, { clusters, pullsCountedSince }));
      for (const { name } of repositories) {
        const silent = selecting(policies, name).some((policy) => !askedBy(policy, clusters).every(isHeard));
        const goes = planned.entries.filter(({ repository, verdict }) => repository === name && verdict === "delete");
        expect(silent && goes.length > 0).toBe(false);
      }
      const [itself] = policies;
      const unknown = itself !== undefined && !askedBy(itself, clusters).every(isHeard);
      expect(planned.blocked?.reason === "WorkloadsUnknown").toBe(unknown);
    }),
    runs,
  );
});

test("what a cluster uses, or used within keepFor, or pulled since its report, stays with what is around it, what it leads to, and its tags", () => {
  let used = 0;
  fc.assert(
    fc.property(everything, ({ repositories, clusters, policies, pullsCountedSince }) => {
      const facts = factsOf(repositories, { clusters, pullsCountedSince });
      for (const repository of facts.repositories) {
        const { gone, judged, repository: left } = after(repository, { policies, clusters }, () => true);
        const { graph } = judged;
        for (const policy of selecting(policies, repository.name)) {
          for (const cluster of askedBy(policy, clusters)) {
            if (cluster?.reportedAt === undefined) continue;
            const { reportedAt, images } = cluster;
            const inUse = (at: number | undefined) => at !== undefined && (at >= reportedAt || at > now - keepForOf(policy));
            const tags = images.tags.get(repository.name);
            const roots = repository.manifests.filter(
              ({ digest, pulledAt }) =>
                inUse(images.digests.get(digest)) ||
                graph.tagsOf(digest).some(({ name }) => inUse(tags?.get(name))) ||
                (pulledAt !== undefined && pulledAt > reportedAt),
            );
            for (const { digest } of roots) {
              used++;
              const family = reach([digest], graph.parentsOf).union(reach([digest], graph.childrenOf));
              for (const member of family) expect(gone).not.toContain(member);
              const tagged = repository.tags.filter((tag) => family.has(tag.digest));
              expect(tagged.filter(({ name }) => !left.tags.some((tag) => tag.name === name))).toEqual([]);
            }
          }
        }
      }
    }),
    runs,
  );
  expect(used).toBeGreaterThan(100);
});

test("one more image in use, one more pull, never deletes more", () => {
  fc.assert(
    fc.property(
      everything,
      images,
      fc.nat({ max: digests.length - 1 }),
      ({ repositories, clusters, policies, pullsCountedSince }, more, pulled) => {
        const before = new Set(deleted(plan(policies, factsOf(repositories, { clusters, pullsCountedSince }))));
        const larger = clusters.map((cluster) => {
          const merged = {
            digests: new Map([...more.digests, ...cluster.images.digests]),
            tags: new Map([...more.tags, ...cluster.images.tags]),
          };
          return { ...cluster, images: merged };
        });
        expect(
          deleted(plan(policies, factsOf(repositories, { clusters: larger, pullsCountedSince }))).filter((name) => !before.has(name)),
        ).toEqual([]);
        const withPull = repositories.map((repository) => ({
          ...repository,
          manifests: repository.manifests.map((manifest) =>
            manifest.digest === digests[pulled] ? { ...manifest, pulledAt: now } : manifest,
          ),
        }));
        // Rankings compare: a pull may move another image out of one.
        const ranked = policies.some(({ spec }) => JSON.stringify(spec).includes("mostRecentlyPulled"));
        const pulledToo = deleted(plan(policies, factsOf(withPull, { clusters, pullsCountedSince })));
        expect(pulledToo.filter((name) => !ranked && !before.has(name))).toEqual([]);
      },
    ),
    runs,
  );
});

test("clusters that nobody asks change nothing", () => {
  fc.assert(
    fc.property(everything, ({ repositories, clusters, policies, pullsCountedSince }) => {
      const ignoring = policies.map((policy) => ({ ...policy, spec: { ...(policy.spec as object), inUse: { mode: "Ignore" } } }));
      const asked = plan(ignoring, factsOf(repositories, { clusters, pullsCountedSince }));
      expect(asked).toEqual(plan(ignoring, factsOf(repositories, { clusters: [], pullsCountedSince })));
    }),
    runs,
  );
});

test("the graph of a repository that names what is not there is still a graph", () => {
  const graph = graphOf({ name: "x", kind: "own", tags: [], manifests: [], departed: new Set() });
  expect(graph.parentsOf(absent)).toEqual([]);
  expect(departures(graph, new Set([absent]), [{ untagged: absent }])[0]?.manifests).toEqual([]);
});
