// Blobs in a bucket of AWS S3 or a service that speaks its protocol, for any number of processes (storage.md, "Uploads").
// Relies on reading what was written and on multipart uploads, on nothing newer: no conditional writes, no listing in normal work.

import { randomUUID } from "node:crypto";

import { LRUCache } from "lru-cache";

import { algorithmOf, finishDigest, startDigest, type Digest } from "../../domain/digest.ts";
import { isUuid } from "../../domain/uuid.ts";
import { freeBytesOf } from "../../observability/free-bytes.ts";
import {
  BlobStoreError,
  type Announce,
  type BlobReader,
  type BlobStore,
  type BlobWriter,
  type Span,
  type SuspendedAt,
} from "./blob-store.ts";
import { PartMemory } from "./part-memory.ts";
import { ReadPlaces } from "./read-places.ts";
import { smallestPart } from "./part-size.ts";
import { readWhole } from "./read-whole.ts";
import { connectS3, type S3 } from "./s3-client.ts";
import { S3NamedObjects } from "./s3-named.ts";
import { S3Objects } from "./s3-objects.ts";
import { fromBegin, S3Reader, type Get } from "./s3-reader.ts";
import { linkMaker, type Link } from "./s3-link.ts";
import { listObjects, listUploads } from "./s3-listing.ts";
import { removeFromS3 } from "./s3-removal.ts";
import type { S3Settings } from "./s3-settings.ts";
import { askBucket, requireRights } from "./s3-start.ts";
import { formatState, parseState, type S3State } from "./s3-state.ts";
import { S3Writer } from "./s3-writer.ts";
import { spooled } from "./spool.ts";

const gatherAttempts = 3;
/** Tails of suspended uploads stay in memory for the empty PUT that docker sends next. */
const tailMemory = { maxSize: 64 * 1024 * 1024, ttl: 60_000 };

export class S3BlobStore implements BlobStore {
  readonly named: S3NamedObjects;
  readonly #s3: S3;
  readonly #objects: S3Objects;
  readonly #reading: S3;
  readonly #downloads: S3Objects;
  readonly #places: ReadPlaces;
  readonly #memory: PartMemory;
  readonly #settings: S3Settings;
  readonly #spoolFolder: string;
  readonly #tails = new LRUCache<string, Buffer>({ ...tailMemory, sizeCalculation: ({ byteLength }) => byteLength || 1 });

  readonly #link: Link | undefined;

  private constructor(s3: S3, reading: S3, settings: S3Settings, link: Link | undefined) {
    this.#link = link;
    this.#s3 = s3;
    this.#reading = reading;
    this.#downloads = new S3Objects(reading, "blobs/");
    this.#places = new ReadPlaces(connectionsOf(settings).downloads);
    this.#objects = new S3Objects(s3, "blobs/");
    this.named = new S3NamedObjects(s3);
    this.#memory = new PartMemory(settings.partMemory);
    this.#settings = settings;
    this.#spoolFolder = settings.spoolFolder;
  }

  /** Rejects with Obstacle when the bucket cannot be reached, is missing, or refuses the credentials. */
  static async open(settings: S3Settings): Promise<S3BlobStore> {
    const { downloads, others } = connectionsOf(settings);
    const s3 = await connectS3({ ...settings, connections: others });
    try {
      await askBucket(s3, settings);
    } catch (error) {
      s3.client.destroy();
      throw error;
    }
    const reading = await connectS3({ ...settings, connections: downloads });
    return new S3BlobStore(s3, reading, settings, await linkMaker(settings));
  }

  /** Rejects with Obstacle that names what the credentials may not do; s3:PutObject shows when the marker is written. */
  requireRights(needs: { readonly readOnly: boolean }): Promise<void> {
    return requireRights(this.#s3, this.#settings, needs);
  }

  async create(announce: Announce, options: { readonly bytes?: number } = {}): Promise<BlobWriter> {
    return this.#writer({ announce, ...options });
  }

  async createReadable(
    announce: Announce,
    options: { readonly bytes?: number } = {},
  ): Promise<{ writer: BlobWriter; written: BlobReader }> {
    return spooled(this.#writer({ announce, ...options }), this.#spoolFolder);
  }

  async resume(suspended: SuspendedAt, announce: Announce): Promise<BlobWriter> {
    return this.#writer({ announce, from: parseState(suspended) });
  }

  /** Parts cannot be read before their upload is completed; it goes on as an object that a new upload begins with. */
  async reread(suspended: SuspendedAt, announce: Announce): Promise<{ suspended: SuspendedAt; bytes: AsyncIterable<Uint8Array> }> {
    const state = parseState(suspended);
    if (state.upload === undefined) return { suspended, bytes: this.#bytesOfTail(state.tail) };
    const whole = await this.#gathered(state, announce);
    return { suspended: { offset: state.offset, state: formatState(whole) }, bytes: this.#bytesOf(whole.tail?.key) };
  }

  async link(key: string): Promise<string | undefined> {
    return this.#link?.(checked(key));
  }

  async open(key: string, span?: Span): Promise<BlobReader> {
    const get: Get = (from, etag) => this.#downloads.get(checked(key), from, etag);
    const place = this.#places.place();
    await place.take();
    try {
      return new S3Reader(get, await get(span ?? fromBegin), { place, span });
    } catch (error) {
      place.give();
      throw error;
    }
  }

  async delete(keys: readonly string[], sizes?: ReadonlyMap<string, number>): Promise<ReadonlyMap<string, Error | undefined>> {
    const ours = keys.filter((key) => isUuid(key));
    const removed = await removeFromS3(this.#s3, this.#objects, ours, sizes);
    return new Map(keys.map((key) => [key, isUuid(key) ? removed.get(key) : notAKey()]));
  }

  async *list(): AsyncGenerator<{ key: string; size: number; modified: Date; finished: boolean }> {
    const folder = `${this.#s3.prefix}blobs/`;
    for await (const page of listUploads(this.#s3, folder)) {
      for (const { Key = "", Initiated = new Date(0) } of page) {
        const key = Key.slice(folder.length);
        if (isUuid(key)) yield { key, size: 0, modified: Initiated, finished: false };
      }
    }
    for await (const page of listObjects(this.#s3, folder)) {
      for (const { Key = "", Size = 0, LastModified = new Date(0) } of page) {
        const key = Key.slice(folder.length);
        if (isUuid(key)) yield { key, size: Size, modified: LastModified, finished: true };
      }
    }
  }

  async freeBytes(): Promise<undefined> {
    return undefined;
  }

  freeSpoolBytes(): Promise<number> {
    return freeBytesOf(this.#spoolFolder);
  }

  async close(): Promise<void> {
    this.#s3.client.destroy();
    this.#s3.patient.destroy();
    this.#reading.client.destroy();
    this.#reading.patient.destroy();
  }

  #writer(options: { announce: Announce; bytes?: number; from?: S3State }): S3Writer {
    return new S3Writer({
      ...options,
      objects: this.#objects,
      memory: this.#memory,
      spoolFolder: this.#spoolFolder,
      newKey: randomUUID,
      read: (key) => this.#bytesOf(key),
      isKnown: (key) => this.#tails.has(key),
      holds: (key, digest) => this.#holds(key, digest),
      keepTail: (key, bytes) => void this.#tails.set(key, Buffer.from(bytes)),
    });
  }

  /** Again when it was disturbed: a writer that lost the session, and does not know, may put its part over the last one here, but only once. */
  async #gathered(from: S3State, announce: Announce): Promise<S3State> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#writer({ announce, from }).gather();
      } catch (error) {
        if (attempt === gatherAttempts || !(error instanceof BlobStoreError) || error.code !== "NotFound") throw error;
      }
    }
  }

  async #holds(key: string, digest: Digest): Promise<boolean> {
    const hash = startDigest(algorithmOf(digest));
    try {
      for await (const piece of this.#bytesOf(key)) hash.update(piece);
    } catch (error) {
      if (error instanceof BlobStoreError && error.code === "NotFound") return false;
      throw error;
    }
    return finishDigest(hash, algorithmOf(digest)) === digest;
  }

  /** Kept when it is small: whoever reads a write again goes on with it. */
  async *#bytesOfTail(tail: S3State["tail"]): AsyncGenerator<Uint8Array> {
    if (tail === undefined || tail.size >= smallestPart) return yield* this.#bytesOf(tail?.key);
    const pieces: Uint8Array[] = [];
    for await (const piece of this.#bytesOf(tail.key)) pieces.push(piece);
    const whole = Buffer.concat(pieces);
    this.#tails.set(tail.key, whole);
    yield whole;
  }

  async *#bytesOf(key: string | undefined): AsyncGenerator<Uint8Array> {
    if (key === undefined) return;
    const known = this.#tails.get(key);
    if (known !== undefined) return yield known;
    // Not with the downloads: an upload that goes on must not wait for those who read.
    const get: Get = (from, etag) => this.#objects.get(key, from, etag);
    yield* readWhole(new S3Reader(get, await get(fromBegin)));
  }
}

/** Clients decide how long a download takes: what pushes, deletes and the marker need is kept from them. */
function connectionsOf({ connections }: S3Settings): { readonly downloads: number; readonly others: number } {
  const downloads = Math.max(1, Math.floor(connections * 0.75));
  return { downloads, others: Math.max(1, connections - downloads) };
}

function checked(key: string): string {
  if (!isUuid(key)) throw notAKey();
  return key;
}

function notAKey(): BlobStoreError {
  return new BlobStoreError("Failed", "A key of the bucket is a uuid.");
}
