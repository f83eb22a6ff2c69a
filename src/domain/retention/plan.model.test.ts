// What must hold for every repository and every set of policies, whatever they look like.

import * as fc from "fast-check";
import { expect, test } from "vitest";

import { digestOf, hexOf, type Digest } from "../digest.ts";
import { departures } from "./departures.ts";
import type { BlobFact, FreeableBlobs, ManifestFact, PolicySource, RepositoryFacts, TagFact } from "./facts.ts";
import { graphOf } from "./graph.ts";
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
const specOf = (criteria: fc.Arbitrary<object>) =>
  fc.record({
    repositories: fc.constantFrom(["**"], ["team-a/**"]).map((include) => ({ include, exclude: [] })),
    keep: fc.array(ruleOf(criteria), { minLength: 1, maxLength: 3 }),
    untagged: fc.constantFrom("0s", "24h", "700h").map((keepFor) => ({ keepFor })),
  });
const policiesOf = (criteria: fc.Arbitrary<object>): fc.Arbitrary<PolicySource[]> =>
  fc.array(specOf(criteria), { minLength: 1, maxLength: 3 }).map((specs) => specs.map((spec, index) => ({ key: `d/p${index}`, spec })));

const everything = fc.record({
  repositories: repositoriesArbitrary,
  policies: policiesOf(fc.oneof(criterion, pullCriterion)),
  pullsCountedSince: fc.constantFrom(undefined, now - 100 * hour, now - 3000 * hour),
});

interface Facts {
  readonly repositories: readonly StoredRepository[];
}
const elsewhere = new Set([blobs[5]?.digest ?? absent]);
const factsOf = (repositories: readonly StoredRepository[], pullsCountedSince?: number): Facts => ({
  repositories: repositories.map((repository) => (pullsCountedSince === undefined ? repository : { ...repository, pullsCountedSince })),
});
const plannerOf = (policies: readonly PolicySource[]) => createPlanner({ policy: "d/p0", policies, clusters: [], now });

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

function plan(policies: readonly PolicySource[], { repositories }: Facts): RetentionPlan {
  const planner = plannerOf(policies);
  const judged = repositories.filter(({ name }) => planner.selects(name)).map(planner.judge);
  return planner.describe(judged, freeable(repositories, judged));
}
const deleted = ({ entries }: RetentionPlan) =>
  entries.filter(({ verdict }) => verdict === "delete").map(({ repository, tag, digest }) => `${repository} ${tag ?? digest}`);

/** The repository after these removals, as the registry would leave it. */
function after(repository: StoredRepository, policies: readonly PolicySource[], pick: (index: number) => boolean) {
  const judged = plannerOf(policies).judge(repository);
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
      ({ repositories, policies, pullsCountedSince }, rule, nat) => {
        const facts = factsOf(repositories, pullsCountedSince);
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
      ({ repositories, policies, pullsCountedSince }, spec) => {
        const facts = factsOf(repositories, pullsCountedSince);
        const before = new Set(deleted(plan(policies, facts)));
        expect(deleted(plan([...policies, { key: "d/x", spec }], facts)).filter((name) => !before.has(name))).toEqual([]);
      },
    ),
    runs,
  );
});

test("the order of policies, repositories, tags and manifests changes nothing, words included", () => {
  fc.assert(
    fc.property(everything, ({ repositories, policies, pullsCountedSince }) => {
      const turned = repositories.toReversed().map((repository) => ({
        ...repository,
        tags: repository.tags.toReversed(),
        manifests: repository.manifests.toReversed(),
      }));
      const reversed = plan(policies.toReversed(), factsOf(turned, pullsCountedSince));
      const straight = plan(policies, factsOf(repositories, pullsCountedSince));
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
    fc.property(everything, fc.nat({ max: 1023 }), ({ repositories, policies, pullsCountedSince }, bits) => {
      const facts = factsOf(repositories, pullsCountedSince);
      for (const repository of facts.repositories) {
        const { repository: left, gone, judged } = after(repository, policies, (index) => ((bits >> (index % 10)) & 1) === 1);
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
    fc.property(everything, ({ repositories, policies, pullsCountedSince }) => {
      const facts = factsOf(repositories, pullsCountedSince);
      const listed = new Set(deleted(plan(policies, facts)));
      for (const repository of facts.repositories.filter(({ name }) =>
        plan(policies, facts).entries.some((entry) => entry.repository === name),
      )) {
        const { gone, judged } = after(repository, policies, () => true);
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
    fc.property(repositoriesArbitrary, policiesOf(criterion), (repositories, policies) => {
      const facts = factsOf(repositories);
      const selected = new Set(plan(policies, facts).entries.map(({ repository }) => repository));
      const left = facts.repositories.map((repository) =>
        selected.has(repository.name) ? after(repository, policies, () => true).repository : repository,
      );
      expect(deleted(plan(policies, factsOf(left)))).toEqual([]);
    }),
    runs,
  );
});

test("bytes are those of blobs that nothing kept and nobody else holds, each once", () => {
  fc.assert(
    fc.property(everything, ({ repositories, policies, pullsCountedSince }) => {
      const facts = factsOf(repositories, pullsCountedSince);
      const planned = plan(policies, facts);
      const selected = new Set(planned.entries.map(({ repository }) => repository));
      const left = facts.repositories.map((repository) =>
        selected.has(repository.name) ? after(repository, policies, () => true).repository : repository,
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

test("the graph of a repository that names what is not there is still a graph", () => {
  const graph = graphOf({ name: "x", kind: "own", tags: [], manifests: [], departed: new Set() });
  expect(graph.parentsOf(absent)).toEqual([]);
  expect(departures(graph, new Set([absent]), [{ untagged: absent }])[0]?.manifests).toEqual([]);
});
