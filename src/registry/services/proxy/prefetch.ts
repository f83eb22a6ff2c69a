// POST prefetch: an image with its index, children, layers and evidence comes in before it is needed (design: tag-sync.md, point 6).

import type { PrefetchRequest, PrefetchResult } from "../../../api/control/prefetch.ts";
import type { Digest } from "../../../domain/digest.ts";
import { blobsOf, childrenOf, parseManifest } from "../../../domain/manifest.ts";
import { parseReference, type Reference } from "../../../domain/reference.ts";
import type { Logger } from "../../../observability/logger.ts";
import type { Priority } from "../../upstream/budget.ts";
import { ServiceError } from "../errors.ts";
import type { ManifestAnswer } from "../pull/pull-service.ts";

/** What prefetch needs of the proxied repositories; ProxyPull has it. */
export interface PrefetchSource {
  prefetchManifest(repository: string, reference: Reference, priority: Priority): Promise<ManifestAnswer>;
  prefetchBlob(repository: string, digest: Digest, priority: Priority): Promise<number | undefined>;
}

/** Index in index in index: deeper is an attack. */
const maxDepth = 4;
const maxManifests = 2000;
/** Transfers at once. */
const transfers = 4;

interface Progress {
  readonly manifests: Set<Digest>;
  readonly blobs: Map<Digest, number>;
  readonly missing: Set<Digest>;
}

export class Prefetch {
  readonly #source: PrefetchSource;
  readonly #logger: Logger;

  constructor(options: { source: PrefetchSource; logger: Logger }) {
    this.#source = options.source;
    this.#logger = options.logger;
  }

  /**
   * Resolves when everything that upstream has is stored; `missing` names what it does not have.
   * Rejects with ServiceError: INVALID, MANIFEST_UNKNOWN for the image itself, and what upstream's failures are to a pull.
   */
  async prefetch(request: PrefetchRequest, priority: Priority = "prefetch"): Promise<PrefetchResult> {
    const { repository } = request;
    const also = (request.also ?? []).map(referenceOf);
    const progress: Progress = { manifests: new Set(), blobs: new Map(), missing: new Set() };
    const root = await this.#source.prefetchManifest(repository, referenceOf(request.reference), priority);
    const wanted = new Set<Digest>();
    await this.#walk(repository, root, { progress, wanted, depth: 1, priority });
    for (const reference of also) {
      // A tag that is not there cannot be reported as a digest that is missing.
      const found =
        "tag" in reference
          ? await this.#source.prefetchManifest(repository, reference, priority)
          : await this.#find(repository, reference.digest, progress, priority);
      if (found !== undefined) await this.#walk(repository, found, { progress, wanted, depth: 1, priority });
    }
    await this.#copy(repository, wanted, progress, priority);
    return {
      digest: root.digest,
      manifests: progress.manifests.size,
      blobs: progress.blobs.size,
      bytes: [...progress.blobs.values()].reduce((sum, size) => sum + size, 0),
      missing: [...progress.missing].sort(),
    };
  }

  async #walk(
    repository: string,
    answer: ManifestAnswer,
    walk: { progress: Progress; wanted: Set<Digest>; depth: number; priority: Priority },
  ): Promise<void> {
    const { progress, wanted, depth, priority } = walk;
    if (progress.manifests.has(answer.digest)) return;
    if (depth > maxDepth || progress.manifests.size >= maxManifests) {
      throw new ServiceError(
        "INVALID",
        `${repository}@${answer.digest}: indexes are nested deeper than ${maxDepth} or name too many manifests`,
      );
    }
    progress.manifests.add(answer.digest);
    const manifest = parseManifest(answer.bytes, answer.mediaType);
    for (const blob of blobsOf(manifest)) if (blob.required) wanted.add(blob.digest);
    for (const { digest } of childrenOf(manifest)) {
      const child = await this.#find(repository, digest, progress, priority);
      if (child !== undefined) await this.#walk(repository, child, { ...walk, depth: depth + 1 });
    }
  }

  /** Undefined, and noted as missing, when upstream does not have it. */
  async #find(repository: string, digest: Digest, progress: Progress, priority: Priority): Promise<ManifestAnswer | undefined> {
    try {
      return await this.#source.prefetchManifest(repository, { digest }, priority);
    } catch (error) {
      if (!(error instanceof ServiceError) || error.code !== "MANIFEST_UNKNOWN") throw error;
      progress.missing.add(digest);
      return undefined;
    }
  }

  async #copy(repository: string, wanted: ReadonlySet<Digest>, progress: Progress, priority: Priority): Promise<void> {
    const queue = [...wanted];
    const worker = async () => {
      for (let digest = queue.shift(); digest !== undefined; digest = queue.shift()) {
        const size = await this.#fetchOrStop(repository, digest, queue, priority);
        if (size === undefined) progress.missing.add(digest);
        else progress.blobs.set(digest, size);
        const done = progress.blobs.size + progress.missing.size;
        this.#logger.debug({ repository, digest, size, done, total: wanted.size }, "prefetched a blob");
      }
    };
    await Promise.all(Array.from({ length: Math.min(transfers, wanted.size) }, worker));
  }

  /** The first failure ends the others' work too: what is left would fail the same way, at the price of the rate limit. */
  async #fetchOrStop(repository: string, digest: Digest, queue: Digest[], priority: Priority): Promise<number | undefined> {
    try {
      return await this.#source.prefetchBlob(repository, digest, priority);
    } catch (error) {
      queue.length = 0;
      throw error;
    }
  }
}

function referenceOf(text: string): Reference {
  const reference = parseReference(text);
  if (reference === undefined) throw new ServiceError("INVALID", `"${text.slice(0, 200)}" is neither a tag nor a digest`);
  return reference;
}
