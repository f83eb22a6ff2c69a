// A plan applied to one own repository: in batches, each one transaction in which every entry is judged again under lock.

import type { PlanEntry } from "../../api/control.ts";
import type { Digest } from "../../domain/digest.ts";
import { departures, inOrder, nameOf, type Departure, type Removal } from "../../domain/retention/departures.ts";
import type { PolicySource } from "../../domain/retention/facts.ts";
import { createPlanner, removalsOf, type JudgedRepository } from "../../domain/retention/plan.ts";
import type { Database, Queryable } from "../metadata/database.ts";
import { lockForDeletion } from "../metadata/manifest-deletion.ts";
import type { Repository } from "../metadata/repositories.ts";
import { readBlobsOf, readClock, readFreedBytes } from "../metadata/retention.ts";
import { lockTags } from "../metadata/tags.ts";
import { deleteManifests, deletionBatch } from "./delete-manifests.ts";
import { deleteTags } from "./delete-tags.ts";
import { readRepository, type PullsCounted } from "./retention-facts.ts";

export interface ApplyContext {
  readonly database: Database;
  readonly pullsCounted: PullsCounted;
  /** namespace/name */
  readonly policy: string;
  readonly identity: string;
  /** Every published policy, as of now. */
  readonly policies: () => Promise<readonly PolicySource[]>;
  /** Why the applied policy may delete nothing any more (suspended, changed, gone); undefined: it may. */
  readonly refusal: () => string | undefined;
}

export interface Applied {
  readonly deleted: PlanEntry[];
  readonly kept: PlanEntry[];
  readonly proposals: string[];
  /** That came free. */
  readonly bytes: number;
}

/** `entries`: what the plan deletes in this repository. */
export async function applyToOwn(context: ApplyContext, repository: Repository, entries: readonly PlanEntry[]): Promise<Applied> {
  const before = await judge(context, context.database, repository);
  const planned = new Map(entries.map((entry) => [keyOf(entry), entry]));
  const steps = departures(before.graph, before.condemned, stillPlanned(before, planned));
  let bytes = 0;
  for (const batch of inBatches(steps)) {
    const apply = (transaction: Queryable) => applyBatch(context, transaction, { repository, planned, batch });
    const taken = await context.database.transaction(apply, { takesAway: true });
    for (const key of taken.keys) planned.delete(key);
    bytes += taken.bytes;
  }
  const deleted = entries.filter((entry) => !planned.has(keyOf(entry)));
  return { deleted, kept: await explainKept(context, repository, [...planned.values()]), proposals: [], bytes };
}

interface Batch {
  readonly repository: Repository;
  readonly planned: ReadonlyMap<string, PlanEntry>;
  readonly batch: readonly Departure[];
}

/** Keys of what went (tags, untagged manifests) and the bytes that came free. */
async function applyBatch(
  context: ApplyContext,
  transaction: Queryable,
  { repository, planned, batch }: Batch,
): Promise<{ keys: readonly string[]; bytes: number }> {
  const wanted = new Set(batch.map(({ removal }) => nameOf(removal)));
  const locked = new Set(batch.flatMap(({ removal, manifests }) => [digestOf(removal), ...manifests]));
  const names = batch.flatMap(({ removal }) => ("tag" in removal ? [removal.tag.name] : []));
  for (;;) {
    await lockForDeletion(transaction, repository.id, [...locked]);
    await lockTags(transaction, repository.id, names);
    const now = await judge(context, transaction, repository);
    const removals = stillPlanned(now, planned).filter((removal) => wanted.has(nameOf(removal)));
    const steps = departures(now.graph, now.condemned, removals);
    const going = steps.flatMap(({ manifests }) => manifests);
    const unlocked = going.filter((digest) => !locked.has(digest));
    if (unlocked.length === 0) return take(context, transaction, repository, { now, removals, going });
    // What goes along was pushed meanwhile: it is judged again once nobody can give it a tag.
    for (const digest of unlocked) locked.add(digest);
  }
}

interface Going {
  readonly now: JudgedRepository;
  readonly removals: readonly Removal[];
  readonly going: readonly Digest[];
}

async function take(
  context: ApplyContext,
  transaction: Queryable,
  repository: Repository,
  { now, removals, going }: Going,
): Promise<{ keys: readonly string[]; bytes: number }> {
  const why = { repositoryId: repository.id, by: context.identity, reason: `policy ${context.policy}` };
  const keys: string[] = [];
  const blobs = await readBlobsOf(transaction, repository.id, going);
  // Subjects before their referrers, so that each finds what belongs to it still there.
  for (const digests of slices(going)) {
    const { deleted } = await deleteManifests(transaction, { ...why, digests, onHeld: "Keep" });
    keys.push(...deleted.flatMap(({ digest, tags }) => [...tags, ...(now.graph.tagsOf(digest).length === 0 ? [digest] : [])]));
  }
  const gone = new Set(going);
  const loose = removals.flatMap((removal) => ("tag" in removal && !gone.has(removal.tag.digest) ? [removal.tag] : []));
  for (const tags of slices(loose)) {
    const { deleted } = await deleteTags(transaction, { ...why, tags });
    keys.push(...deleted.map(({ name }) => name));
  }
  return { keys, bytes: await readFreedBytes(transaction, blobs) };
}

/** The repository as the policies of now see it. */
export async function judge(context: ApplyContext, database: Queryable, repository: Repository): Promise<JudgedRepository> {
  const clock = await readClock(database);
  const published = await context.policies();
  const known = published.some(({ key }) => key === context.policy);
  const policies = known ? published : [...published, { key: context.policy, spec: undefined, refused: "it is not published any more" }];
  const planner = createPlanner({ policy: context.policy, policies, clusters: [], now: clock.now });
  const judged = planner.judge(await readRepository(database, repository, { counted: context.pullsCounted, clock }));
  // Asked again for every batch: a policy that was suspended, or no longer selects the repository, deletes nothing more in it.
  const deletes = context.refusal() === undefined && planner.selects(repository.name);
  return deletes ? judged : { ...judged, condemned: new Set(), tags: new Map() };
}

/** What the verdicts of now delete and the plan said: the same tag at the same digest. */
function stillPlanned(judged: JudgedRepository, planned: ReadonlyMap<string, PlanEntry>): readonly Removal[] {
  return inOrder(removalsOf(judged).filter((removal) => planned.get(nameOf(removal))?.digest === digestOf(removal)));
}

async function explainKept(context: ApplyContext, repository: Repository, entries: readonly PlanEntry[]): Promise<PlanEntry[]> {
  if (entries.length === 0) return [];
  const now = await judge(context, context.database, repository);
  const refusal = context.refusal();
  return entries.map((entry) => ({
    ...entry,
    verdict: "keep",
    ...(refusal === undefined ? explain(now, entry) : { rule: "changed", reason: refusal }),
  }));
}

function explain({ repository, tags, manifests }: JudgedRepository, entry: PlanEntry): { rule: string; reason: string } {
  const changed = (reason: string) => ({ rule: "changed", reason });
  const tag = repository.tags.find(({ name }) => name === entry.tag);
  if (entry.tag !== undefined && tag === undefined) return changed("the tag is gone already");
  if (tag !== undefined && tag.digest !== entry.digest) return changed(`the tag points at ${tag.digest} now`);
  const verdict = tag === undefined ? manifests.get(entry.digest as Digest) : tags.get(tag.name);
  if (verdict === undefined) return changed(tag === undefined ? "the manifest is gone already" : "the policy does not select it any more");
  if (verdict.keep) return { rule: verdict.rule, reason: verdict.reason };
  return changed("something that stays holds it");
}

function inBatches(steps: readonly Departure[]): readonly (readonly Departure[])[] {
  const batches: Departure[][] = [];
  let room = 0;
  for (const step of steps) {
    const size = 1 + step.manifests.length;
    const current = batches.at(-1);
    if (current === undefined || size > room) {
      batches.push([step]);
      room = deletionBatch - size;
    } else {
      current.push(step);
      room -= size;
    }
  }
  return batches;
}

function slices<T>(items: readonly T[]): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / deletionBatch) }, (_, index) =>
    items.slice(index * deletionBatch, (index + 1) * deletionBatch),
  );
}

function digestOf(removal: Removal): Digest {
  return "tag" in removal ? removal.tag.digest : removal.untagged;
}

function keyOf(entry: PlanEntry): string {
  return entry.tag ?? entry.digest;
}
