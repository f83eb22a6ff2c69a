// Graphs that strangers push: as deep, as wide and as entangled as content addressing allows.

import * as fc from "fast-check";
import { expect, test } from "vitest";

import { digestOf, type Digest } from "../digest.ts";
import { components } from "./components.ts";
import { departures } from "./departures.ts";
import type { ClusterFacts, ManifestFact, RepositoryFacts } from "./facts.ts";
import { familyMaximum, graphOf, lastPull, reach } from "./graph.ts";
import { inUseOf } from "./in-use.ts";
import { compilePolicy } from "./policy.ts";
import { createPlanner } from "./plan.ts";

const now = Date.UTC(2026, 10, 21, 12);
const longAgo = now - 400 * 86_400_000;
const manifest = (digest: Digest, facts: Partial<ManifestFact> = {}): ManifestFact => ({
  digest,
  pushedAt: longAgo,
  keepUntil: longAgo,
  untaggedSince: longAgo,
  children: [],
  ...facts,
});
const repository = (manifests: readonly ManifestFact[]): RepositoryFacts => ({
  name: "team-a/app",
  kind: "own",
  tags: [],
  manifests,
  departed: new Set(),
});
const name = (index: number): Digest => digestOf(`manifest ${index}`);

/** Any graph that content can form: children and subjects were there before. */
const contents = fc
  .array(
    fc.record({
      subject: fc.option(fc.nat(), { nil: undefined }),
      children: fc.array(fc.nat(), { maxLength: 3 }),
    }),
    { maxLength: 12 },
  )
  .map((drawn) =>
    drawn.map(({ subject, children }, index) =>
      manifest(name(index), {
        ...(subject === undefined || index === 0 ? {} : { subject: name(subject % index) }),
        children: index === 0 ? [] : children.map((child) => name(child % index)),
      }),
    ),
  );

test("nothing that goes with its subject holds it, and only an index that would hold it goes alone", () => {
  fc.assert(
    fc.property(contents, (manifests) => {
      const graph = graphOf(repository(manifests));
      const anchored = (digest: Digest) => graph.referrersOf(digest).filter((referrer) => graph.subjectOf(referrer) === digest);
      const holds = (digest: Digest) => [...graph.childrenOf(digest), ...anchored(digest)];
      const named = (digest: Digest) => [...graph.childrenOf(digest), ...graph.referrersOf(digest)];
      for (const { digest, subject } of manifests) {
        if (subject === undefined) continue;
        const closes = reach(graph.childrenOf(digest), named).has(subject);
        expect(graph.subjectOf(digest)).toBe(closes ? undefined : subject);
        expect(!closes && reach([digest], holds).has(subject)).toBe(false);
      }
    }),
    { numRuns: 1_000 },
  );
});

test("components are what leads to each other, after all that they lead to", () => {
  const size = 8;
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(size - 1), fc.nat(size - 1)), { maxLength: 20 }), (steps) => {
      const nodes = Array.from({ length: size }, (_, index) => name(index));
      const next = (digest: Digest) => steps.filter(([from]) => name(from) === digest).map(([, to]) => name(to));
      const found = components(nodes, next);
      expect(found.flat().toSorted()).toEqual(nodes.toSorted());
      const before = new Set<Digest>();
      for (const members of found) {
        for (const member of members) {
          const led = reach([member], next);
          expect(new Set(members)).toEqual(new Set([...led].filter((other) => reach([other], next).has(member))));
          for (const other of led) expect(members.includes(other) || before.has(other)).toBe(true);
        }
        for (const member of members) before.add(member);
      }
    }),
    { numRuns: 500 },
  );
});

const many = 100_000;
/** Far from what they need, far below what a walk for each manifest would take. */
const slowMachine = { timeout: 60_000 };
const links = Array.from({ length: many }, (_, index) => manifest(name(index), index === 0 ? {} : { subject: name(index - 1) }));
const using = (digest: Digest): ClusterFacts => {
  return { name: "prod", reportedAt: now, scope: "Cluster", images: { digests: new Map([[digest, now]]), tags: new Map() } };
};
const keepNothing = { repositories: { include: ["**"], exclude: [] }, keep: [{ name: "none", tags: "none" }], untagged: { keepFor: "0s" } };
const planner = () => createPlanner({ policy: "d/p", policies: [{ key: "d/p", spec: keepNothing }], clusters: [], now });

test("a chain of referrers, each of the one before, is planned in one walk", slowMachine, () => {
  const judged = planner().judge(repository(links));
  expect(judged.graph.subjectOf(name(many - 1))).toBe(name(many - 2));
  expect(judged.condemned.size).toBe(many);
  expect(planner().describe([judged], () => []).totals.deleted).toBe(many);
});

test("a circle of that length is still one, and is opened where an index closes it", slowMachine, () => {
  const closing = manifest(digestOf("closing"), { subject: name(many - 1), children: [name(0)] });
  const graph = graphOf(repository([...links, closing]));
  expect(graph.subjectOf(closing.digest)).toBeUndefined();
  expect(graph.subjectOf(name(many - 1))).toBe(name(many - 2));
});

test("more referrers of one subject than a call takes arguments", slowMachine, () => {
  const referrers = Array.from({ length: 2 * many }, (_, index) => manifest(name(index + 1), { subject: name(0) }));
  const graph = graphOf(repository([manifest(name(0)), ...referrers]));
  const [departure] = departures(graph, new Set(graph.manifests.keys()), [{ untagged: name(0) }]);
  expect(departure?.manifests).toHaveLength(2 * many + 1);
});

test("more indexes around one child than a call takes arguments", slowMachine, () => {
  const indexes = Array.from({ length: 2 * many }, (_, index) =>
    manifest(name(index + 1), { children: [name(0)], pulledAt: longAgo + index }),
  );
  const graph = graphOf(repository([manifest(name(0)), ...indexes]));
  expect(lastPull(graph, name(0))).toBe(longAgo + 2 * many - 1);
  const cluster = using(name(many));
  const policy = compilePolicy({ key: "d/p", spec: { ...keepNothing, inUse: {} } });
  if (policy.broken !== undefined) throw new Error(`the policy is broken: ${policy.broken}`);
  expect(inUseOf({ clusters: [cluster], now }).useOf(policy, graph, name(0))).toMatch(/^in use in cluster prod/);
});

test("what is known of an index, of what is around it and of what it leads to counts for each", () => {
  fc.assert(
    fc.property(contents, fc.array(fc.option(fc.nat()), { maxLength: 12 }), (manifests, values) => {
      const graph = graphOf(repository(manifests));
      const valueOf = (digest: Digest) => values[manifests.findIndex((one) => one.digest === digest)] ?? undefined;
      const greatest = familyMaximum(graph, valueOf);
      for (const { digest } of manifests) {
        const family = reach([digest], graph.parentsOf).union(reach([digest], graph.childrenOf));
        expect(greatest(digest)).toBe(Math.max(-Infinity, ...[...family].map((member) => valueOf(member) ?? -Infinity)));
      }
    }),
  );
});

test("indexes in indexes in indexes: who uses them costs what they are, not their square", () => {
  const deep = 3_000;
  const manifests = Array.from({ length: deep }, (_, index) => manifest(name(index), index === 0 ? {} : { children: [name(index - 1)] }));
  const real = graphOf(repository(manifests));
  let steps = 0;
  const counted = (next: (digest: Digest) => readonly Digest[]) => (digest: Digest) => {
    steps++;
    return next(digest);
  };
  const graph = { ...real, parentsOf: counted(real.parentsOf), childrenOf: counted(real.childrenOf) };
  const clusters = [using(name(0))];
  const policy = compilePolicy({ key: "d/p", spec: { ...keepNothing, inUse: {} } });
  if (policy.broken !== undefined) throw new Error(`the policy is broken: ${policy.broken}`);
  const inUse = inUseOf({ clusters, now });
  for (const { digest } of manifests) expect(inUse.useOf(policy, graph, digest)).toContain("cluster prod");
  expect(steps).toBeLessThan(10 * deep);
});
