// One published version is copied again: the image with all that it names and its evidence are fetched, and held from then on.

import type { Digest } from "../../../domain/digest.ts";
import { childrenOf, parseManifest } from "../../../domain/manifest.ts";
import type { Database } from "../../metadata/database.ts";
import { holdReferences } from "../../metadata/proposal-pins.ts";
import { holdVersions, type UncopiedVersion } from "../../metadata/version-copies.ts";
import { holdEvidence, lockVersions } from "../../metadata/versions.ts";
import { UpstreamError } from "../../upstream/errors.ts";
import { completeCopy } from "./complete-copy.ts";
import { ServiceError } from "../errors.ts";
import type { Prefetch, PrefetchSource } from "../proxy/prefetch.ts";

/** Platforms whose own evidence is looked for. */
const maxPlatforms = 100;

export interface CopyVersionOptions {
  readonly database: Database;
  readonly source: Pick<PrefetchSource, "prefetchManifest">;
  readonly prefetch: Prefetch;
}

export interface CopiedVersion {
  /** None: they left service meanwhile. */
  readonly tags: readonly string[];
  /** Manifests that list attestations. */
  readonly evidence: readonly Digest[];
}

/** Rejects with ServiceError: MANIFEST_UNKNOWN when upstream does not have all of it any more, and what upstream's failures are to a pull. */
export async function copyVersion(
  options: CopyVersionOptions,
  { repository, repositoryId, digest }: UncopiedVersion,
): Promise<CopiedVersion> {
  const { database, prefetch } = options;
  const { missing } = await prefetch.prefetch({ repository, reference: digest });
  if (missing.length > 0) {
    const named = `${missing.slice(0, 5).join(", ")}${missing.length > 5 ? " …" : ""}`;
    throw new ServiceError("MANIFEST_UNKNOWN", `upstream does not have all of ${repository}@${digest} any longer: ${named}`);
  }
  const evidence = await copyEvidence(options, repository, digest);
  return database.transaction(async (transaction) => {
    await lockVersions(transaction, repositoryId, [digest]);
    const { manifests, absent } = await completeCopy(transaction, repositoryId, { digest, evidence });
    const tags = await holdVersions(transaction, repositoryId, digest);
    if (tags.length === 0) return { tags, evidence };
    await holdReferences(transaction, { repository: repositoryId, manifests, absent });
    await holdEvidence(transaction, repositoryId, { tags, digest, manifests: evidence });
    return { tags, evidence };
  });
}

/** The attestations of the image and of its platforms, as far as upstream still has them: without them the version is what it was. */
async function copyEvidence({ source, prefetch }: CopyVersionOptions, repository: string, digest: Digest): Promise<Digest[]> {
  const root = await source.prefetchManifest(repository, { digest }, "prefetch");
  const platforms = childrenOf(parseManifest(root.bytes, root.mediaType)).map((child) => child.digest);
  const found: Digest[] = [];
  for (const subject of [digest, ...platforms.slice(0, maxPlatforms)]) {
    const attached = await unlessGone(source.prefetchManifest(repository, { tag: attestationTag(subject) }, "prefetch"));
    const copied = attached && (await unlessGone(prefetch.prefetch({ repository, reference: attached.digest })));
    if (copied?.missing.length === 0) found.push(copied.digest as Digest);
  }
  return found;
}

/** Where cosign keeps attestations (cosign specs/ATTESTATION_SPEC.md). */
const attestationTag = (digest: Digest) => `${digest.replace(":", "-")}.att`;

/** Undefined when upstream does not have it, or has something else: another attempt would find the same. */
async function unlessGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    if (["MANIFEST_UNKNOWN", "MANIFEST_INVALID", "INVALID"].includes(error.code)) return undefined;
    if (error.cause instanceof UpstreamError && !error.cause.temporary) return undefined;
    throw error;
  }
}
