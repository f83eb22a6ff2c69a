// Blobs of proxied repositories: from the store when this repository has the right, else by a fill (design: upstream.md,
// "Blobs" and "The right to a cached blob").

import type { Digest } from "../../../domain/digest.ts";
import { BlobStoreError, type BlobReader, type Span } from "../../blobs/blob-store.ts";
import { findBlob, type StoredBlob } from "../../metadata/blobs.ts";
import { isForeignKeyViolation } from "../../metadata/database.ts";
import { expectedBlobSize, findBlobOfOrigin, linkProxiedBlob } from "../../metadata/proxy-blobs.ts";
import type { Priority } from "../../upstream/budget.ts";
import { UpstreamError } from "../../upstream/errors.ts";
import { AskedBlobs } from "./asked-blobs.ts";
import { ServiceError } from "../errors.ts";
import { FillStart, type FillStartOptions, type Started } from "./fill-start.ts";
import { Fill } from "./fill.ts";
import { Fills, type Asker } from "./fills.ts";
import { PassThrough } from "./pass-through.ts";
import type { BlobAnswer } from "../pull/pull-service.ts";
import { SingleFlight } from "../single-flight.ts";
import type { StoredContent } from "../pull/stored-content.ts";
import { failureOf, withFailure } from "./upstream-failure.ts";
import type { Place } from "./upstreams.ts";
import { writable, type Writability } from "../upkeep/writability.ts";

export interface ProxiedBlobsOptions extends FillStartOptions {
  readonly content: StoredContent;
  /** Blobs that are fetched from one Upstream at once; the others wait. */
  readonly maxFills?: number;
  /** Where nothing may be written, blobs are passed through. */
  readonly writability?: Writability;
}

export interface BlobRequest {
  readonly head: boolean;
  readonly priority: Priority;
  /** Whose turn it takes where places are few; those who do not say share one. */
  readonly sender?: string;
  readonly gone?: AbortSignal;
}

export interface ProxiedBlob extends BlobAnswer {
  /** False: upstream had to be asked for it. */
  readonly stored: boolean;
}

/** How a blob that was not stored can be had now. */
type Acquired = { readonly fill: Fill } | { readonly stored: StoredBlob } | "missing" | "noSpace";

export class ProxiedBlobs {
  readonly #options: ProxiedBlobsOptions;
  readonly #asked = new AskedBlobs();
  readonly #start: FillStart;
  readonly #fills: Fills;
  readonly #acquiring = new SingleFlight<Acquired>();

  constructor(options: ProxiedBlobsOptions) {
    this.#options = options;
    this.#start = new FillStart(options);
    this.#fills = new Fills({ ...options, asked: this.#asked, start: this.#start });
  }

  /** Rejects with ServiceError. A cold `head` costs one HEAD upstream. `gone`: nobody waits for the answer any more. */
  async blob(place: Place, digest: Digest, options: BlobRequest): Promise<ProxiedBlob> {
    const { head, priority, sender = "", gone } = options;
    const asker = { priority, sender };
    const stored = await this.#options.content.blob(place.name, digest);
    if (stored !== undefined) return this.#fromStore(place, digest, stored, priority);
    const subject = subjectOf(place, digest);
    if (this.#fills.joined(place, digest)) return withFailure(subject, this.#get(place, digest, asker, gone));
    if (place.upstream.offline) throw unknown(place, digest, "and its upstream is configured offline");
    const { writability = writable } = this.#options;
    const keeps = place.upstream.cache.keeps && (await writability.refusal("Add")) === undefined;
    if (!keeps) return withFailure(subject, this.#passThrough(place, digest, priority));
    return withFailure(subject, head ? this.#head(place, digest, priority) : this.#get(place, digest, asker, gone));
  }

  /** Brings the blob in and waits until it is stored. Its size, or undefined when upstream does not have it. Rejects with ServiceError. */
  async ensure(place: Place, digest: Digest, priority: Priority): Promise<number | undefined> {
    const stored = await findBlob(this.#options.database, place.name, digest);
    if (stored !== undefined) return stored.size;
    if (place.upstream.offline) return undefined;
    const refused = await this.#options.writability?.refusal("Add");
    if (refused !== undefined) throw refused;
    const acquired = await withFailure(subjectOf(place, digest), this.#acquire(place, digest, { priority, sender: "" }));
    if (acquired === "missing") return undefined;
    if (acquired === "noSpace")
      throw new ServiceError("INSUFFICIENT_STORAGE", "there is no space left to copy images; free some and try again");
    if ("stored" in acquired) return acquired.stored.size;
    const { fill } = acquired;
    const [size] = await withFailure(subjectOf(place, digest), Promise.all([fill.whole(), fill.kept]));
    return size;
  }

  /** Ends running fills; their readers fail. Resolves when nothing is written any more. */
  close(): Promise<void> {
    return this.#fills.close();
  }

  async #get(place: Place, digest: Digest, asker: Asker, gone: AbortSignal | undefined): Promise<ProxiedBlob> {
    const { priority } = asker;
    const acquired = await this.#acquire(place, digest, asker);
    if (acquired === "missing") throw unknown(place, digest, "and upstream does not have it");
    if (acquired === "noSpace") return this.#passThrough(place, digest, priority);
    if ("stored" in acquired) return this.#fromStore(place, digest, acquired.stored, priority);
    const { fill } = acquired;
    return {
      digest,
      stored: false,
      // Of an empty blob nobody reads a byte that could be refused: it must be right before the answer.
      size: fill.size === undefined || fill.size === 0 ? await fill.whole(gone) : fill.size,
      open: async (span) => (fill.isReadable ? fill.reader() : (await this.blob(place, digest, { head: false, ...asker })).open(span)),
    };
  }

  async #head(place: Place, digest: Digest, priority: Priority): Promise<ProxiedBlob> {
    const found = await this.#asked.ask(place, digest, priority);
    if (found === undefined) throw unknown(place, digest, "and upstream does not have it");
    const size = found.size ?? (await expectedBlobSize(this.#options.database, place.name, digest));
    if (size === undefined) throw new UpstreamError("UnexpectedAnswer", `${place.upstream.host} does not say how large the blob is`);
    return { digest, stored: false, size, open: async (span) => (await this.blob(place, digest, { head: false, priority })).open(span) };
  }

  async #passThrough(place: Place, digest: Digest, priority: Priority): Promise<ProxiedBlob> {
    const { size } = await this.#head(place, digest, priority);
    const failure = (error: unknown) => failureOf(error, subjectOf(place, digest));
    const download = (from: number) => this.#start.transfer(place, digest, from, priority);
    return { digest, stored: false, size, open: () => Promise.resolve(new PassThrough({ digest, size, download, failure })) };
  }

  #acquire(place: Place, digest: Digest, asker: Asker): Promise<Acquired> {
    return this.#acquiring.run(`${place.name} ${digest}`, async () => {
      const running = await this.#fills.join(place, digest, asker);
      if (running !== undefined) return asAcquired(running);
      // A fill runs until its commit: what does not run any more, the database has.
      const stored = await findBlob(this.#options.database, place.name, digest);
      if (stored !== undefined) return { stored };
      const linked = await this.#link(place, digest, asker.priority);
      if (linked !== undefined) return linked;
      return asAcquired(await this.#fills.start(place, digest, asker));
    });
  }

  /** Bytes that came from the same origin before, when that origin answers for this repository with the same size. */
  async #link(place: Place, digest: Digest, priority: Priority): Promise<Acquired | undefined> {
    const { database } = this.#options;
    const before = await findBlobOfOrigin(database, place.upstream.origin, digest);
    if (before === undefined) return undefined;
    const found = await this.#asked.ask(place, digest, priority);
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

  #fromStore(place: Place, digest: Digest, stored: StoredBlob, priority: Priority): ProxiedBlob {
    const { store, content } = this.#options;
    const open = async (span?: Span): Promise<BlobReader> => {
      try {
        return await store.open(stored.key, span);
      } catch (error) {
        if (!(error instanceof BlobStoreError) || error.code !== "NotFound") throw error;
        // It may have been collected since it was looked up, and fetched again under another key.
        const again = await content.blobAgain(place.name, digest);
        if (again === undefined) return (await this.blob(place, digest, { head: false, priority })).open(span);
        if (again.key === stored.key) throw error;
        return store.open(again.key, span);
      }
    };
    return { digest, stored: true, size: stored.size, open };
  }
}

const subjectOf = (place: Place, digest: Digest) => `${place.name}@${digest}`;
const repositoryOf = (place: Place) => ({ name: place.name, upstream: place.upstream.key });
const asAcquired = (result: Started): Acquired => (result instanceof Fill ? { fill: result } : result);

function unknown(place: Place, digest: Digest, why: string): ServiceError {
  return new ServiceError("BLOB_UNKNOWN", `blob ${digest} of ${place.name} is not cached, ${why}`, { detail: { digest } });
}
