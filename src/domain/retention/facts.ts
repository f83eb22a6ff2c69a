// What a retention plan is made of: the repositories as they are, and what is known about their use. Times are epoch milliseconds.

import type { Digest } from "../digest.ts";

export interface TagFact {
  readonly name: string;
  readonly digest: Digest;
  /** When it last moved: for an own repository its last push, for a version tag its publish. */
  readonly pushedAt: number;
}

export interface ManifestFact {
  readonly digest: Digest;
  /** When this registry got it (a restore counts as a push). */
  readonly pushedAt: number;
  /** Since when no tag, parent or subject needs it; undefined: not counted yet. */
  readonly untaggedSince?: number;
  /** The lease of a push: until then nothing takes it. */
  readonly keepUntil: number;
  readonly subject?: Digest;
  /** What an index names, here or not. */
  readonly children: readonly Digest[];
  /** Last pull of exactly this digest, by any tag or by digest. */
  readonly pulledAt?: number;
}

export interface BlobFact {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** Blobs of a manifest that goes: only those that nothing else than manifests that go holds, here and in all other repositories. */
export type FreeableBlobs = (repository: string, manifest: Digest) => readonly BlobFact[];

export interface RepositoryFacts {
  /** With its prefix. */
  readonly name: string;
  /** proxied: `tags` are its published version tags, and only those are judged; cached content is `Upstream.spec.cache`'s. */
  readonly kind: "own" | "proxied";
  readonly tags: readonly TagFact[];
  readonly manifests: readonly ManifestFact[];
  /** Digests named by `sha256-<hex>` tags that were here once and were deleted. */
  readonly departed: ReadonlySet<Digest>;
  /** Since when pulls of this repository are counted; undefined: they are not. */
  readonly pullsCountedSince?: number;
}

/** Images in use, and when each was last seen. */
export interface ImagesInUse {
  /** By digest, of whatever repository: an index, a child, or what is not here. */
  readonly digests: ReadonlyMap<Digest, number>;
  /** Repository (as it is called here) → tag. */
  readonly tags: ReadonlyMap<string, ReadonlyMap<string, number>>;
}

/** What one cluster uses, from its reporter. */
export interface ClusterFacts {
  readonly name: string;
  /** The moment of its newest whole report; undefined: there was none. What was seen then or later is in use, however short `keepFor` is. */
  readonly reportedAt?: number;
  /** What that report covers: the whole cluster, or these namespaces of it. */
  readonly scope: "Cluster" | readonly string[];
  /** Why no whole report came since, in the reporter's words. */
  readonly problem?: string;
  readonly images: ImagesInUse;
}

/** A policy as it was published, of any action, suspended or not. */
export interface PolicySource {
  /** namespace/name */
  readonly key: string;
  readonly spec: unknown;
  /** Why it was refused where it was published; then its spec is not known, and it keeps everything. */
  readonly refused?: string;
  /** What its namespace may select; undefined: everything. */
  readonly granted?: (repository: string) => boolean;
  /** Namespaces of a cluster that may use what it selects: a report of these is enough. undefined: any namespace may, so the whole cluster has to be reported. */
  readonly workloads?: readonly string[];
}

export interface Verdict {
  readonly keep: boolean;
  readonly rule: string;
  readonly reason: string;
}
