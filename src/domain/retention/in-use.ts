// `inUse`: what clusters use is kept. It fails closed: a cluster that is silent, or reports only a part, stops every deletion.

import type { Digest } from "../digest.ts";
import type { ClusterFacts } from "./facts.ts";
import { familyMaximum, lastPull, type Graph } from "./graph.ts";
import type { EvaluablePolicy } from "./policy.ts";
import { formatTime } from "./words.ts";

/** A report counts while it is younger, milliseconds. */
export const reportValidFor = 3_600_000;
/** How far the clocks of a cluster and of the registry may be apart: a pull that seems to be a little older than the report may be younger. */
export const clocksApart = 300_000;

export interface InUse {
  /** Why nothing may be deleted under this policy now; undefined: every cluster it asks has answered. */
  silence(policy: EvaluablePolicy): string | undefined;
  /** Why this digest (or what is around it) is in use; undefined: nobody uses it. */
  useOf(policy: EvaluablePolicy, graph: Graph, digest: Digest): string | undefined;
  /** For the plan, when the question has no one to answer it. */
  note(policy: EvaluablePolicy): string | undefined;
}

export function inUseOf(facts: { readonly clusters: readonly ClusterFacts[]; readonly now: number }): InUse {
  const asked = (policy: EvaluablePolicy): readonly (ClusterFacts | string)[] => {
    if (policy.inUse === undefined) return [];
    if (policy.inUse.clusters.length === 0) return facts.clusters;
    return policy.inUse.clusters.map((name) => facts.clusters.find((cluster) => cluster.name === name) ?? name);
  };
  const seenIn = new WeakMap<Graph, Map<string, (digest: Digest) => number>>();
  /** When the cluster last used a manifest, a tag of it or what is around it; asked of one graph after the other. */
  const lastSeen = (graph: Graph, { name, images }: ClusterFacts) => {
    const ofGraph = seenIn.get(graph) ?? new Map<string, (digest: Digest) => number>();
    seenIn.set(graph, ofGraph);
    const tags = images.tags.get(graph.repository);
    const seen =
      ofGraph.get(name) ??
      familyMaximum(graph, (digest) => {
        let latest = images.digests.get(digest) ?? -Infinity;
        if (tags !== undefined) for (const tag of graph.tagsOf(digest)) latest = Math.max(latest, tags.get(tag.name) ?? -Infinity);
        return latest;
      });
    ofGraph.set(name, seen);
    return seen;
  };
  return {
    silence(policy) {
      const silent = asked(policy).flatMap((cluster) => silenceOf(cluster, policy, facts.now) ?? []);
      return silent.length === 0 ? undefined : `what clusters use is unknown, so everything is kept: ${silent.join("; ")}`;
    },
    useOf(policy, graph, digest) {
      if (facts.clusters.length === 0) return undefined;
      const keepFor = policy.inUse?.keepFor ?? 0;
      const clusters = asked(policy).filter((cluster) => typeof cluster !== "string");
      if (clusters.length === 0) return undefined;
      for (const cluster of clusters) {
        const { name, reportedAt = Infinity } = cluster;
        const seen = lastSeen(graph, cluster)(digest);
        // No time in the words of what is in use now: the same plan has the same words after the next report.
        if (seen >= reportedAt) return `in use in cluster ${name}`;
        if (seen > facts.now - keepFor) return `in use in cluster ${name}, last seen ${formatTime(seen)}`;
      }
      const reported = Math.min(...clusters.map(({ reportedAt }) => reportedAt ?? -Infinity));
      const pulled = lastPull(graph, digest);
      return pulled !== undefined && pulled > reported - clocksApart ? `pulled ${formatTime(pulled)}, since the last report` : undefined;
    },
    note(policy) {
      if (policy.inUse === undefined || policy.inUse.clusters.length > 0 || facts.clusters.length > 0) return undefined;
      return "inUse asks nothing: no cluster is configured";
    },
  };
}

function silenceOf(cluster: ClusterFacts | string, { workloads }: EvaluablePolicy, now: number): string | undefined {
  if (typeof cluster === "string") return `cluster ${cluster} is not configured`;
  const { name, reportedAt, scope, problem } = cluster;
  const because = problem === undefined ? "" : ` (its reporter says: ${problem})`;
  if (reportedAt === undefined)
    return `cluster ${name} has never reported${problem === undefined ? "" : " the whole of what it uses"}${because}`;
  if (reportedAt <= now - reportValidFor) return `cluster ${name} last reported ${formatTime(reportedAt)}${because}`;
  if (scope === "Cluster") return undefined;
  if (workloads === undefined) return `the report of cluster ${name} does not cover the whole cluster`;
  const missing = workloads.filter((namespace) => !scope.includes(namespace));
  return missing.length === 0 ? undefined : `the report of cluster ${name} does not cover namespace ${missing.join(", ")}`;
}
