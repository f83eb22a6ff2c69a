// A judgement of a whole repository is good for a batch as long as nothing has changed that could keep one of the batch. Then the batch costs what it
// takes away, not what the repository has. Time only ever takes reasons to keep away, and so do pushes and pulls of other images.

import type { Digest } from "../../../domain/digest.ts";
import { reach } from "../../../domain/retention/graph.ts";
import type { PolicySource } from "../../../domain/retention/facts.ts";
import type { JudgedRepository } from "../../../domain/retention/plan.ts";
import type { Queryable } from "../../metadata/database.ts";
import { readManifestsToCheck, tagsChangedSince, type CheckedManifest, type Moment } from "../../metadata/retention-check.ts";

export interface Judgement {
  readonly judged: JudgedRepository;
  /** Of what it was judged by besides the repository: `wordOf`. */
  readonly word: string;
  /** Before the repository was read, or when it was last found unchanged. */
  readonly moment: Moment;
}

/** What verdicts depend on besides the repository and the time. `clusters`: a word of theirs. */
export function wordOf(by: {
  readonly policies: readonly PolicySource[];
  readonly clusters: string;
  readonly refusal: string | undefined;
}): string {
  const { policies, clusters, refusal } = by;
  return JSON.stringify([refusal ?? null, clusters, policies.map(({ key, spec, refused }) => [key, spec ?? null, refused ?? null])]);
}

/**
 * Whether the judgement still holds for `digests`, which are locked: then the moment at which it did. Undefined: a tag of the repository came, moved
 * or went, a policy changed, a cluster reported or fell silent, or one of these manifests (or what is around it) was pushed, leased, pulled, or named by something new.
 */
export async function stillJudged(
  transaction: Queryable,
  repositoryId: number,
  { judgement, word, digests }: { readonly judgement: Judgement; readonly word: string; readonly digests: Iterable<Digest> },
): Promise<Moment | undefined> {
  const { judged, moment } = judgement;
  if (word !== judgement.word) return undefined;
  const { changed, ...now } = await tagsChangedSince(transaction, repositoryId, moment);
  if (changed) return undefined;
  const rows = await readManifestsToCheck(transaction, repositoryId, [...around(judged, digests)]);
  return rows.every((row) => isAsJudged(judged, row)) ? now : undefined;
}

/** With indexes and children, whose pulls count for each other, and with subjects, which may have come back. */
function around({ graph }: JudgedRepository, digests: Iterable<Digest>): Set<Digest> {
  const ours = [...digests];
  const found = reach(ours, graph.parentsOf).union(reach(ours, graph.childrenOf));
  for (const digest of ours) {
    const subject = graph.manifests.get(digest)?.subject;
    if (subject !== undefined) found.add(subject);
    for (const tag of graph.tagsOf(digest)) if ("names" in tag) found.add(tag.names as Digest);
  }
  return found;
}

function isAsJudged({ graph }: JudgedRepository, row: CheckedManifest): boolean {
  const known = graph.manifests.get(row.digest);
  if (known === undefined) return false;
  const within = (now: readonly Digest[], then: readonly Digest[]) => {
    const seen = new Set(then);
    return now.every((digest) => seen.has(digest));
  };
  return (
    known.pushedAt === row.pushedAt &&
    known.keepUntil === row.keepUntil &&
    (known.pulledAt ?? null) === row.pulledAt &&
    within(row.parents, graph.parentsOf(row.digest)) &&
    row.referrers.every((digest) => graph.manifests.get(digest)?.subject === row.digest)
  );
}
