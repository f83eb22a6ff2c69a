// Blobs of proxied repositories: where bytes came from, and U2 of storage.md for a fill, which has no upload session.

import { failpoint } from "#failpoints";

import type { Digest } from "../../domain/digest.ts";
import { insertBlob, insertBlobOrigin, linkBlob, type StoredBlob } from "./blobs.ts";
import { statement, type Database, type Queryable } from "./database.ts";
import { doomSurplusObject, makeObjectLive } from "./objects.ts";
import { ensureProxiedRepository } from "./proxy-repositories.ts";

const ofOrigin = statement(
  "proxy-blob-of-origin",
  `SELECT b.size, b.object_key AS key
   FROM blob_origins o
   JOIN blobs b ON b.digest = o.digest
   WHERE o.upstream = $1 AND o.digest = $2`,
);
const expected = statement(
  "proxy-blob-expected-size",
  `SELECT min(n.size) AS size
   FROM manifest_blobs n
   JOIN repositories r ON r.id = n.repository
   WHERE r.name = $1 AND n.digest = $2
   HAVING min(n.size) = max(n.size)`,
);

/** A proxied repository by its name here and the `namespace/name` of its Upstream. */
export interface ProxiedRepository {
  readonly name: string;
  readonly upstream: string;
}

export interface FilledBlob {
  readonly key: string;
  readonly digest: Digest;
  readonly size: number;
  /** The Upstream and the address it had when the bytes came. */
  readonly origin: string;
  readonly repositories: readonly ProxiedRepository[];
}

/** The blob when its bytes were fetched from this origin before, for whatever repository. That alone gives no right to read it. */
export async function findBlobOfOrigin(database: Queryable, origin: string, digest: Digest): Promise<StoredBlob | undefined> {
  const [row] = await database.query<StoredBlob>(ofOrigin, [origin, digest]);
  return row;
}

/** Size in bytes that the manifests of this repository state; undefined when none does or they disagree. */
export async function expectedBlobSize(database: Queryable, repository: string, digest: Digest): Promise<number | undefined> {
  const [row] = await database.query<{ size: number }>(expected, [repository, digest]);
  return row?.size;
}

/** U2: the bytes under `key` are whole and durable. The repositories get the right to read them. Rejects when G3 took the object meanwhile. */
export async function commitFill(database: Database, blob: FilledBlob): Promise<void> {
  await failpoint("U2.stored");
  await database.transaction(async (transaction) => {
    const ids = await ensureAll(transaction, blob.repositories);
    if (!(await makeObjectLive(transaction, blob.key, blob.size)))
      throw new Error(`the bytes of ${blob.digest} were collected while they arrived`);
    await failpoint("U2.live");
    const key = await insertBlob(transaction, { ...blob, cached: true });
    if (key !== blob.key) await doomSurplusObject(transaction, blob.key);
    await failpoint("U2.blob");
    for (const id of ids) await linkBlob(transaction, id, blob.digest);
    await failpoint("U2.linked");
    await insertBlobOrigin(transaction, blob.digest, blob.origin);
  });
  await failpoint("U2.committed");
}

/** Gives repositories the right to a blob that is here already. Rejects with 23503 when it was collected meanwhile. */
export async function linkProxiedBlob(database: Database, repositories: readonly ProxiedRepository[], digest: Digest): Promise<void> {
  await database.transaction(async (transaction) => {
    for (const id of await ensureAll(transaction, repositories)) await linkBlob(transaction, id, digest);
  });
}

/** Ids in ascending order, which is the order of locks. */
async function ensureAll(transaction: Queryable, repositories: readonly ProxiedRepository[]): Promise<number[]> {
  const ids: number[] = [];
  for (const { name, upstream } of repositories.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    ids.push(await ensureProxiedRepository(transaction, name, upstream));
  }
  return ids.sort((a, b) => a - b);
}
