// Pulling from the team's own repositories.

import type { Digest } from "../../../domain/digest.ts";
import type { Reference } from "../../../domain/reference.ts";
import { BlobStoreError, type BlobReader, type BlobStore, type Span } from "../../blobs/blob-store.ts";
import { claimBlob, type StoredBlob } from "../../metadata/blobs.ts";
import type { Queryable } from "../../metadata/database.ts";
import { claimManifestByDigest, claimManifestByTag, type ClaimedManifest, type StoredManifest } from "../../metadata/manifests.ts";
import { findRepository } from "../../metadata/repositories.ts";
import { listTags } from "../../metadata/tags.ts";
import { ServiceError } from "../errors.ts";
import type { BlobAnswer, Caller, ManifestAnswer, PullService, ReferrerPage, ReferrerSelection, TagPage } from "./pull-service.ts";
import type { PullStatistics } from "./pull-statistics.ts";
import type { StoredContent } from "./stored-content.ts";
import { referrerPage, storedReferrers } from "./referrer-pages.ts";

export interface OwnPullOptions {
  readonly database: Queryable;
  readonly store: BlobStore;
  readonly content: StoredContent;
  readonly statistics: PullStatistics;
}

export class OwnPull implements PullService {
  readonly #database: Queryable;
  readonly #store: BlobStore;
  readonly #content: StoredContent;
  readonly #statistics: PullStatistics;

  constructor(options: OwnPullOptions) {
    this.#database = options.database;
    this.#store = options.store;
    this.#content = options.content;
    this.#statistics = options.statistics;
  }

  async manifest(repository: string, reference: Reference, caller: Caller, options: { head: boolean }): Promise<ManifestAnswer> {
    await this.#refuseUpstreams(repository);
    const claim = options.head && caller.mayPush;
    const found = await this.#findManifest(repository, reference, claim);
    if (found === undefined)
      throw await this.#unknown(repository, "MANIFEST_UNKNOWN", "tag" in reference ? reference.tag : reference.digest);
    const { repositoryId, digest, mediaType, bytes, lostBlobs = 0 } = found;
    if (caller.scanner !== true) this.#statistics.record({ repositoryId, digest, tag: "tag" in reference ? reference.tag : undefined });
    return { digest, mediaType, bytes, ...(lostBlobs === 0 ? {} : { lostBlobs }) };
  }

  async blob(repository: string, digest: Digest, caller: Caller, options: { head: boolean }): Promise<BlobAnswer> {
    await this.#refuseUpstreams(repository);
    const claim = options.head && caller.mayPush;
    const found = await (claim ? claimBlob(this.#database, repository, digest) : this.#content.blob(repository, digest));
    if (found === undefined) throw await this.#unknown(repository, "BLOB_UNKNOWN", digest);
    const link = async () => this.#store.link?.(found.key);
    return { digest, size: found.size, link, open: (span) => this.#open(repository, digest, found, span) };
  }

  async tags(repository: string, _caller: Caller, page: { limit: number; after?: string }): Promise<TagPage> {
    await this.#refuseUpstreams(repository);
    const found = await listTags(this.#database, repository, { after: page.after, limit: page.limit + 1 });
    if (found.length === 0 && (await findRepository(this.#database, repository)) === undefined) throw unknownName(repository);
    return { tags: found.slice(0, page.limit), more: found.length > page.limit };
  }

  async referrers(repository: string, digest: Digest, _caller: Caller, selection: ReferrerSelection): Promise<ReferrerPage> {
    await this.#refuseUpstreams(repository);
    return referrerPage(storedReferrers(this.#database, repository, digest, selection), selection);
  }

  /** Of an Upstream that is gone: what was cached waits for another one with the prefix (storage.md, "Prefixes"). */
  async #refuseUpstreams(repository: string): Promise<void> {
    const found = await this.#content.repository(repository);
    if (found !== undefined && found.upstream !== null) throw unknownName(repository);
  }

  #findManifest(
    repository: string,
    reference: Reference,
    claim: boolean,
  ): Promise<(StoredManifest & Partial<ClaimedManifest>) | undefined> {
    if (!claim) return this.#content.manifest(repository, reference);
    if ("tag" in reference) return claimManifestByTag(this.#database, repository, reference.tag);
    return claimManifestByDigest(this.#database, repository, reference.digest);
  }

  /** A key that is not found is looked up again once: the blob may have been collected and pushed again under another key. */
  async #open(repository: string, digest: Digest, found: StoredBlob, span: Span | undefined): Promise<BlobReader> {
    try {
      return await this.#store.open(found.key, span);
    } catch (error) {
      if (!(error instanceof BlobStoreError) || error.code !== "NotFound") throw error;
      const again = await this.#content.blobAgain(repository, digest);
      if (again === undefined) throw await this.#unknown(repository, "BLOB_UNKNOWN", digest);
      if (again.key === found.key) throw error;
      return this.#store.open(again.key, span);
    }
  }

  async #unknown(repository: string, code: "MANIFEST_UNKNOWN" | "BLOB_UNKNOWN", reference: string): Promise<ServiceError> {
    if ((await findRepository(this.#database, repository)) === undefined) return unknownName(repository);
    return new ServiceError(code, `${repository} does not have ${reference}.`, { detail: { reference } });
  }
}

function unknownName(repository: string): ServiceError {
  return new ServiceError("NAME_UNKNOWN", `There is no repository ${repository}.`, { detail: { name: repository } });
}
