// The bytes of a session and their running hash. The process that wrote last keeps the hash, so that nobody reads bytes twice.

import { failpoint } from "#failpoints";

import type { Hash } from "node:crypto";

import { LRUCache } from "lru-cache";

import { algorithmOf, digestOf, finishDigest, startDigest, type Digest, type DigestAlgorithm } from "../../domain/digest.ts";
import type { BlobStore, BlobWriter } from "../blobs/blob-store.ts";
import type { Database } from "../metadata/database.ts";
import { announceUpload, type Upload } from "../metadata/uploads.ts";
import { givenUp } from "./commit-blob.ts";
import type { Body } from "./push-service.ts";
import { receive, type Destination, type Interruption, type Received } from "./receive.ts";

/** Hashes of sessions between two requests; one that fell out is made again by reading the bytes once. */
const rememberedHashes = 10_000;

/** One request that writes to a session which it has taken over. */
export interface Writing {
  readonly upload: Upload;
  readonly writer: string;
  readonly interruption: Interruption;
  /** How the store goes on; null while no byte is durable. */
  suspended: string | null;
  /** Keys were announced, by this request or an earlier one. */
  announced: boolean;
}

interface Remembered {
  readonly algorithm: DigestAlgorithm;
  readonly offset: number;
  readonly hash: Hash;
}

export class UploadBytes {
  readonly #database: Database;
  readonly #store: BlobStore;
  readonly #hashes = new LRUCache<string, Remembered>({ max: rememberedHashes });

  constructor(options: { readonly database: Database; readonly store: BlobStore }) {
    this.#database = options.database;
    this.#store = options.store;
  }

  /** `bytes`: how many the client announced. */
  receive(writing: Writing, body: Body, algorithm: DigestAlgorithm, bytes: number | undefined): Promise<Received> {
    return receive({ body, interruption: writing.interruption, open: () => this.#open(writing, algorithm, bytes) });
  }

  /** The writer of a session; `bytes`: how many more come. */
  async writer(writing: Writing, bytes?: number): Promise<BlobWriter> {
    const { upload, suspended } = writing;
    const announce = (key: string) => this.#announce(writing, key);
    if (suspended === null) return this.#store.create(announce, bytes === undefined ? {} : { bytes });
    const writer = await this.#store.resume({ offset: upload.offset, state: suspended }, announce);
    await failpoint("session.resumed");
    return writer;
  }

  /** Of everything so far; `destination`: what this request wrote. */
  async digest(writing: Writing, destination: Destination | undefined, algorithm: DigestAlgorithm): Promise<Digest> {
    if (destination !== undefined) return finishDigest(destination.hash, algorithm);
    const { upload, suspended } = writing;
    if (suspended === null) return digestOf("", algorithm);
    if (upload.prefixDigest !== null && algorithmOf(upload.prefixDigest) === algorithm) return upload.prefixDigest;
    return finishDigest(await this.#hashOfPrefix(writing, algorithm), algorithm);
  }

  /** For the next request on the session. */
  remember({ upload }: Writing, { writer, hash }: Destination): void {
    this.#hashes.set(upload.id, { algorithm: upload.algorithm, offset: writer.offset, hash });
  }

  forget(id: string): void {
    this.#hashes.delete(id);
  }

  async #open(writing: Writing, algorithm: DigestAlgorithm, bytes: number | undefined): Promise<Destination> {
    const hash = await this.#hashOfPrefix(writing, algorithm);
    return { writer: await this.writer(writing, bytes), hash };
  }

  /** U1, at the first byte. */
  async #announce(writing: Writing, key: string): Promise<void> {
    if (!(await announceUpload(this.#database, { id: writing.upload.id, writer: writing.writer, key }))) throw givenUp();
    writing.announced = true;
    await failpoint("U1.announced");
  }

  async #hashOfPrefix(writing: Writing, algorithm: DigestAlgorithm): Promise<Hash> {
    const { upload, suspended: state } = writing;
    const { offset } = upload;
    const remembered = this.#hashes.get(upload.id);
    if (remembered?.offset === offset && remembered.algorithm === algorithm) return remembered.hash.copy();
    const hash = startDigest(algorithm);
    if (state === null) return hash;
    const { suspended, bytes } = await this.#store.reread({ offset, state }, (key) => this.#announce(writing, key));
    for await (const piece of bytes) hash.update(piece);
    writing.suspended = suspended.state;
    return hash;
  }
}
