// The facts of a plan, read in sets: own repositories whole, of proxied ones the published version tags.

import type { Digest } from "../../../domain/digest.ts";
import { digestOfReferrerTag } from "../../../domain/reference.ts";
import type { ManifestFact, RepositoryFacts } from "../../../domain/retention/facts.ts";
import type { Queryable } from "../../metadata/database.ts";
import type { Repository } from "../../metadata/repositories.ts";
import {
  readChildren,
  readDeparted,
  readOwnManifests,
  readOwnTags,
  readPulls,
  readVersionManifests,
  readVersions,
  type Clock,
  type ManifestRow,
} from "../../metadata/retention.ts";

/** Whose pulls this installation writes into the database. Where nobody does, rules about pulls keep everything. */
export interface PullsCounted {
  readonly own: boolean;
  readonly proxied: boolean;
}

export async function readRepository(
  database: Queryable,
  { id, name, upstream }: Repository,
  { counted, clock }: { readonly counted: PullsCounted; readonly clock: Clock },
): Promise<RepositoryFacts> {
  const kind = upstream === null ? "own" : "proxied";
  const own = kind === "own";
  const tags = own ? await readOwnTags(database, id) : await readVersions(database, id);
  const rows = own ? await readOwnManifests(database, id) : await readVersionManifests(database, id);
  const parts = { children: await readChildren(database, id), pulls: await readPulls(database, id) };
  const manifests = rows.map((row) => manifestFact(row, parts));
  const departed = own ? await readDeparted(database, id, absentSubjects(tags, manifests)) : new Set<Digest>();
  return { name, kind, tags, manifests, departed, ...(counted[kind] ? { pullsCountedSince: clock.installedAt } : {}) };
}

/** What `sha256-<hex>` tags belong to and is not here. */
function absentSubjects(tags: readonly { readonly name: string }[], manifests: readonly ManifestFact[]): readonly Digest[] {
  const here = new Set(manifests.map(({ digest }) => digest));
  const named = tags.map(({ name }) => digestOfReferrerTag(name)).filter((digest) => digest !== undefined);
  return [...new Set(named)].filter((digest) => !here.has(digest));
}

function manifestFact(
  { digest, pushedAt, keepUntil, subject, untaggedSince }: ManifestRow,
  parts: { readonly children: ReadonlyMap<Digest, readonly Digest[]>; readonly pulls: ReadonlyMap<Digest, number> },
): ManifestFact {
  const pulledAt = parts.pulls.get(digest);
  return {
    digest,
    pushedAt,
    keepUntil,
    children: parts.children.get(digest) ?? none,
    ...(subject === null ? {} : { subject }),
    ...(untaggedSince === null ? {} : { untaggedSince }),
    ...(pulledAt === undefined ? {} : { pulledAt }),
  };
}

const none: readonly Digest[] = [];
