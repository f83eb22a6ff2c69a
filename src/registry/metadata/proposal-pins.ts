// `copy: Image`: what a proposed version needs must not go away (design: storage.md, Schema: `held`; tag-sync, point 7).
// The closure of the image and its evidence gets its foreign keys set, and the proposal pins the manifests until it is settled.

import type { Digest } from "../../domain/digest.ts";
import { statement, type Queryable } from "./database.ts";

export interface Closure {
  readonly manifests: readonly Digest[];
  /** Descriptors that nothing here has: manifests and blobs. Empty: the copy is whole. */
  readonly missing: readonly MissingContent[];
}

export interface MissingContent {
  readonly digest: Digest;
  /** A manifest that names it: non-distributable layers are allowed to be absent, and only the manifest tells them. Null for a manifest. */
  readonly namedBy: { readonly mediaType: string; readonly bytes: Uint8Array } | null;
}

const closure = statement(
  "pin-closure",
  `WITH RECURSIVE wanted (digest, level) AS (
     SELECT unnest($2::text[]) COLLATE "C", 0
     UNION
     SELECT child, level + 1 FROM wanted JOIN manifest_children ON repository = $1 AND manifest = digest WHERE level < 4
   )
   SELECT DISTINCT digest FROM wanted ORDER BY digest`,
);
// Locks are taken in the order of all writers: manifests, then links, each by digest. A lock that is had keeps the row until the pins hold it.
const lockManifests = statement(
  "pin-lock-manifests",
  "SELECT digest FROM manifests WHERE repository = $1 AND digest = ANY($2) ORDER BY digest FOR KEY SHARE",
);
const lockLinks = statement(
  "pin-lock-links",
  `SELECT digest FROM repository_blobs
   WHERE repository = $1 AND digest = ANY(ARRAY(SELECT digest FROM manifest_blobs WHERE repository = $1 AND manifest = ANY($2)))
   ORDER BY digest FOR KEY SHARE`,
);
const absentBlobs = statement(
  "pin-absent-blobs",
  `SELECT DISTINCT ON (named.digest) named.digest, manifests.media_type AS "mediaType", manifests.bytes
   FROM manifest_blobs named JOIN manifests ON manifests.repository = $1 AND manifests.digest = named.manifest
   WHERE named.repository = $1 AND named.manifest = ANY($2)
     AND NOT EXISTS (SELECT FROM repository_blobs link WHERE link.repository = $1 AND link.digest = named.digest)
   ORDER BY named.digest`,
);
const holdBlobs = statement(
  "pin-hold-blobs",
  `UPDATE manifest_blobs SET held = digest
   WHERE repository = $1 AND manifest = ANY($2) AND held IS NULL AND NOT digest = ANY($3)`,
);
const holdChildren = statement(
  "pin-hold-children",
  "UPDATE manifest_children SET held = child WHERE repository = $1 AND manifest = ANY($2) AND held IS NULL",
);
const pin = statement(
  "pin-insert",
  "INSERT INTO proposal_pins (proposal, repository, held) SELECT $1, $2, unnest($3::text[]) ON CONFLICT DO NOTHING",
);

/** Locks what is there of the closure of `roots` (index, children, evidence) against collection until the transaction ends. */
export async function lockClosure(transaction: Queryable, repository: number, roots: readonly Digest[]): Promise<Closure> {
  const wanted = (await transaction.query<{ digest: Digest }>(closure, [repository, roots])).map(({ digest }) => digest);
  const locked = await transaction.query<{ digest: Digest }>(lockManifests, [repository, wanted]);
  const manifests = locked.map(({ digest }) => digest);
  await transaction.query(lockLinks, [repository, manifests]);
  const blobs = await transaction.query<{ digest: Digest; mediaType: string; bytes: Uint8Array }>(absentBlobs, [repository, manifests]);
  const there = new Set(manifests);
  const children = wanted.filter((digest) => !there.has(digest)).map((digest) => ({ digest, namedBy: null }));
  return { manifests, missing: [...children, ...blobs.map(({ digest, ...namedBy }) => ({ digest, namedBy }))] };
}

/** Sets `held` throughout the locked closure, `absent` blobs aside. */
export async function holdReferences(
  transaction: Queryable,
  options: { readonly repository: number; readonly manifests: readonly Digest[]; readonly absent: readonly Digest[] },
): Promise<void> {
  const { repository, manifests, absent } = options;
  await transaction.execute(holdBlobs, [repository, manifests, absent]);
  await transaction.execute(holdChildren, [repository, manifests]);
}

/** The same, and pins its manifests to the proposal. */
export async function holdClosure(
  transaction: Queryable,
  options: {
    readonly proposal: string;
    readonly repository: number;
    readonly manifests: readonly Digest[];
    readonly absent: readonly Digest[];
  },
): Promise<void> {
  await holdReferences(transaction, options);
  await transaction.execute(pin, [options.proposal, options.repository, options.manifests]);
}
