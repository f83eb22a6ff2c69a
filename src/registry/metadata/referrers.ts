import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface ReferrerRow {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType: string | null;
  readonly annotations: Readonly<Record<string, string>> | null;
}

const list = statement(
  "referrer-list",
  `SELECT m.media_type AS "mediaType", m.digest, octet_length(m.bytes) AS size, m.artifact_type AS "artifactType", m.annotations
   FROM repositories r
   JOIN manifests m ON m.repository = r.id AND m.subject = $2
   WHERE r.name = $1 AND ($3::text IS NULL OR m.artifact_type = $3)
   ORDER BY m.digest`,
);

/** Manifests of `repository` whose subject is `digest`, in digest order; of one artifact type when that is given. */
export async function listReferrers(
  database: Queryable,
  repository: string,
  digest: Digest,
  artifactType?: string,
): Promise<ReferrerRow[]> {
  return database.query<ReferrerRow>(list, [repository, digest, artifactType ?? null]);
}
