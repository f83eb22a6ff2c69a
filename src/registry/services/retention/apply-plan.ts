// A plan applied to one own repository: in batches, each one transaction in which every entry is judged again under lock.

import type { PlanEntry } from "../../../api/control/retention.ts";
import type { Digest } from "../../../domain/digest.ts";
import { departures, inOrder, nameOf, type Departure, type Removal } from "../../../domain/retention/departures.ts";
import type { PolicySource } from "../../../domain/retention/facts.ts";
import { createPlanner, removalsOf, type JudgedRepository } from "../../../domain/retention/plan.ts";
import type { Database, Queryable } from "../../metadata/database.ts";
import { lockForDeletion } from "../../metadata/manifest-deletion.ts";
import type { Repository } from "../../metadata/repositories.ts";
import { readBlobsOf, readClock, readFreedBytes, type SizedBlob } from "../../metadata/retention.ts";
import { readMoment, type Moment } from "../../metadata/retention-check.ts";
import { planByIndex } from "../../metadata/steady-plans.ts";
import { lockTags } from "../../metadata/tags.ts";
import type { AppliedSoFar } from "./applied-so-far.ts";
import { deleteManifests, deletionBatch } from "../deletion/delete-manifests.ts";
import { followAfterwards, type FollowingOptions } from "../deletion/departed.ts";
import { deleteTags } from "../deletion/delete-tags.ts";
import { readRepository, type PullsCounted } from "./retention-facts.ts";
import { stillJudged, wordOf, type Judgement } from "./still-judged.ts";
import type { ClusterReading } from "./workloads.ts";

export interface ApplyContext {
  readonly database: Database;
  readonly pullsCounted: PullsCounted;
  /** namespace/name */
  readonly policy: string;
  readonly identity: string;
  /** Every published policy, as of now. */
  readonly policies: () => Promise<readonly PolicySource[]>;
  /** What clusters use. */
  readonly clusters: ClusterReading;
  /** Why the applied policy may delete nothing any more (suspended, changed, gone); undefined: it may. */
  readonly refusal: () => string | undefined;
  /** Stops nothing of the plan; it counts for clients' deletes that are finished on the way. */
  readonly isProtected: FollowingOptions["isProtected"];
  readonly soFar: AppliedSoFar;
}

export interface Applied {
  readonly deleted: PlanEntry[];
  readonly kept: PlanEntry[];
  readonly proposals: string[];
  /** That came free. */
  readonly bytes: number;
}

/** A manifest, with its layers and what is queued for them, costs about as much as so many tags: no transaction takes long. */
const tagsPerManifest = 10;
const manifestsAtOnce = Math.floor((deletionBatch - 1) / tagsPerManifest);
/** After so many batches in a row that had to be judged again, the next one is judged under its locks: somebody pushes all the time. */
const judgedOutside = 2;

/**
 * `entries`: what the plan deletes in this repository. It is judged whole, then goes in batches, each in a transaction that looks whether the
 * judgement still holds under its locks; if not, the repository is judged again.
 */
export async function applyToOwn(context: ApplyContext, repository: Repository, entries: readonly PlanEntry[]): Promise<Applied> {
  const planned = new Map(entries.map((entry) => [keyOf(entry), entry]));
  /** What was judged under its locks once is not tried again. */
  const settled = new Set<string>();
  let bytes = 0;
  let followersWait = false;
  const taken = async (result: Taken) => {
    const gone = plannedOf(result.keys, planned);
    for (const key of result.keys) planned.delete(key);
    followersWait ||= result.followersWait;
    // A sum for a person: no lock is held while it is made.
    const freed = await readFreedBytes(context.database, result.blobs);
    bytes += freed;
    context.soFar.count(gone, freed);
  };
  for (let again = 0; ;) {
    let moment = await readMoment(context.database);
    // Before the judgement: what changes while it is made is seen by the first batch.
    const word = await wordNow(context);
    const judged = await judge(context, context.database, repository);
    const removals = stillPlanned(judged, planned).filter((removal) => !settled.has(nameOf(removal)));
    const batches = inBatches(departures(judged.graph, judged.condemned, removals));
    let held = true;
    for (const batch of batches) {
      const judgement: Judgement = { judged, word, moment };
      const apply = (transaction: Queryable) => applyJudged(context, transaction, { repository, judgement, planned, batch });
      const result = await context.database.transaction(apply, { takesAway: true });
      held = result !== undefined;
      if (result === undefined) break;
      await taken(result);
      moment = result.moment;
      again = 0;
    }
    if (held) break;
    if (again++ < judgedOutside) continue;
    const [first] = batches;
    if (first === undefined) break;
    const apply = (transaction: Queryable) => applyBatch(context, transaction, { repository, planned, batch: first });
    await taken(await context.database.transaction(apply, { takesAway: true }));
    for (const { removal } of first) settled.add(nameOf(removal));
  }
  if (followersWait) await followAfterwards(context.database, { of: { repositoryId: repository.id }, isProtected: context.isProtected });
  const deleted = entries.filter((entry) => !planned.has(keyOf(entry)));
  return { deleted, kept: await explainKept(context, repository, [...planned.values()]), proposals: [], bytes };
}

async function wordNow(context: ApplyContext): Promise<string> {
  return wordOf({ policies: await context.policies(), clusters: await context.clusters.word(), refusal: context.refusal() });
}

/** Undefined, and nothing is changed, when the judgement does not hold any more. */
async function applyJudged(
  context: ApplyContext,
  transaction: Queryable,
  { repository, judgement, planned, batch }: Batch & { readonly judgement: Judgement },
): Promise<(Taken & { readonly moment: Moment }) | undefined> {
  const removals = batch.map(({ removal }) => removal);
  const going = batch.flatMap(({ manifests }) => manifests);
  const digests = new Set([...removals.map(digestOf), ...going]);
  await planByIndex(transaction);
  await lockForDeletion(transaction, repository.id, [...digests]);
  await lockTags(transaction, repository.id, namesOf(batch));
  const moment = await stillJudged(transaction, repository.id, { judgement, word: await wordNow(context), digests });
  if (moment === undefined) return undefined;
  return { ...(await take(context, transaction, repository, { now: judgement.judged, removals, going, planned })), moment };
}

interface Taken {
  /** Tags, and untagged manifests. */
  readonly keys: readonly string[];
  /** That the deleted manifests named: some of them came free. */
  readonly blobs: readonly SizedBlob[];
  readonly followersWait: boolean;
}

interface Batch {
  readonly repository: Repository;
  readonly planned: ReadonlyMap<string, PlanEntry>;
  readonly batch: readonly Departure[];
}

/**
 * Judges the whole repository under the locks of the batch, which is the last resort: the one transaction of a prune that takes as long as it takes
 * to read the repository (about a second for each 100,000 tags). It holds the rows of this batch and no others, and comes once in three batches at
 * most, only while tags of the repository change all the time.
 */
async function applyBatch(context: ApplyContext, transaction: Queryable, { repository, planned, batch }: Batch): Promise<Taken> {
  const wanted = new Set(batch.map(({ removal }) => nameOf(removal)));
  const locked = new Set(batch.flatMap(({ removal, manifests }) => [digestOf(removal), ...manifests]));
  const names = namesOf(batch);
  for (;;) {
    await lockForDeletion(transaction, repository.id, [...locked]);
    await lockTags(transaction, repository.id, names);
    const now = await judge(context, transaction, repository);
    const removals = stillPlanned(now, planned).filter((removal) => wanted.has(nameOf(removal)));
    const steps = departures(now.graph, now.condemned, removals);
    const going = steps.flatMap(({ manifests }) => manifests);
    const unlocked = going.filter((digest) => !locked.has(digest));
    if (unlocked.length === 0) {
      // Not sooner: the judgement reads the repository whole.
      await planByIndex(transaction);
      return take(context, transaction, repository, { now, removals, going, planned });
    }
    // What goes along was pushed meanwhile: it is judged again once nobody can give it a tag.
    for (const digest of unlocked) locked.add(digest);
  }
}

interface Going {
  readonly now: JudgedRepository;
  readonly removals: readonly Removal[];
  readonly going: readonly Digest[];
  readonly planned: ReadonlyMap<string, PlanEntry>;
}

async function take(
  context: ApplyContext,
  transaction: Queryable,
  repository: Repository,
  { now, removals, going, planned }: Going,
): Promise<Taken> {
  const why = { repositoryId: repository.id, by: context.identity, reason: `policy ${context.policy}` };
  const keys: string[] = [];
  const blobs = await readBlobsOf(transaction, repository.id, going);
  let followersWait = false;
  // Subjects before their referrers, so that each finds what belongs to it still there.
  for (const digests of slices(going)) {
    const { deleted, ...result } = await deleteManifests(transaction, { ...why, digests, onHeld: "Keep" });
    followersWait ||= result.followersWait;
    keys.push(...deleted.flatMap(({ digest, tags }) => [...tags, ...(now.graph.tagsOf(digest).length === 0 ? [digest] : [])]));
  }
  const gone = new Set(going);
  const loose = removals.flatMap((removal) => ("tag" in removal && !gone.has(removal.tag.digest) ? [removal.tag] : []));
  for (const tags of slices(loose)) {
    const { deleted } = await deleteTags(transaction, { ...why, tags });
    keys.push(...deleted.map(({ name }) => name));
  }
  await context.soFar.note(transaction, plannedOf(keys, planned));
  return { keys, blobs, followersWait };
}

/** The repository as the policies of now see it. */
export async function judge(context: ApplyContext, database: Queryable, repository: Repository): Promise<JudgedRepository> {
  const clock = await readClock(database);
  const published = await context.policies();
  const known = published.some(({ key }) => key === context.policy);
  const policies = known ? published : [...published, { key: context.policy, spec: undefined, refused: "it is not published any more" }];
  const planner = createPlanner({ policy: context.policy, policies, clusters: await context.clusters.facts(), now: clock.now });
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
  for (const step of steps.flatMap(inParts)) {
    const size = 1 + tagsPerManifest * step.manifests.length;
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

/** A subject with very many referrers goes with the first of them; the order of a step puts it before them. */
function inParts({ removal, manifests }: Departure): readonly Departure[] {
  if (manifests.length <= manifestsAtOnce) return [{ removal, manifests }];
  return Array.from({ length: Math.ceil(manifests.length / manifestsAtOnce) }, (_, index) => ({
    removal,
    manifests: manifests.slice(index * manifestsAtOnce, (index + 1) * manifestsAtOnce),
  }));
}

function namesOf(batch: readonly Departure[]): readonly string[] {
  return batch.flatMap(({ removal }) => ("tag" in removal ? [removal.tag.name] : []));
}

function slices<T>(items: readonly T[]): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / deletionBatch) }, (_, index) =>
    items.slice(index * deletionBatch, (index + 1) * deletionBatch),
  );
}

function digestOf(removal: Removal): Digest {
  return "tag" in removal ? removal.tag.digest : removal.untagged;
}

/** What goes along with it was not planned by itself. */
function plannedOf(keys: readonly string[], planned: ReadonlyMap<string, PlanEntry>): readonly PlanEntry[] {
  return keys.flatMap((key) => planned.get(key) ?? []);
}

function keyOf(entry: PlanEntry): string {
  return entry.tag ?? entry.digest;
}
