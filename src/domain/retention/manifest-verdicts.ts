// Manifests of an own repository: what kept tags, leases, workloads and the grace of `untagged` hold, with children and referrers.

import type { Digest } from "../digest.ts";
import { formatDuration } from "../duration.ts";
import type { ManifestFact, Verdict } from "./facts.ts";
import { lastPull, type Graph } from "./graph.ts";
import type { EvaluablePolicy } from "./policy.ts";
import { judgePull } from "./rules.ts";
import { closedReason, ruleName, type Judgement } from "./tag-verdicts.ts";
import { formatTime, shortDigest } from "./words.ts";

export interface ManifestVerdicts {
  readonly manifests: ReadonlyMap<Digest, Verdict>;
  /** Verdicts of `sha256-<hex>` tags. */
  readonly followers: ReadonlyMap<string, Verdict>;
}

export function judgeManifests(
  departed: ReadonlySet<Digest>,
  graph: Graph,
  tags: ReadonlyMap<string, Verdict>,
  judgement: Judgement,
): ManifestVerdicts {
  const kept = new Map<Digest, Verdict>();
  const followers = new Map<string, Verdict>();
  const keep = (digest: Digest, rule: string, reason: string) => {
    if (!kept.has(digest)) kept.set(digest, { keep: true, rule, reason });
  };
  const keepFollower = (tag: { name: string; digest: Digest }, reason: string) => {
    followers.set(tag.name, { keep: true, rule: "follows", reason });
    keep(tag.digest, "tag", `tag ${tag.name} is kept`);
  };
  const alone = new Map<Digest, Verdict>();
  for (const manifest of graph.manifests.values()) {
    const verdict = standing(manifest, graph, judgement);
    if (verdict !== undefined) alone.set(manifest.digest, verdict);
  }
  const closed = closedBy(judgement);

  for (const { name, digest } of graph.ordinary) if (tags.get(name)?.keep === true) keep(digest, "tag", `tag ${name} is kept`);
  for (const [digest, verdict] of alone) if (verdict.keep) keep(digest, verdict.rule, verdict.reason);
  for (const tag of graph.followers) {
    const use = closed?.reason ?? useBy(judgement, graph, tag.digest)?.reason;
    if (use !== undefined) keepFollower(tag, use);
    else if (!graph.manifests.has(tag.names) && !departed.has(tag.names)) {
      keepFollower(tag, `${shortDigest(tag.names)} is not here, and was not deleted here`);
    }
  }
  // A Map grows while it is iterated: what is kept keeps its children and referrers, and they theirs.
  for (const digest of kept.keys()) {
    for (const child of graph.childrenOf(digest)) keep(child, "follows", `child of ${shortDigest(digest)}, which is kept`);
    for (const referrer of graph.referrersOf(digest)) keep(referrer, "follows", `refers to ${shortDigest(digest)}, which is kept`);
    for (const tag of graph.followersOf(digest)) keepFollower(tag, `belongs to ${shortDigest(digest)}, which is kept`);
  }
  for (const { name, names } of graph.followers) {
    if (followers.has(name)) continue;
    const reason = `belongs to ${shortDigest(names)}, which ${graph.manifests.has(names) ? "goes" : "was deleted"}`;
    followers.set(name, { keep: false, rule: "follows", reason });
  }
  const manifests = new Map<Digest, Verdict>();
  for (const manifest of graph.manifests.values()) {
    const { digest } = manifest;
    manifests.set(digest, kept.get(digest) ?? alone.get(digest) ?? departure(manifest, graph));
  }
  return { followers, manifests };
}

/** What holds a manifest by itself, or (for one that nothing else needs) how the grace of `untagged` stands. undefined: others decide. */
function standing(manifest: ManifestFact, graph: Graph, judgement: Judgement): Verdict | undefined {
  const { context, policies } = judgement;
  // A referrer goes with its subject whatever its own lease says: without it nobody can find it.
  if (manifest.keepUntil > context.now && graph.subjectOf(manifest.digest) === undefined) {
    return { keep: true, rule: "lease", reason: `pushed or asked for by a pusher, leased until ${formatTime(manifest.keepUntil)}` };
  }
  const used = useBy(judgement, graph, manifest.digest);
  if (used !== undefined) return used;
  if (isNeeded(manifest, graph)) return undefined;
  const evaluable = policies.filter((policy): policy is EvaluablePolicy => policy.broken === undefined);
  return closedBy(judgement) ?? pulled(manifest, graph, evaluable, judgement) ?? grace(manifest, graph, evaluable, judgement);
}

/** What a cluster uses stays, with all its tags. */
function useBy(judgement: Judgement, graph: Graph, digest: Digest): Verdict | undefined {
  for (const policy of judgement.policies) {
    if (policy.broken !== undefined) continue;
    const use = judgement.inUse.useOf(policy, graph, digest);
    if (use !== undefined) return { keep: true, rule: ruleName(judgement, policy, "inUse"), reason: use };
  }
  return undefined;
}

/** Tagged, a child of an index here, or the referrer of a manifest here. */
function isNeeded(manifest: ManifestFact, graph: Graph): boolean {
  const { digest } = manifest;
  return graph.tagsOf(digest).length > 0 || graph.parentsOf(digest).length > 0 || graph.subjectOf(digest) !== undefined;
}

function closedBy(judgement: Judgement): Verdict | undefined {
  for (const policy of judgement.policies) {
    const closed = closedReason(policy, judgement.inUse);
    if (closed !== undefined) return { keep: true, rule: ruleName(judgement, policy, closed.rule), reason: closed.reason };
  }
  return undefined;
}

/** A `pulledWithin` without `tags` is about the whole repository: digests that people pin are pulled without any tag. */
function pulled(manifest: ManifestFact, graph: Graph, policies: readonly EvaluablePolicy[], judgement: Judgement): Verdict | undefined {
  const pulledAt = lastPull(graph, manifest.digest);
  const subject = { presentSince: manifest.pushedAt, ...(pulledAt === undefined ? {} : { pulledAt }) };
  for (const policy of policies) {
    for (const rule of policy.keep) {
      if (rule.pulledWithin === undefined) continue;
      const { keep, why } = judgePull(subject, rule.pulledWithin, formatDuration(rule.pulledWithin), judgement.context);
      if (keep) return { keep, rule: ruleName(judgement, policy, rule.name), reason: why };
    }
  }
  return undefined;
}

function grace(manifest: ManifestFact, graph: Graph, policies: readonly EvaluablePolicy[], { context }: Judgement): Verdict {
  const longest = Math.max(0, ...policies.map(({ untaggedKeepFor }) => untaggedKeepFor));
  const { untaggedSince, subject } = manifest;
  if (untaggedSince === undefined) {
    const reason =
      subject === undefined || graph.manifests.has(subject)
        ? "untagged, counted from now on"
        : `its subject ${shortDigest(subject)} is not here: referrers may be pushed first`;
    return { keep: true, rule: "untagged", reason };
  }
  const keep = untaggedSince > context.now - longest;
  const since = `untagged since ${formatTime(untaggedSince)}`;
  return { keep, rule: "untagged", reason: `${since}, ${keep ? "within" : "longer ago than"} ${formatDuration(longest)}` };
}

/** Nothing kept needs it: it goes with what needed it. */
function departure(manifest: ManifestFact, graph: Graph): Verdict {
  const tag = graph.tagsOf(manifest.digest).at(-1);
  if (tag !== undefined) return { keep: false, rule: "none", reason: `its last tag ${tag.name} goes` };
  const [parent] = graph.parentsOf(manifest.digest);
  if (parent !== undefined) return { keep: false, rule: "follows", reason: `child of ${shortDigest(parent)}, which goes` };
  return { keep: false, rule: "follows", reason: `refers to ${shortDigest(manifest.subject ?? manifest.digest)}, which goes` };
}
