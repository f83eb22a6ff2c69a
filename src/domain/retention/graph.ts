// Who needs whom in one repository: indexes their children, subjects their referrers (by `subject` and by `sha256-<hex>` tags).

import type { Digest } from "../digest.ts";
import { addTo } from "../groups.ts";
import { digestOfReferrerTag } from "../reference.ts";
import { components } from "./components.ts";
import type { ManifestFact, RepositoryFacts, TagFact } from "./facts.ts";
import { compareNames } from "./words.ts";

export interface FollowerTag extends TagFact {
  /** The digest in its name. */
  readonly names: Digest;
}

export interface Graph {
  /** With its prefix. */
  readonly repository: string;
  readonly manifests: ReadonlyMap<Digest, ManifestFact>;
  /** Tags that rules judge. */
  readonly ordinary: readonly TagFact[];
  /** `sha256-<hex>` and `sha256-<hex>.*`: no rule counts them, they follow the digest they name. */
  readonly followers: readonly FollowerTag[];
  readonly tagsOf: (digest: Digest) => readonly TagFact[];
  /** Indexes here that name this manifest. */
  readonly parentsOf: (digest: Digest) => readonly Digest[];
  /** Children that are here. */
  readonly childrenOf: (digest: Digest) => readonly Digest[];
  /**
   * The subject here that this manifest goes with. undefined also for an index whose children lead to its own subject (it refers to its child,
   * or to what refers to its child): two that need each other would need each other for ever.
   */
  readonly subjectOf: (digest: Digest) => Digest | undefined;
  /** Manifests here with this subject. */
  readonly referrersOf: (digest: Digest) => readonly Digest[];
  /** Tags here that follow this digest. */
  readonly followersOf: (digest: Digest) => readonly FollowerTag[];
}

export function graphOf(repository: RepositoryFacts): Graph {
  // Sorted, so that the order in which facts were read changes no word of a plan.
  const sorted = repository.manifests.toSorted((a, b) => compareNames(a.digest, b.digest));
  const manifests = new Map(sorted.map((manifest) => [manifest.digest, manifest]));
  const followers: FollowerTag[] = [];
  const ordinary: TagFact[] = [];
  for (const tag of repository.tags.toSorted((a, b) => compareNames(a.name, b.name))) {
    // Version tags are minted, never `sha256-<hex>`: in a proxied repository each of them is judged.
    const names = repository.kind === "own" ? digestOfReferrerTag(tag.name) : undefined;
    if (names === undefined) ordinary.push(tag);
    else followers.push({ ...tag, names });
  }
  const tags = new Map<Digest, TagFact[]>();
  for (const tag of [...ordinary, ...followers]) addTo(tags, tag.digest, tag);
  const following = new Map<Digest, FollowerTag[]>();
  for (const tag of followers) addTo(following, tag.names, tag);
  const children = new Map<Digest, Digest[]>();
  const parents = new Map<Digest, Digest[]>();
  const referrers = new Map<Digest, Digest[]>();
  for (const { digest, subject, children: named } of sorted) {
    if (subject !== undefined) addTo(referrers, subject, digest);
    for (const child of named) {
      addTo(parents, child, digest);
      if (manifests.has(child)) addTo(children, digest, child);
    }
  }
  const childrenOf = (digest: Digest) => children.get(digest) ?? none;
  const referrersOf = (digest: Digest) => referrers.get(digest) ?? none;
  return {
    repository: repository.name,
    manifests,
    followers,
    ordinary,
    tagsOf: (digest) => tags.get(digest) ?? none,
    parentsOf: (digest) => parents.get(digest) ?? none,
    childrenOf,
    subjectOf: anchors(sorted, manifests, { childrenOf, referrersOf }),
    referrersOf,
    followersOf: (digest) => following.get(digest) ?? none,
  };
}

const none: readonly never[] = [];

/**
 * The subject that each manifest goes with. Only an index can close a circle: content names what was there before it, so a circle goes up
 * from a subject to its referrers and comes down again from an index to its children. Referrers below that index keep their subjects.
 */
function anchors(
  sorted: readonly ManifestFact[],
  manifests: ReadonlyMap<Digest, ManifestFact>,
  { childrenOf, referrersOf }: Pick<Graph, "childrenOf" | "referrersOf">,
): Graph["subjectOf"] {
  const circles = components(manifests.keys(), (digest) => [...childrenOf(digest), ...referrersOf(digest)]);
  const circleOf = new Map(circles.flatMap((members, circle) => members.map((member) => [member, circle])));
  const subjects = new Map<Digest, Digest>();
  for (const { digest, subject } of sorted) {
    if (subject === undefined || !manifests.has(subject)) continue;
    const inCircle = (other: Digest) => circleOf.get(other) === circleOf.get(digest);
    if (!inCircle(subject) || !childrenOf(digest).some(inCircle)) subjects.set(digest, subject);
  }
  return (digest) => subjects.get(digest);
}

/** All that `next` leads to from these digests, themselves included. */
export function reach(from: Iterable<Digest>, next: (digest: Digest) => readonly Digest[]): Set<Digest> {
  const found = new Set(from);
  // A Set grows while it is iterated: this walks breadth first.
  for (const digest of found) for (const other of next(digest)) found.add(other);
  return found;
}

/**
 * For each manifest the greatest value among itself, the indexes around it and what they lead down to it from: nodes pull (and report) an index or
 * one of its children, mostly by digest, so what is known of one counts for both. -Infinity where none has a value. All together cost what the
 * graph has edges, however deep indexes are nested.
 */
export function familyMaximum(graph: Graph, valueOf: (digest: Digest) => number | undefined): (digest: Digest) => number {
  const above = maximum(graph.parentsOf, valueOf);
  const below = maximum(graph.childrenOf, valueOf);
  return (digest) => Math.max(above(digest), below(digest));
}

function maximum(next: (digest: Digest) => readonly Digest[], valueOf: (digest: Digest) => number | undefined): (digest: Digest) => number {
  const known = new Map<Digest, number>();
  // Depth first without recursion: what was entered waits on the path for all that it leads to.
  const entered = new Set<Digest>();
  return (first) => {
    const path = [first];
    for (let digest = path.at(-1); digest !== undefined; digest = path.at(-1)) {
      const before = path.length;
      if (!entered.has(digest)) {
        entered.add(digest);
        for (const other of next(digest)) if (!entered.has(other)) path.push(other);
        if (path.length > before) continue;
      }
      path.pop();
      if (known.has(digest)) continue;
      const beyond = next(digest).reduce((most, other) => Math.max(most, known.get(other) ?? -Infinity), -Infinity);
      known.set(digest, Math.max(beyond, valueOf(digest) ?? -Infinity));
    }
    return known.get(first) ?? -Infinity;
  };
}

const pulls = new WeakMap<Graph, (digest: Digest) => number>();

/** Last pull of the manifest, of an index around it or of a child; undefined: none was counted. */
export function lastPull(graph: Graph, digest: Digest): number | undefined {
  let latest = pulls.get(graph);
  if (latest === undefined) pulls.set(graph, (latest = familyMaximum(graph, (member) => graph.manifests.get(member)?.pulledAt)));
  const pulled = latest(digest);
  return pulled === -Infinity ? undefined : pulled;
}
