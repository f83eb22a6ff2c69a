// Blobs of proxied repositories: from the store when this repository has the right, else by a fill (design: upstream.md,
// "Blobs" and "The right to a cached blob").

import { LRUCache } from "lru-cache";

import type { Digest } from "../../domain/digest.ts";
import type { Logger } from "../../observability/logger.ts";
import { BlobStoreError, type BlobReader, type BlobStore, type BlobWriter } from "../blobs/blob-store.ts";
import { findBlob, type StoredBlob } from "../metadata/blobs.ts";
import { isForeignKeyViolation, type Database } from "../metadata/database.ts";
import { abandonObject, announceObject, touchObject } from "../metadata/objects.ts";
import { commitFill, expectedBlobSize, findBlobOfOrigin, linkProxiedBlob } from "../metadata/proxy-blobs.ts";
import type { Priority } from "../upstream/budget.ts";
import { UpstreamError } from "../upstream/errors.ts";
import type { RemoteBody } from "../upstream/upstream-client.ts";
import { ServiceError } from "./errors.ts";
import { FillSlots } from "./fill-slots.ts";
import { Fill } from "./fill.ts";
import { PassThrough } from "./pass-through.ts";
import type { BlobAnswer } from "./pull-service.ts";
import { countReceived, type ProxyMetrics } from "./proxy-metrics.ts";
import { SingleFlight } from "./single-flight.ts";
import { failureOf, withFailure } from "./upstream-failure.ts";
import type { Place } from "./upstreams.ts";

/** Milliseconds for which upstream's word about having a blob is believed without asking again. */
const believedFor = 5000;
/**
 * Bytes of the largest blob that is kept. Upstream's word is not the limit: it may send without end, and the disk is everybody's. Several times
 * the largest layers that are in use (models and toolchains of some GiB).
 */
const maxBlobBytes = 16 * 1024 ** 3;
/** Blobs that are fetched from one Upstream at once. */
const maxFills = 16;

export interface ProxiedBlobsOptions {
  readonly database: Database;
  readonly store: BlobStore;
  readonly logger: Logger;
  /** Under this much free space nothing is kept: clients are served as the bytes arrive. 0: only where the store refuses. */
  readonly lowWaterBytes?: number;
  /** Milliseconds before a broken transfer is first resumed. */
  readonly resumePause?: number;
  /** Milliseconds between two signs of life of a fetch (`signOfLifeEvery`); a minute by default. */
  readonly touchEvery?: number;
  /** Larger blobs are refused. */
  readonly maxBlobBytes?: number;
  /** Blobs that are fetched from one Upstream at once; the others wait. */
  readonly maxFills?: number;
  readonly metrics?: ProxyMetrics;
}

export interface ProxiedBlob extends BlobAnswer {
  /** False: upstream had to be asked for it. */
  readonly stored: boolean;
}

/** How a blob that was not stored can be had now. */
type Acquired = { readonly fill: Fill } | { readonly stored: StoredBlob } | "missing" | "noSpace";

interface RunningFill {
  /** Names here whose right to the bytes is shown: the one that fetches, and those for which upstream answered HEAD. */
  readonly repositories: Map<string, string>;
  readonly started: Promise<Fill | "missing" | "noSpace">;
}

export class ProxiedBlobs {
  readonly #options: ProxiedBlobsOptions;
  /** By origin and digest: repositories of one Upstream share a transfer. */
  readonly #fills = new Map<string, RunningFill>();
  readonly #slots: FillSlots;
  #closed = false;
  readonly #acquiring = new SingleFlight<Acquired>();
  readonly #asking = new SingleFlight<{ size: number | undefined } | undefined>();
  /** What upstream said about having a blob: its size, or false. */
  readonly #asked = new LRUCache<string, { readonly size: number | undefined } | false>({ max: 10_000, ttl: believedFor });

  constructor(options: ProxiedBlobsOptions) {
    this.#options = options;
    this.#slots = new FillSlots(options.maxFills ?? maxFills);
  }

  /** Rejects with ServiceError. A cold `head` costs one HEAD upstream. `gone`: nobody waits for the answer any more. */
  async blob(place: Place, digest: Digest, options: { head: boolean; priority: Priority; gone?: AbortSignal }): Promise<ProxiedBlob> {
    const { head, priority, gone } = options;
    const stored = await findBlob(this.#options.database, place.name, digest);
    if (stored !== undefined) return this.#fromStore(place, digest, stored);
    const subject = subjectOf(place, digest);
    if (this.#joined(place, digest)) return withFailure(subject, this.#get(place, digest, priority, gone));
    if (place.upstream.offline) throw unknown(place, digest, "and its upstream is configured offline");
    if (!place.upstream.cache.keeps) return withFailure(subject, this.#passThrough(place, digest, priority));
    return withFailure(subject, head ? this.#head(place, digest, priority) : this.#get(place, digest, priority, gone));
  }

  /** Brings the blob in and waits until it is stored. Its size, or undefined when upstream does not have it. Rejects with ServiceError. */
  async ensure(place: Place, digest: Digest, priority: Priority): Promise<number | undefined> {
    const stored = await findBlob(this.#options.database, place.name, digest);
    if (stored !== undefined) return stored.size;
    if (place.upstream.offline) return undefined;
    const acquired = await withFailure(subjectOf(place, digest), this.#acquire(place, digest, priority));
    if (acquired === "missing") return undefined;
    if (acquired === "noSpace")
      throw new ServiceError("INSUFFICIENT_STORAGE", "there is no space left to copy images; free some and try again");
    if ("stored" in acquired) return acquired.stored.size;
    const { fill } = acquired;
    const [size] = await withFailure(subjectOf(place, digest), Promise.all([fill.whole(), fill.kept]));
    return size;
  }

  /** Ends running fills; their readers fail. Resolves when nothing is written any more. */
  async close(): Promise<void> {
    this.#closed = true;
    const running = [...this.#fills.values()];
    await Promise.all(
      running.map(async ({ started }) => {
        const fill = await started.catch(() => undefined);
        if (!(fill instanceof Fill)) return;
        fill.stop();
        await fill.kept.catch(() => {});
      }),
    );
  }

  async #get(place: Place, digest: Digest, priority: Priority, gone: AbortSignal | undefined): Promise<ProxiedBlob> {
    const acquired = await this.#acquire(place, digest, priority);
    if (acquired === "missing") throw unknown(place, digest, "and upstream does not have it");
    if (acquired === "noSpace") return this.#passThrough(place, digest, priority);
    if ("stored" in acquired) return this.#fromStore(place, digest, acquired.stored);
    const { fill } = acquired;
    return {
      digest,
      stored: false,
      // Of an empty blob nobody reads a byte that could be refused: it must be right before the answer.
      size: fill.size === undefined || fill.size === 0 ? await fill.whole(gone) : fill.size,
      open: async () => (fill.isReadable ? fill.reader() : (await this.blob(place, digest, { head: false, priority })).open()),
    };
  }

  async #head(place: Place, digest: Digest, priority: Priority): Promise<ProxiedBlob> {
    const found = await this.#ask(place, digest, priority);
    if (found === undefined) throw unknown(place, digest, "and upstream does not have it");
    const size = found.size ?? (await expectedBlobSize(this.#options.database, place.name, digest));
    if (size === undefined) throw new UpstreamError("UnexpectedAnswer", `${place.upstream.host} does not say how large the blob is`);
    return { digest, stored: false, size, open: async () => (await this.blob(place, digest, { head: false, priority })).open() };
  }

  async #passThrough(place: Place, digest: Digest, priority: Priority): Promise<ProxiedBlob> {
    const { size } = await this.#head(place, digest, priority);
    const failure = (error: unknown) => failureOf(error, subjectOf(place, digest));
    const download = (from: number) => this.#transfer(place, digest, from, priority);
    return { digest, stored: false, size, open: () => Promise.resolve(new PassThrough({ digest, size, download, failure })) };
  }

  #acquire(place: Place, digest: Digest, priority: Priority): Promise<Acquired> {
    return this.#acquiring.run(`${place.name} ${digest}`, async () => {
      const { database } = this.#options;
      const running = this.#fills.get(fillKey(place, digest));
      if (running !== undefined) return this.#join(running, place, digest, priority);
      // A fill leaves the map after its commit: what the map does not have any more, the database has.
      const stored = await findBlob(database, place.name, digest);
      if (stored !== undefined) return { stored };
      const linked = await this.#link(place, digest, priority);
      if (linked !== undefined) return linked;
      return asAcquired(await this.#start(place, digest, priority));
    });
  }

  /** Bytes that came from the same origin before, when that origin answers for this repository with the same size. */
  async #link(place: Place, digest: Digest, priority: Priority): Promise<Acquired | undefined> {
    const { database } = this.#options;
    const before = await findBlobOfOrigin(database, place.upstream.origin, digest);
    if (before === undefined) return undefined;
    const found = await this.#ask(place, digest, priority);
    if (found === undefined) return "missing";
    if (found.size !== before.size) return undefined;
    try {
      await linkProxiedBlob(database, [repositoryOf(place)], digest);
    } catch (error) {
      if (isForeignKeyViolation(error)) return undefined; // collected a moment ago: fetch it
      throw error;
    }
    return { stored: before };
  }

  async #join(running: RunningFill, place: Place, digest: Digest, priority: Priority): Promise<Acquired> {
    const fill = await running.started;
    if (!(fill instanceof Fill))
      return running.repositories.has(place.name) ? fill : asAcquired(await this.#start(place, digest, priority));
    if (running.repositories.has(place.name)) return { fill };
    const found = await this.#ask(place, digest, priority);
    if (found === undefined) return "missing";
    const size = fill.size ?? (await fill.verified);
    if (found.size !== size) throw new UpstreamError("UnexpectedAnswer", `${place.upstream.host} states two sizes for blob ${digest}`);
    running.repositories.set(place.name, place.upstream.key);
    // The commit may have happened while we asked; then the link is made here.
    void fill.kept.then(() => linkProxiedBlob(this.#options.database, [repositoryOf(place)], digest)).catch(() => {});
    return { fill };
  }

  async #start(place: Place, digest: Digest, priority: Priority): Promise<Fill | "missing" | "noSpace"> {
    const key = fillKey(place, digest);
    const running = this.#fills.get(key);
    if (running !== undefined && running.repositories.has(place.name)) return running.started;
    const repositories = new Map([[place.name, place.upstream.key]]);
    const started = this.#download(place, digest, priority, repositories);
    const entry = { repositories, started };
    this.#fills.set(key, entry);
    const forget = () => {
      if (this.#fills.get(key) === entry) this.#fills.delete(key);
    };
    void forgetAfter(started, forget);
    return started;
  }

  async #download(
    place: Place,
    digest: Digest,
    priority: Priority,
    repositories: ReadonlyMap<string, string>,
  ): Promise<Fill | "missing" | "noSpace"> {
    if (this.#asked.get(askedKey(place, digest)) === false) return "missing";
    const free = await this.#slots.take(place.upstream.key);
    let fill: Fill | undefined;
    try {
      if (this.#closed) throw new UpstreamError("Unreachable", "the registry is stopping");
      const started = await this.#begin(place, digest, priority, repositories);
      if (started instanceof Fill) fill = started;
      return started;
    } finally {
      if (fill === undefined) free();
      else void fill.kept.then(free, free);
    }
  }

  async #begin(
    place: Place,
    digest: Digest,
    priority: Priority,
    repositories: ReadonlyMap<string, string>,
  ): Promise<Fill | "missing" | "noSpace"> {
    if (await this.#isLow()) return "noSpace";
    const ask = (from: number) => this.#transfer(place, digest, from, priority);
    const first = await ask(0);
    if (first === undefined) {
      this.#asked.set(askedKey(place, digest), false);
      return "missing";
    }
    try {
      return await this.#fill(place, digest, first, ask, repositories);
    } catch (error) {
      first.discard();
      if (error instanceof BlobStoreError && error.code === "NoSpace") return "noSpace";
      throw error;
    }
  }

  async #fill(
    place: Place,
    digest: Digest,
    first: RemoteBody,
    again: (from: number) => Promise<RemoteBody | undefined>,
    repositories: ReadonlyMap<string, string>,
  ): Promise<Fill> {
    const { database, store, resumePause, touchEvery } = this.#options;
    const size = first.size ?? (await expectedBlobSize(database, place.name, digest));
    const maxBytes = this.#options.maxBlobBytes ?? maxBlobBytes;
    if (size !== undefined && size > maxBytes)
      throw new UpstreamError("TooLarge", `blob ${digest} has ${size} bytes, and at most ${maxBytes} are copied`);
    const key = store.newKey();
    await announceObject(database, key);
    const { writer, written } = await this.#create(key);
    return new Fill({
      digest,
      size,
      maxBytes,
      first,
      again,
      writer,
      written,
      touch: () => this.#touch(key),
      touchEvery,
      keep: (bytes) =>
        commitFill(database, {
          key,
          digest,
          size: bytes,
          origin: place.upstream.origin,
          repositories: [...repositories].map(([name, upstream]) => ({ name, upstream })),
        }),
      toReaders: (error) => failureOf(error, subjectOf(place, digest)),
      abandon: (reason) => this.#abandon(place, digest, key, reason),
      ...(resumePause === undefined ? {} : { resumePause }),
    });
  }

  /** GET from byte `from` on, counted. */
  async #transfer(place: Place, digest: Digest, from: number, priority: Priority): Promise<RemoteBody | undefined> {
    const { metrics } = this.#options;
    const { key, client } = place.upstream;
    const remote = await client.getBlob(place.repository, digest, { from, priority });
    if (remote === undefined || metrics === undefined) return remote;
    return countReceived(remote, (bytes) => metrics.pulledBytes(key, "blob", bytes));
  }

  /** Copies stop before pushes do: they can be fetched again. */
  async #isLow(): Promise<boolean> {
    const { store, lowWaterBytes = 0 } = this.#options;
    if (lowWaterBytes === 0) return false;
    const free = await store.freeBytes();
    return free !== undefined && free < lowWaterBytes;
  }

  async #create(key: string): Promise<{ writer: BlobWriter; written: BlobReader }> {
    const { database, store } = this.#options;
    let writer: BlobWriter | undefined;
    try {
      writer = await store.create(key);
      return { writer, written: await store.openUnfinished(key) };
    } catch (error) {
      await writer?.close();
      await abandonObject(database, key);
      throw error;
    }
  }

  async #touch(key: string): Promise<boolean> {
    try {
      return await touchObject(this.#options.database, key);
    } catch (error) {
      this.#options.logger.warn({ key, reason: (error as Error).message }, "a running fetch could not be noted");
      throw error;
    }
  }

  async #abandon(place: Place, digest: Digest, key: string, reason: Error): Promise<void> {
    const { database, logger } = this.#options;
    logger.warn({ upstream: place.upstream.key, repository: place.name, digest, reason: reason.message }, "fetch of a blob failed");
    try {
      await abandonObject(database, key);
    } catch (error) {
      // G3 takes it later.
      logger.error({ key, reason: (error as Error).message }, "a failed fetch left an object behind");
    }
  }

  async #ask(place: Place, digest: Digest, priority: Priority): Promise<{ size: number | undefined } | undefined> {
    const key = askedKey(place, digest);
    const known = this.#asked.get(key);
    if (known !== undefined) return known === false ? undefined : known;
    return this.#asking.run(key, async () => {
      const found = await place.upstream.client.headBlob(place.repository, digest, priority);
      this.#asked.set(key, found ?? false);
      return found;
    });
  }

  #joined(place: Place, digest: Digest): boolean {
    return this.#fills.get(fillKey(place, digest))?.repositories.has(place.name) === true;
  }

  #fromStore(place: Place, digest: Digest, stored: StoredBlob): ProxiedBlob {
    const { store, database } = this.#options;
    const open = async () => {
      try {
        return await store.open(stored.key);
      } catch (error) {
        if (!(error instanceof BlobStoreError) || error.code !== "NotFound") throw error;
        // The key may have been replaced since it was looked up.
        const again = await findBlob(database, place.name, digest);
        if (again === undefined || again.key === stored.key) throw error;
        return store.open(again.key);
      }
    };
    return { digest, stored: true, size: stored.size, open };
  }
}

/** At its end, or as soon as it turns out wrong: whoever comes then starts anew. */
async function forgetAfter(started: RunningFill["started"], forget: () => void): Promise<void> {
  try {
    const fill = await started;
    if (!(fill instanceof Fill)) return;
    await fill.verified;
    await fill.kept;
  } catch {
    // who waits for the fill is told
  } finally {
    forget();
  }
}

const fillKey = (place: Place, digest: Digest) => `${place.upstream.origin} ${digest}`;
const askedKey = (place: Place, digest: Digest) => `${place.upstream.origin} ${place.repository} ${digest}`;
const subjectOf = (place: Place, digest: Digest) => `${place.name}@${digest}`;
const repositoryOf = (place: Place) => ({ name: place.name, upstream: place.upstream.key });
const asAcquired = (result: Fill | "missing" | "noSpace"): Acquired => (result instanceof Fill ? { fill: result } : result);

function unknown(place: Place, digest: Digest, why: string): ServiceError {
  return new ServiceError("BLOB_UNKNOWN", `blob ${digest} of ${place.name} is not cached, ${why}`, { detail: { digest } });
}
