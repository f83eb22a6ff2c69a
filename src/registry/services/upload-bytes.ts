// The bytes of a session and their running hash. The process that wrote last keeps the hash, so that nobody reads bytes twice.

import type { Hash } from "node:crypto";

import { LRUCache } from "lru-cache";

import { algorithmOf, digestOf, finishDigest, startDigest, type Digest, type DigestAlgorithm } from "../../domain/digest.ts";
import { BlobStoreError, type BlobStore, type BlobWriter } from "../blobs/blob-store.ts";
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
  /** Known once the first byte came, or when an earlier request had one. */
  key: string | undefined;
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

  receive(writing: Writing, body: Body, algorithm: DigestAlgorithm): Promise<Received> {
    return receive({ body, interruption: writing.interruption, open: () => this.#open(writing, algorithm) });
  }

  /** The writer of a session that gets no more bytes. */
  async writer(writing: Writing): Promise<BlobWriter> {
    return writing.key === undefined ? this.#create(writing) : this.#resume(writing.key, writing.upload.offset);
  }

  /** Of everything so far; `destination`: what this request wrote. */
  async digest(writing: Writing, destination: Destination | undefined, algorithm: DigestAlgorithm): Promise<Digest> {
    if (destination !== undefined) return finishDigest(destination.hash, algorithm);
    const { upload, key } = writing;
    if (key === undefined) return digestOf("", algorithm);
    if (upload.prefixDigest !== null && algorithmOf(upload.prefixDigest) === algorithm) return upload.prefixDigest;
    return finishDigest(await this.#hashOfPrefix(upload, key, algorithm), algorithm);
  }

  /** For the next request on the session. */
  remember({ upload }: Writing, { writer, hash }: Destination): void {
    this.#hashes.set(upload.id, { algorithm: upload.algorithm, offset: writer.offset, hash });
  }

  forget(id: string): void {
    this.#hashes.delete(id);
  }

  async #open(writing: Writing, algorithm: DigestAlgorithm): Promise<Destination> {
    const { upload, key } = writing;
    const hash = key === undefined ? startDigest(algorithm) : await this.#hashOfPrefix(upload, key, algorithm);
    return { writer: await this.writer(writing), hash };
  }

  /** An announced key may have no bytes yet: the disk was full, or the process died in between. */
  async #resume(key: string, offset: number): Promise<BlobWriter> {
    try {
      return await this.#store.resume(key, offset);
    } catch (error) {
      if (offset === 0 && error instanceof BlobStoreError && error.code === "NotFound") return this.#store.create(key);
      throw error;
    }
  }

  /** U1, at the first byte. */
  async #create(writing: Writing): Promise<BlobWriter> {
    const key = this.#store.newKey();
    if (!(await announceUpload(this.#database, { id: writing.upload.id, writer: writing.writer, key }))) throw givenUp();
    writing.key = key;
    return this.#store.create(key);
  }

  async #hashOfPrefix(upload: Upload, key: string, algorithm: DigestAlgorithm): Promise<Hash> {
    const remembered = this.#hashes.get(upload.id);
    if (remembered?.offset === upload.offset && remembered.algorithm === algorithm) return remembered.hash.copy();
    const hash = startDigest(algorithm);
    if (upload.offset === 0) return hash;
    for await (const piece of this.#store.readUnfinished(key, upload.offset)) hash.update(piece);
    return hash;
  }
}
