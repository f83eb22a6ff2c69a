// Pulls from repositories of an Upstream: where the name leads, who asks, and the service that answers.

import type { Digest } from "../../../domain/digest.ts";
import type { Reference } from "../../../domain/reference.ts";
import type { Logger } from "../../../observability/logger.ts";
import type { BlobStore } from "../../blobs/blob-store.ts";
import type { Database } from "../../metadata/database.ts";
import type { Priority } from "../../upstream/budget.ts";
import { ProxiedBlobs } from "./proxied-blobs.ts";
import { ProxiedLists } from "./proxied-lists.ts";
import { ProxiedManifests } from "./proxied-manifests.ts";
import { countSent, type ProxyMetrics } from "./proxy-metrics.ts";
import type { BlobAnswer, Caller, ManifestAnswer, PullService, ReferrerPage, ReferrerSelection, TagPage } from "../pull/pull-service.ts";
import type { PullStatistics } from "../pull/pull-statistics.ts";
import type { StoredContent } from "../pull/stored-content.ts";
import { egressRefusal } from "./upstream-failure.ts";
import type { Place, Upstreams } from "./upstreams.ts";
import type { Writability } from "../upkeep/writability.ts";

export interface ProxyPullOptions {
  readonly database: Database;
  readonly content: StoredContent;
  readonly store: BlobStore;
  readonly upstreams: Upstreams;
  /** What people pull is counted; what jobs and prefetch read is not, or everything they watch would look used for ever. */
  readonly statistics?: PullStatistics;
  readonly logger: Logger;
  /** Free bytes below which fetched blobs are not kept (`spool.lowWaterBytes`). */
  readonly lowWaterBytes?: number;
  /** Milliseconds before a broken transfer is first resumed. */
  readonly resumePause?: number;
  /** Milliseconds between two signs of life of a fetch; a minute by default. */
  readonly touchEvery?: number;
  /** Bytes of the largest blob that is copied (`spool.maxBlobBytes`). */
  readonly maxBlobBytes: number;
  /** Blobs that are fetched from one Upstream at once. */
  readonly maxFills?: number;
  /** Where nothing may be written, what upstream answers is passed on and not kept. */
  readonly writability?: Writability;
  /** Pulls of people are counted, those of jobs and prefetch only as bytes from upstream. */
  readonly metrics?: ProxyMetrics;
}

export class ProxyPull implements PullService {
  readonly #upstreams: Upstreams;
  readonly #logger: Logger;
  readonly #statistics: PullStatistics | undefined;
  readonly #metrics: ProxyMetrics | undefined;
  readonly #manifests: ProxiedManifests;
  readonly #lists: ProxiedLists;
  readonly #blobs: ProxiedBlobs;

  constructor(options: ProxyPullOptions) {
    this.#upstreams = options.upstreams;
    this.#logger = options.logger;
    this.#statistics = options.statistics;
    this.#metrics = options.metrics;
    this.#manifests = new ProxiedManifests(options);
    this.#lists = new ProxiedLists(options);
    this.#blobs = new ProxiedBlobs(options);
  }

  async manifest(repository: string, reference: Reference, caller: Caller, options: { head?: boolean } = {}): Promise<ManifestAnswer> {
    const priority = priorityOf(caller);
    const place = this.#upstreams.locate(repository);
    const { repositoryId, fetched, ...answer } = await this.#manifests.manifest(place, reference, {
      revalidate: caller.revalidate,
      priority,
    });
    if (repositoryId !== undefined && priority === "pull" && caller.scanner !== true) {
      this.#statistics?.record({ repositoryId, digest: answer.digest, ...("tag" in reference ? { tag: reference.tag } : {}) });
    }
    if (priority === "pull") {
      this.#metrics?.proxied(place.upstream.key, "manifest", fetched === true ? "miss" : "hit");
      if (options.head !== true) this.#metrics?.pushedBytes(place.upstream.key, "manifest", answer.bytes.byteLength);
    }
    return answer;
  }

  async blob(repository: string, digest: Digest, caller: Caller, options: { head: boolean; gone?: AbortSignal }): Promise<BlobAnswer> {
    const priority = priorityOf(caller);
    const place = this.#upstreams.locate(repository);
    const { stored, ...answer } = await this.#noted(
      place,
      this.#blobs.blob(place, digest, { ...options, priority, sender: caller.sender ?? caller.identity }),
    );
    const metrics = this.#metrics;
    if (metrics === undefined || priority !== "pull") return answer;
    const { key } = place.upstream;
    metrics.proxied(key, "blob", stored ? "hit" : "miss");
    return { ...answer, open: async (span) => countSent(await answer.open(span), (bytes) => metrics.pushedBytes(key, "blob", bytes)) };
  }

  async tags(repository: string, caller: Caller, page: { limit: number; after?: string }): Promise<TagPage> {
    const { revalidate } = caller;
    const place = this.#upstreams.locate(repository);
    return this.#noted(place, this.#lists.tags(place, page, { revalidate, priority: priorityOf(caller) }));
  }

  /** For runs: the tags that upstream itself lists, in few requests (ProxiedLists.upstreamTags). */
  async upstreamTags(repository: string, priority: Priority): Promise<readonly string[] | undefined> {
    const place = this.#upstreams.locate(repository);
    return this.#noted(place, this.#lists.upstreamTags(place, priority));
  }

  async referrers(repository: string, digest: Digest, caller: Caller, selection: ReferrerSelection): Promise<ReferrerPage> {
    const { revalidate } = caller;
    const place = this.#upstreams.locate(repository);
    return this.#noted(place, this.#lists.referrers(place, digest, { ...selection, revalidate, priority: priorityOf(caller) }));
  }

  /** For prefetch: a manifest as a pull would get it, on the lowest priority. */
  prefetchManifest(repository: string, reference: Reference, priority: Priority): Promise<ManifestAnswer> {
    return this.#manifests.manifest(this.#upstreams.locate(repository), reference, { revalidate: false, priority });
  }

  /** For prefetch: waits until the blob is stored. Its size in bytes, undefined when upstream does not have it. */
  prefetchBlob(repository: string, digest: Digest, priority: Priority): Promise<number | undefined> {
    return this.#blobs.ensure(this.#upstreams.locate(repository), digest, priority);
  }

  /** What the client is not told is in the log. */
  async #noted<T>(place: Place, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      const reason = egressRefusal(error);
      if (reason !== undefined)
        this.#logger.warn({ upstream: place.upstream.key, repository: place.name, reason }, "The egress policy refused");
      throw error;
    }
  }

  /** Ends what is being fetched. Close it before the database and the store. */
  close(): Promise<void> {
    return this.#blobs.close();
  }
}

/** Runs of jobs wait behind people. */
function priorityOf({ identity }: Caller): Priority {
  return identity.startsWith("run:") ? "tag-sync" : "pull";
}
