import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface ReferrerRow {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType: string | null;
  readonly annotations: Readonly<Record<string, string>> | null;
}

export interface ReferrerBatch {
  readonly artifactType?: string;
  /** Exclusive. */
  readonly after?: Digest;
  readonly limit: number;
  /** Bytes of annotations beyond which a row comes without them. */
  readonly maxAnnotations: number;
}

// The repository as one value and not as a join: only then the index gives the order, and a batch costs the same wherever it begins.
const list = statement(
  "referrer-list",
  `SELECT m.media_type AS "mediaType", m.digest, octet_length(m.bytes) AS size, m.artifact_type AS "artifactType",
     CASE WHEN octet_length(m.annotations::text) <= $5 THEN m.annotations END AS annotations
   FROM manifests m
   WHERE m.repository = (SELECT id FROM repositories WHERE name = $1) AND m.subject = $2
     AND m.digest > $4 AND ($3::text IS NULL OR m.artifact_type = $3)
   ORDER BY m.digest
   LIMIT $6`,
);

/** Manifests of `repository` whose subject is `digest`, in digest order; of one artifact type when that is given. */
export async function listReferrers(
  database: Queryable,
  repository: string,
  digest: Digest,
  { artifactType, after, limit, maxAnnotations }: ReferrerBatch,
): Promise<ReferrerRow[]> {
  return database.query<ReferrerRow>(list, [repository, digest, artifactType ?? null, after ?? "", maxAnnotations, limit]);
}
