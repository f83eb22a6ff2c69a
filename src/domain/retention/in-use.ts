// `inUse`: what clusters run is kept. It fails closed: a cluster that is silent, or reports only a part, stops every deletion.

import type { Digest } from "../digest.ts";
import type { ClusterFacts } from "./facts.ts";
import { familyMaximum, lastPull, type Graph } from "./graph.ts";
import type { EvaluablePolicy } from "./policy.ts";
import { formatTime } from "./words.ts";

/** A report counts while it is younger. */
const reportValidFor = 3_600_000;

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
  /** When the cluster last used a manifest or what is around it; asked of one graph after the other. */
  const lastSeen = (graph: Graph, { name, images }: ClusterFacts) => {
    const ofGraph = seenIn.get(graph) ?? new Map<string, (digest: Digest) => number>();
    seenIn.set(graph, ofGraph);
    const seen = ofGraph.get(name) ?? familyMaximum(graph, (digest) => images.get(digest));
    ofGraph.set(name, seen);
    return seen;
  };
  return {
    silence(policy) {
      const silent = asked(policy).flatMap((cluster) => silenceOf(cluster, facts.now) ?? []);
      return silent.length === 0 ? undefined : `what clusters use is unknown, so everything is kept: ${silent.join("; ")}`;
    },
    useOf(policy, graph, digest) {
      if (facts.clusters.length === 0) return undefined;
      const keepFor = policy.inUse?.keepFor ?? 0;
      const clusters = asked(policy).filter((cluster) => typeof cluster !== "string");
      if (clusters.length === 0) return undefined;
      for (const cluster of clusters) {
        const { name } = cluster;
        const seen = lastSeen(graph, cluster)(digest);
        if (seen > facts.now - keepFor) return `in use in cluster ${name}, last seen ${formatTime(seen)}`;
      }
      const reported = Math.min(...clusters.map(({ reportedAt }) => reportedAt ?? -Infinity));
      const pulled = lastPull(graph, digest);
      return pulled !== undefined && pulled > reported ? `pulled ${formatTime(pulled)}, since the last report` : undefined;
    },
    note(policy) {
      if (policy.inUse === undefined || policy.inUse.clusters.length > 0 || facts.clusters.length > 0) return undefined;
      return "inUse asks nothing: no cluster is configured";
    },
  };
}

function silenceOf(cluster: ClusterFacts | string, now: number): string | undefined {
  if (typeof cluster === "string") return `cluster ${cluster} is not configured`;
  if (cluster.reportedAt === undefined) return `cluster ${cluster.name} has never reported`;
  if (cluster.reportedAt <= now - reportValidFor) return `cluster ${cluster.name} last reported ${formatTime(cluster.reportedAt)}`;
  return cluster.complete ? undefined : `the report of cluster ${cluster.name} does not cover the whole cluster`;
}
