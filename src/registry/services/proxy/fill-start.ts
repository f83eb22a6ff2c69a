// How a fill begins: upstream answers, the object is announced (U1), the file is open; and what is kept or given up at its end.

import type { Digest } from "../../../domain/digest.ts";
import type { Logger } from "../../../observability/logger.ts";
import { BlobStoreError, type BlobReader, type BlobStore, type BlobWriter } from "../../blobs/blob-store.ts";
import type { Database } from "../../metadata/database.ts";
import { commitFill, expectedBlobSize } from "../../metadata/proxy-blobs.ts";
import type { Priority } from "../../upstream/budget.ts";
import { UpstreamError } from "../../upstream/errors.ts";
import type { RemoteBody } from "../../upstream/upstream-client.ts";
import { AnnouncedObject } from "../push/announced-object.ts";
import { Fill } from "./fill.ts";
import { countReceived, type ProxyMetrics } from "./proxy-metrics.ts";
import { failureOf } from "./upstream-failure.ts";
import type { Place } from "./upstreams.ts";

export interface FillStartOptions {
  readonly database: Database;
  readonly store: BlobStore;
  readonly logger: Logger;
  /** Under this much free space nothing is kept: clients are served as the bytes arrive. 0: only where the store refuses. */
  readonly lowWaterBytes?: number;
  /** Milliseconds before a broken transfer is first resumed. */
  readonly resumePause?: number;
  /** Milliseconds between two signs of life of a fetch (`signOfLifeEvery`); a minute by default. */
  readonly touchEvery?: number;
  /** Larger blobs are refused (`spool.maxBlobBytes`): upstream may send without end, and the disk is everybody's. */
  readonly maxBlobBytes: number;
  readonly metrics?: ProxyMetrics;
}

export type Started = Fill | "missing" | "noSpace";

/** What is fetched for whom: the place that asks upstream, and by name the repositories here that get the right to the bytes, with their Upstream. */
export interface FillSubject {
  readonly place: Place;
  readonly digest: Digest;
  readonly repositories: ReadonlyMap<string, string>;
}

export class FillStart {
  readonly #options: FillStartOptions;

  constructor(options: FillStartOptions) {
    this.#options = options;
  }

  /** Rejects with UpstreamError, or with what the database or the store says. */
  async begin(subject: FillSubject, priority: Priority): Promise<Started> {
    if (await this.#isLow()) return "noSpace";
    const ask = (from: number) => this.transfer(subject.place, subject.digest, from, priority);
    const first = await ask(0);
    if (first === undefined) return "missing";
    try {
      return await this.#fill(subject, first, ask);
    } catch (error) {
      first.discard();
      if (error instanceof BlobStoreError && error.code === "NoSpace") return "noSpace";
      throw error;
    }
  }

  /** GET from byte `from` on, counted. */
  async transfer(place: Place, digest: Digest, from: number, priority: Priority): Promise<RemoteBody | undefined> {
    const { metrics } = this.#options;
    const { key, client } = place.upstream;
    const remote = await client.getBlob(place.repository, digest, { from, priority });
    if (remote === undefined || metrics === undefined) return remote;
    return countReceived(remote, (bytes) => metrics.pulledBytes(key, "blob", bytes));
  }

  async #fill(
    { place, digest, repositories }: FillSubject,
    first: RemoteBody,
    again: (from: number) => Promise<RemoteBody | undefined>,
  ): Promise<Fill> {
    const { database, resumePause, touchEvery, maxBlobBytes: maxBytes } = this.#options;
    const size = first.size ?? (await expectedBlobSize(database, place.name, digest));
    if (size !== undefined && size > maxBytes) {
      throw new UpstreamError(
        "TooLarge",
        `blob ${digest} has ${size} bytes, and at most ${maxBytes} are copied (setting spool.maxBlobBytes)`,
      );
    }
    const object = new AnnouncedObject(database);
    const { writer, written } = await this.#create(object, size);
    return new Fill({
      digest,
      size,
      maxBytes,
      first,
      again,
      writer,
      written,
      touch: () => this.#touch(object),
      touchEvery,
      keep: (key, bytes) =>
        commitFill(database, {
          key,
          digest,
          size: bytes,
          origin: place.upstream.origin,
          repositories: [...repositories].map(([name, upstream]) => ({ name, upstream })),
        }),
      toReaders: (error) => failureOf(error, `${place.name}@${digest}`),
      abandon: (reason) => this.#abandon(place, digest, object, reason),
      ...(resumePause === undefined ? {} : { resumePause }),
    });
  }

  /** Copies stop before pushes do: they can be fetched again. */
  async #isLow(): Promise<boolean> {
    const { store, lowWaterBytes = 0 } = this.#options;
    return lowWaterBytes > 0 && (await store.freeSpoolBytes()) < lowWaterBytes;
  }

  async #create(object: AnnouncedObject, size: number | undefined): Promise<{ writer: BlobWriter; written: BlobReader }> {
    try {
      return await this.#options.store.createReadable(object.announce, size === undefined ? {} : { bytes: size });
    } catch (error) {
      await object.abandon();
      throw error;
    }
  }

  async #touch(object: AnnouncedObject): Promise<boolean> {
    try {
      return await object.touch();
    } catch (error) {
      this.#options.logger.warn({ key: object.key, reason: (error as Error).message }, "a running fetch could not be noted");
      throw error;
    }
  }

  async #abandon(place: Place, digest: Digest, object: AnnouncedObject, reason: Error): Promise<void> {
    const { logger } = this.#options;
    logger.warn({ upstream: place.upstream.key, repository: place.name, digest, reason: reason.message }, "fetch of a blob failed");
    try {
      await object.abandon();
    } catch (error) {
      // G3 takes it later.
      logger.error({ key: object.key, reason: (error as Error).message }, "a failed fetch left an object behind");
    }
  }
}
