// What a plan would free: blobs that nothing holds but what the plan takes away. In proportion to what goes, in many short transactions: it is a
// sum for a person, and what goes is judged again anyway.

import type { Digest } from "../../domain/digest.ts";
import { statement, type Database, type Queryable } from "./database.ts";
import { planByIndex } from "./steady-plans.ts";

export interface GoingManifest {
  readonly repositoryId: number;
  readonly digest: Digest;
}

export interface FreeableBlobsOf {
  /** Those of a manifest that goes; a blob that several of them hold is in each. */
  of(manifest: GoingManifest): readonly { readonly digest: Digest; readonly size: number }[];
}

const manifestsAtOnce = 1_000;
const blobsAtOnce = 5_000;

// A link alone is a right that runs out; a blob is held where a manifest names it in a repository that has it, which is what `held` says already.
const named = statement(
  "freeable-named",
  `SELECT (going.place - 1)::int AS place, string_agg(n.digest, ' ') AS digests
   FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS going (repository, manifest, place)
   JOIN manifest_blobs n ON n.repository = going.repository AND n.manifest = going.manifest
   WHERE n.held IS NOT NULL OR EXISTS (SELECT FROM repository_blobs l WHERE l.repository = n.repository AND l.digest = n.digest)
   GROUP BY going.place`,
);
// Asked once for each blob, and no further than it takes to know: a layer may be in every image that there is.
const free = statement(
  "freeable-free",
  `SELECT (named.place - 1)::int AS place, b.size
   FROM unnest($1::text[], $2::int[]) WITH ORDINALITY AS named (digest, going, place)
   JOIN blobs b ON b.digest = named.digest
   WHERE named.going = (
     SELECT count(*) FROM (
       SELECT FROM repository_blobs l
       JOIN manifest_blobs n ON n.repository = l.repository AND n.digest = l.digest
       WHERE l.digest = named.digest
       LIMIT named.going + 1
     ) AS holders)`,
);

/** `going`: each once. */
export async function readFreeableBlobs(
  database: Pick<Database, "transaction">,
  going: readonly GoingManifest[],
): Promise<FreeableBlobsOf> {
  const blobs = await readNamed(database, going);
  const sizes = await readFree(database, countHolders(blobs));
  return {
    of: (manifest) =>
      (blobs.get(keyOf(manifest)) ?? []).flatMap((digest) => {
        const size = sizes.get(digest);
        return size === undefined ? [] : [{ digest, size }];
      }),
  };
}

async function readNamed(
  database: Pick<Database, "transaction">,
  going: readonly GoingManifest[],
): Promise<ReadonlyMap<string, readonly Digest[]>> {
  const found = new Map<string, readonly Digest[]>();
  for (const batch of slices(going, manifestsAtOnce)) {
    const values = [batch.map(({ repositoryId }) => repositoryId), batch.map(({ digest }) => digest)];
    const rows = await byIndex(database, (transaction) =>
      transaction.query<{ readonly place: number; readonly digests: string }>(named, values),
    );
    for (const { place, digests } of rows) found.set(keyOf(batch[place]!), digests.split(" ") as Digest[]);
  }
  return found;
}

function countHolders(blobs: ReadonlyMap<string, readonly Digest[]>): ReadonlyMap<Digest, number> {
  const counts = new Map<Digest, number>();
  for (const digests of blobs.values()) for (const digest of digests) counts.set(digest, (counts.get(digest) ?? 0) + 1);
  return counts;
}

async function readFree(
  database: Pick<Database, "transaction">,
  holders: ReadonlyMap<Digest, number>,
): Promise<ReadonlyMap<Digest, number>> {
  const sizes = new Map<Digest, number>();
  // Neighbours in the indexes are asked for together: of a million blobs each would be on a page of its own.
  const near = Map.groupBy(holders, ([digest]) => digest.slice(0, "sha256:00".length));
  const ordered = [...near.keys()].sort().flatMap((start) => near.get(start) ?? []);
  for (const batch of slices(ordered, blobsAtOnce)) {
    const values = [batch.map(([digest]) => digest), batch.map(([, count]) => count)];
    const rows = await byIndex(database, (transaction) =>
      transaction.query<{ readonly place: number; readonly size: number }>(free, values),
    );
    for (const { place, size } of rows) sizes.set(batch[place]![0], size);
  }
  return sizes;
}

function byIndex<T>(database: Pick<Database, "transaction">, read: (transaction: Queryable) => Promise<T>): Promise<T> {
  return database.transaction(
    async (transaction) => {
      await planByIndex(transaction);
      return read(transaction);
    },
    { repeatable: true },
  );
}

function keyOf({ repositoryId, digest }: GoingManifest): string {
  return `${repositoryId} ${digest}`;
}

function* slices<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += size) yield items.slice(from, from + size);
}
