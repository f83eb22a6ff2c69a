// The services of the team's own repositories on a real database and a real folder or bucket, without HTTP.

import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { inject } from "vitest";

import { defaultSettings } from "../../src/config/settings.ts";
import { digestOf, type Digest } from "../../src/domain/digest.ts";
import type { NameTest } from "../../src/domain/glob.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import type { Reference } from "../../src/domain/reference.ts";
import { createLogger } from "../../src/observability/logger.ts";
import type { BlobStore } from "../../src/registry/blobs/blob-store.ts";
import { FolderBlobStore } from "../../src/registry/blobs/folder-store.ts";
import type { S3Settings } from "../../src/registry/blobs/s3-settings.ts";
import { S3BlobStore } from "../../src/registry/blobs/s3-store.ts";
import type { Database } from "../../src/registry/metadata/database.ts";
import { writeGcTimes } from "../../src/registry/metadata/gc-settings.ts";
import { Collector, type CollectorOptions, type CollectorStep, type CollectorTimes } from "../../src/registry/services/deletion/collect.ts";
import type { DeletionContext } from "../../src/registry/services/deletion/image-deletion.ts";
import { OwnPull } from "../../src/registry/services/pull/own-pull.ts";
import { CollectedPullStatistics } from "../../src/registry/services/pull/pull-statistics.ts";
import type { Caller } from "../../src/registry/services/pull/pull-service.ts";
import type { BytesAllowed } from "../../src/registry/services/push/repository-limits.ts";
import { Push } from "../../src/registry/services/push/push.ts";
import { StoredContent } from "../../src/registry/services/pull/stored-content.ts";
import { View } from "../../src/registry/services/pull/view.ts";
import { CountingDatabase } from "./counting-database.ts";
import { startFaultyHop, type FaultyHop } from "./faulty-hop.ts";
import { createMigratedDatabase } from "./postgres.ts";
import { startS3Service } from "./s3-service.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** What `openOwnRegistry` stores blobs in unless it is told; the project "s3" runs the tests that matter once more. */
    blobStore?: "folder" | "s3";
  }
}

export const pusher: Caller = { identity: "user:ci", mayPush: true, revalidate: false };
export const reader: Caller = { identity: "anonymous", mayPush: false, revalidate: false };
export const unprotected = { isProtected: () => false };

const hour = 3_600_000;
export const longTimes: CollectorTimes = { lease: hour, trashFor: hour, doomDelay: hour, interval: hour, uploadAbandonedAfter: hour };
/** Everything is due as soon as nothing holds it. */
export const noTimes: CollectorTimes = { lease: 0, trashFor: 0, doomDelay: 0, interval: hour, uploadAbandonedAfter: hour };

export interface OwnRegistry {
  readonly url: string;
  readonly database: Database;
  readonly store: BlobStore;
  /** Where a folder store keeps its bytes. */
  readonly folder: string;
  /** What is between an S3 store and its service: it counts, and breaks what it is told to. */
  readonly hop: FaultyHop | undefined;
  readonly push: Push;
  readonly pull: OwnPull;
  readonly statistics: CollectedPullStatistics;
  /** Names of the statements since the last call, transactions' own ones aside. */
  statements(): string[];
  collector(times: CollectorTimes, onStepFailed?: (step: CollectorStep) => void, more?: Partial<CollectorOptions>): Collector;
  setTimes(times: CollectorTimes): Promise<void>;
  /** Rows of an ad hoc query. */
  rows<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Another pod: on the same database and bucket, with nothing in memory. (A folder has one process, so there it is the same store object.) */
  anotherPush(): Promise<Push>;
  close(): Promise<void>;
}

export async function openOwnRegistry(
  options: {
    /** By default what the project of the test says, else a folder. */
    blobStore?: "folder" | "s3";
    connections?: number;
    touchEvery?: number;
    lowWaterBytes?: number;
    sessionLimits?: { perIdentity: number; all: number };
    bytesAllowed?: BytesAllowed;
    mayMissBlobs?: NameTest;
  } = {},
): Promise<OwnRegistry> {
  const created = await createMigratedDatabase();
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-own-"));
  const database = new CountingDatabase({ url: created.url, connections: options.connections ?? 8 });
  const blobs =
    (options.blobStore ?? inject("blobStore") ?? "folder") === "s3" ? await openBucket() : await openFolder(folder, options.lowWaterBytes);
  const { store, hop } = blobs;
  const questions = database.dedicated();
  const content = new StoredContent({ database, view: new View({ database: questions }) });
  const statistics = new CollectedPullStatistics({
    database,
    onError: (error) => {
      throw error;
    },
  });
  const { touchEvery, sessionLimits, bytesAllowed, mayMissBlobs } = options;
  const pushOptions = { database, store, expireAfter: hour, touchEvery, sessionLimits, bytesAllowed, mayMissBlobs };
  return {
    folder,
    hop,
    url: created.url,
    database,
    store,
    statistics,
    push: new Push(pushOptions),
    pull: new OwnPull({ database, store, content, statistics }),
    statements: () => database.statements(),
    collector: (times, onStepFailed, more) =>
      new Collector({
        database,
        store,
        times,
        brake: defaultSettings.gc.brake,
        logger: createLogger({ level: "silent" }),
        onStepFailed,
        ...unprotected,
        ...more,
      }),
    setTimes: (times) => writeGcTimes(database, times),
    rows: (text, values) => database.rows(text, values),
    anotherPush: async () => new Push({ ...pushOptions, store: await blobs.another() }),
    close: async () => {
      await questions.close();
      await database.close();
      await blobs.close();
      await created.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What deletes an image goes by, as the composition root hands it over. */
export function deletionContext({ database, store }: OwnRegistry, more: Partial<DeletionContext> = {}): DeletionContext {
  return { database, store, logger: createLogger({ level: "silent" }), ...unprotected, ...more };
}

interface OpenedBlobs {
  readonly store: BlobStore;
  readonly hop: FaultyHop | undefined;
  another(): Promise<BlobStore>;
  close(): Promise<void>;
}

async function openFolder(folder: string, lowWaterBytes: number | undefined): Promise<OpenedBlobs> {
  const store = await FolderBlobStore.open({ folder, lowWaterBytes });
  return { store, hop: undefined, another: async () => store, close: () => store.close() };
}

async function openBucket(): Promise<OpenedBlobs> {
  const { settings, stop } = await bucket();
  const hop = await startFaultyHop(settings.endpoint ?? "");
  const opened: BlobStore[] = [];
  const another = async () => {
    const store = await S3BlobStore.open({ ...settings, endpoint: hop.url });
    opened.push(store);
    return store;
  };
  const close = async () => {
    for (const store of opened) await store.close();
    await hop.stop();
    await stop();
  };
  return { store: await another(), hop, another, close };
}

/** A place in the run's bucket, or a service of its own. */
async function bucket(): Promise<{ settings: S3Settings; stop: () => Promise<void> }> {
  const shared = inject("s3Settings");
  if (shared === undefined) return startS3Service();
  return { settings: { ...shared, prefix: `${randomUUID()}/` }, stop: async () => undefined };
}

/** A body in pieces: copies, because who receives a body may take its memory. */
export async function* bodyOf(...pieces: (Uint8Array | string)[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield Buffer.from(piece);
}

/** A body that breaks after its pieces, as when a client goes away. */
export async function* brokenBody(...pieces: (Uint8Array | string)[]): AsyncGenerator<Uint8Array> {
  yield* bodyOf(...pieces);
  throw new Error("connection lost");
}

export async function pushBlob(push: Push, repository: string, bytes: Uint8Array = randomBytes(64)): Promise<Digest> {
  const digest = digestOf(bytes);
  await push.uploadWhole(repository, pusher, { digest, length: bytes.byteLength, body: bodyOf(bytes) });
  return digest;
}

export interface Described {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

export function describe(mediaType: string, bytes: Uint8Array, digest = digestOf(bytes)): Described {
  return { mediaType, digest, size: bytes.byteLength };
}

/** The bytes of an image manifest; `more` are fields beside config and layers. */
export function imageOf(config: Described, layers: readonly Described[], more: object = {}): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers, ...more }));
}

export function indexOf(manifests: readonly Described[], more: object = {}): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests, ...more }));
}

export interface PushedImage extends Described {
  readonly bytes: Buffer;
  readonly config: Digest;
  readonly layer: Digest;
}

/** Pushes a config and a layer of random bytes and the manifest that names them. */
export async function pushImage(push: Push, repository: string, tags: readonly string[] = [], more: object = {}): Promise<PushedImage> {
  const config = randomBytes(32);
  const layer = randomBytes(128);
  await pushBlob(push, repository, config);
  await pushBlob(push, repository, layer);
  const described = [
    describe("application/vnd.oci.image.config.v1+json", config),
    describe("application/vnd.oci.image.layer.v1.tar", layer),
  ];
  const bytes = imageOf(described[0]!, [described[1]!], more);
  await pushManifest(push, repository, bytes, { tags });
  return { ...describe(mediaTypes.ociManifest, bytes), bytes, config: digestOf(config), layer: digestOf(layer) };
}

export function pushManifest(
  push: Push,
  repository: string,
  bytes: Buffer,
  options: { tags?: readonly string[]; reference?: Reference; mediaType?: string; isProtected?: (tag: string) => boolean } = {},
): Promise<{ digest: Digest; subject?: Digest }> {
  return push.putManifest(repository, pusher, {
    reference: options.reference ?? { digest: digestOf(bytes) },
    tags: options.tags ?? [],
    mediaType: options.mediaType ?? (JSON.parse(bytes.toString()) as { mediaType: string }).mediaType,
    bytes,
    isProtected: options.isProtected ?? (() => false),
  });
}

export async function readBlob(pull: OwnPull, repository: string, digest: Digest): Promise<Buffer> {
  const answer = await pull.blob(repository, digest, reader, { head: false });
  const blob = await answer.open();
  try {
    const whole = Buffer.alloc(blob.size);
    for (let position = 0; position < blob.size;) position += await blob.read(whole.subarray(position), position);
    return whole;
  } finally {
    await blob.close();
  }
}
