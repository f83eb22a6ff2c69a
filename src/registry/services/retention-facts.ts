// The facts of a plan, read in sets: own repositories whole, of proxied ones the published version tags.

import type { Digest } from "../../domain/digest.ts";
import { digestOfReferrerTag } from "../../domain/reference.ts";
import type { Facts, ManifestFact, RepositoryFacts, TagFact } from "../../domain/retention/facts.ts";
import type { Queryable } from "../metadata/database.ts";
import type { Repository } from "../metadata/repositories.ts";
import {
  readBlobs,
  readChildren,
  readClock,
  readDeparted,
  readOwnManifests,
  readOwnTags,
  readPulls,
  readVersionManifests,
  readVersions,
  type ManifestRow,
  type TagRow,
} from "../metadata/retention.ts";

/** Whose pulls this installation writes into the database. Where nobody does, rules about pulls keep everything. */
export interface PullsCounted {
  readonly own: boolean;
  readonly proxied: boolean;
}

export async function readFacts(database: Queryable, repositories: readonly Repository[], counted: PullsCounted): Promise<Facts> {
  const { now, installedAt } = await readClock(database);
  const read: RepositoryFacts[] = [];
  for (const repository of repositories) {
    const facts = await readRepository(database, repository);
    read.push(counted[facts.kind] ? { ...facts, pullsCountedSince: installedAt.getTime() } : facts);
  }
  return {
    repositories: read,
    // No reporter exists yet, so no cluster can be configured: `inUse` asks nothing and the plan says so.
    clusters: [],
    // Only a plan counts bytes; it asks for this itself.
    heldElsewhere: new Set(),
    now: now.getTime(),
  };
}

async function readRepository(database: Queryable, { id, name, upstream }: Repository): Promise<RepositoryFacts> {
  const own = upstream === null;
  const tags = own ? await readOwnTags(database, id) : await readVersions(database, id);
  const rows = tags.length === 0 && !own ? [] : own ? await readOwnManifests(database, id) : await readVersionManifests(database, id);
  const children = await readChildren(database, id);
  const blobs = own ? await readBlobs(database, id) : new Map<Digest, never>();
  const pulls = await readPulls(database, id);
  const here = new Set(rows.map(({ digest }) => digest));
  const named = tags.map((tag) => digestOfReferrerTag(tag.name)).filter((digest) => digest !== undefined && !here.has(digest));
  const parts = { children, blobs, pulls };
  return {
    name,
    kind: own ? "own" : "proxied",
    tags: tags.map(tagFact),
    manifests: rows.map((row) => manifestFact(row, parts)),
    departed: own ? await readDeparted(database, id, [...new Set(named)] as Digest[]) : new Set(),
  };
}

function tagFact({ name, digest, pushedAt }: TagRow): TagFact {
  return { name, digest, pushedAt: pushedAt.getTime() };
}

function manifestFact(
  row: ManifestRow,
  parts: {
    readonly children: ReadonlyMap<Digest, readonly Digest[]>;
    readonly blobs: ReadonlyMap<Digest, ManifestFact["blobs"]>;
    readonly pulls: ReadonlyMap<Digest, Date>;
  },
): ManifestFact {
  const { digest, subject, untaggedSince } = row;
  const pulledAt = parts.pulls.get(digest);
  return {
    digest,
    pushedAt: row.pushedAt.getTime(),
    keepUntil: row.keepUntil.getTime(),
    children: parts.children.get(digest) ?? [],
    blobs: parts.blobs.get(digest) ?? [],
    ...(subject === null ? {} : { subject }),
    ...(untaggedSince === null ? {} : { untaggedSince: untaggedSince.getTime() }),
    ...(pulledAt === undefined ? {} : { pulledAt: pulledAt.getTime() }),
  };
}
