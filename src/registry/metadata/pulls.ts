import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface PullCount {
  readonly repositoryId: number;
  readonly digest: Digest;
  /** Empty: pulled by digest. */
  readonly tag: string;
  /** Seconds since the last of them. */
  readonly age: number;
  readonly count: number;
}

const add = statement(
  "pull-add",
  `INSERT INTO pulls (repository, digest, tag, last_at, count)
   SELECT repository, digest, tag, now() - make_interval(secs => age), count
   FROM unnest($1::bigint[], $2::text[], $3::text[], $4::float8[], $5::bigint[]) AS pulled (repository, digest, tag, age, count)
   WHERE EXISTS (SELECT FROM manifests m WHERE m.repository = pulled.repository AND m.digest = pulled.digest)
   ORDER BY repository, digest COLLATE "C", tag COLLATE "C"
   ON CONFLICT (repository, digest, tag) DO UPDATE
   SET last_at = greatest(pulls.last_at, excluded.last_at), count = pulls.count + excluded.count`,
);

/** Adds to the counts of manifests that are still here. `pulls` are sorted by key, so that two processes never wait for each other in a circle. */
export async function addPulls(database: Queryable, pulls: readonly PullCount[]): Promise<void> {
  await database.execute(add, [
    pulls.map(({ repositoryId }) => repositoryId),
    pulls.map(({ digest }) => digest),
    pulls.map(({ tag }) => tag),
    pulls.map(({ age }) => age),
    pulls.map(({ count }) => count),
  ]);
}
