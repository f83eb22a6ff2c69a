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

/** What one cluster runs, from its reporter. */
export interface ClusterFacts {
  readonly name: string;
  /** undefined: configured, and never heard of. */
  readonly reportedAt?: number;
  /** The report covers the whole cluster. */
  readonly complete: boolean;
  /** Digest → when it was last seen in use. */
  readonly images: ReadonlyMap<Digest, number>;
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
}

export interface Verdict {
  readonly keep: boolean;
  readonly rule: string;
  readonly reason: string;
}
