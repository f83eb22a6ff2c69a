// What the registry itself saw: the facts that a proposal has to agree with (design: tag-sync, point 7).

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

const firstSeen = statement(
  "proposal-first-seen",
  `SELECT min(at) AS at FROM (
     SELECT updated_at AS at FROM tags WHERE repository = $1 AND name = $2 AND digest = $3
     UNION ALL
     SELECT at FROM tag_events WHERE repository = $1 AND name = $2 AND digest = $3
   ) seen`,
);

/** When this registry first saw the tag point at the digest, RFC 3339; undefined: never. */
export async function firstSeenAt(
  transaction: Queryable,
  repository: number,
  { tag, digest }: { readonly tag: string; readonly digest: Digest },
): Promise<string | undefined> {
  const [row] = await transaction.query<{ at: Date | null }>(firstSeen, [repository, tag, digest]);
  return row?.at?.toISOString();
}

const children = statement(
  "proposal-children",
  "SELECT child FROM manifest_children WHERE repository = $1 AND manifest = $2 ORDER BY child",
);

/** What an index names, present or not; empty for an image. */
export async function childrenOfManifest(transaction: Queryable, repository: number, digest: Digest): Promise<Digest[]> {
  return (await transaction.query<{ child: Digest }>(children, [repository, digest])).map(({ child }) => child);
}

const attached = statement(
  "proposal-attached",
  `SELECT DISTINCT digest FROM (
     SELECT digest FROM tags WHERE repository = $1 AND name = ANY($2) AND digest = ANY($3)
     UNION ALL
     SELECT digest FROM tag_events WHERE repository = $1 AND name = ANY($2) AND digest = ANY($3)
   ) seen`,
);

/** Those of `manifests` that this registry saw at one of the tags. */
export async function manifestsSeenAt(
  transaction: Queryable,
  repository: number,
  { tags, manifests }: { readonly tags: readonly string[]; readonly manifests: readonly Digest[] },
): Promise<Set<Digest>> {
  const rows = await transaction.query<{ digest: Digest }>(attached, [repository, tags, manifests]);
  return new Set(rows.map(({ digest }) => digest));
}

const referring = statement(
  "proposal-referring",
  "SELECT digest FROM manifests WHERE repository = $1 AND subject = ANY($2) AND digest = ANY($3)",
);

/** Those of `manifests` that are stored here and say themselves that they are about one of the subjects. */
export async function manifestsReferringTo(
  transaction: Queryable,
  repository: number,
  { subjects, manifests }: { readonly subjects: readonly Digest[]; readonly manifests: readonly Digest[] },
): Promise<Set<Digest>> {
  const rows = await transaction.query<{ digest: Digest }>(referring, [repository, subjects, manifests]);
  return new Set(rows.map(({ digest }) => digest));
}

const named = statement(
  "proposal-document",
  `SELECT named.digest FROM manifest_blobs named JOIN repository_blobs link ON link.repository = named.repository AND link.digest = named.digest
   WHERE named.repository = $1 AND named.manifest = ANY($2) AND named.digest = $3 LIMIT 1`,
);

/** True when the document is stored here and one of the manifests names it. */
export async function hasDocument(
  transaction: Queryable,
  repository: number,
  { document, manifests }: { readonly document: Digest; readonly manifests: readonly Digest[] },
): Promise<boolean> {
  return (await transaction.query(named, [repository, manifests, document])).length > 0;
}
