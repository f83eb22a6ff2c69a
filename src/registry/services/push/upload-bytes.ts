// The bytes of a session and their running hash. The process that wrote last keeps the hash, so that nobody reads bytes twice; a session that
// moves to another process is read again once, and from then on its hash moves with it.

import { failpoint } from "#failpoints";

import { LRUCache } from "lru-cache";

import { algorithmOf, digestOf, type Digest, type DigestAlgorithm } from "../../../domain/digest.ts";
import { BlobStoreError, type BlobStore, type BlobWriter } from "../../blobs/blob-store.ts";
import type { Database } from "../../metadata/database.ts";
import { announceUpload, cancelUpload, keepHashState, reshapeUpload, type Upload } from "../../metadata/uploads.ts";
import { givenUp } from "./commit-blob.ts";
import type { Body } from "./push-service.ts";
import { receive, type Destination, type Interruption, type Received } from "./receive.ts";
import { readTooOften } from "./upload-failures.ts";
import type { UploadRoom } from "./upload-room.ts";
import { ExportableHash, ProcessHash, type UploadHash } from "./upload-hash.ts";

/** Hashes of sessions between two requests; one that fell out is made again by reading the bytes once. */
const rememberedHashes = 10_000;
/** Times that requests which end a session may have its bytes read again, on one pod: a client that comes again needs none more. */
const mostRereads = 3;

/** One request that writes to a session which it has taken over. */
export interface Writing {
  readonly upload: Upload;
  readonly writer: string;
  readonly interruption: Interruption;
  readonly room: UploadRoom;
  /** Aborted when the client left. */
  readonly gone: AbortSignal | undefined;
  /** How the store goes on; null while no byte is durable. */
  suspended: string | null;
  /** Keys were announced, by this request or an earlier one. */
  announced: boolean;
}

interface Remembered {
  readonly offset: number;
  readonly hash: ProcessHash;
}

/** What one request adds. */
export interface AddedBytes {
  readonly body: Body;
  readonly algorithm: DigestAlgorithm;
  /** Bytes that the client announced. */
  readonly length: number | undefined;
  /** More will follow in other requests. */
  readonly goesOn: boolean;
}

export class UploadBytes {
  readonly #database: Database;
  readonly #store: BlobStore;
  /** By session and algorithm: a PUT may name another one than the session began with. */
  readonly #hashes = new LRUCache<string, Remembered>({ max: rememberedHashes });
  /** By session. */
  readonly #rereads = new LRUCache<string, number>({ max: rememberedHashes });

  constructor(options: { readonly database: Database; readonly store: BlobStore }) {
    this.#database = options.database;
    this.#store = options.store;
  }

  receive(writing: Writing, added: AddedBytes): Promise<Received<UploadHash>> {
    const { interruption, room } = writing;
    return receive({ body: added.body, interruption, open: () => this.#open(writing, added), grow: (bytes) => room.grow(bytes) });
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
  async digest(writing: Writing, destination: Destination<UploadHash> | undefined, algorithm: DigestAlgorithm): Promise<Digest> {
    if (destination !== undefined) return destination.hash.digest();
    const { upload, suspended } = writing;
    if (suspended === null) return digestOf("", algorithm);
    if (upload.prefixDigest !== null && algorithmOf(upload.prefixDigest) === algorithm) return upload.prefixDigest;
    return (await this.#hashOfPrefix(writing, { algorithm, goesOn: false })).digest();
  }

  /** For the next request on the session. */
  remember({ upload }: Writing, { writer, hash }: Destination<UploadHash>): void {
    if (hash instanceof ProcessHash) this.#hashes.set(named(upload.id, hash.algorithm), { offset: writer.offset, hash });
    else this.#hashes.delete(named(upload.id, upload.algorithm));
  }

  forget(id: string): void {
    for (const algorithm of ["sha256", "sha512"] as const) this.#hashes.delete(named(id, algorithm));
    this.#rereads.delete(id);
  }

  async #open(writing: Writing, added: AddedBytes): Promise<Destination<UploadHash>> {
    const hash = await this.#hashOfPrefix(writing, added);
    return { writer: await this.writer(writing, added.length), hash };
  }

  async #announce(writing: Writing, key: string): Promise<void> {
    const { upload, writer } = writing;
    if (!(await announceUpload(this.#database, { id: upload.id, writer, key }))) throw givenUp();
    writing.announced = true;
    await failpoint("U1.announced");
  }

  async #hashOfPrefix(
    writing: Writing,
    { algorithm, goesOn }: { readonly algorithm: DigestAlgorithm; readonly goesOn: boolean },
  ): Promise<UploadHash> {
    const { id, offset, prefixDigest, hashState } = writing.upload;
    if (writing.suspended === null) return new ProcessHash(algorithm);
    const remembered = this.#hashes.get(named(id, algorithm));
    if (remembered?.offset === offset) return remembered.hash.copy();
    if (hashState !== null && prefixDigest !== null && algorithmOf(prefixDigest) === algorithm) {
      const restored = await ExportableHash.restore(algorithm, hashState, prefixDigest);
      if (restored !== undefined) return restored;
    }
    if (goesOn) {
      const hash = await ExportableHash.start(algorithm);
      await this.#reread(writing, hash);
      return hash;
    }
    // Who ends the session now leaves no state to go on with: the faster hash reads it. Kept, since the request may fail and come again.
    await this.#countReread(writing);
    const hash = new ProcessHash(algorithm);
    await this.#reread(writing, hash);
    this.#hashes.set(named(id, algorithm), { offset, hash: hash.copy() });
    return hash;
  }

  /** A byte is enough to ask for it, and the session may have gigabytes: ends one that is asked of too often. */
  async #countReread({ upload: { id, repository }, writer }: Writing): Promise<void> {
    const count = (this.#rereads.get(id) ?? 0) + 1;
    this.#rereads.set(id, count);
    if (count <= mostRereads) return;
    await cancelUpload(this.#database, repository, id, writer);
    this.forget(id);
    throw readTooOften();
  }

  async #reread(writing: Writing, hash: UploadHash): Promise<void> {
    const { upload, writer, suspended: state } = writing;
    if (state === null) return;
    const { id, offset, prefixDigest } = upload;
    const { suspended, bytes } = await this.#store.reread({ offset, state }, (key) => this.#announce(writing, key));
    // Before the bytes are read, which may take long: the shape that the row tells of is gone.
    if (suspended.state !== state && !(await reshapeUpload(this.#database, { id, writer }, suspended.state))) throw givenUp();
    writing.suspended = suspended.state;
    await failpoint("session.reshaped");
    for await (const piece of bytes) {
      if (writing.gone?.aborted === true) throw new Error("The client left while its upload was read again");
      hash.update(piece);
    }
    const digest = hash.digest();
    if (prefixDigest === null || algorithmOf(prefixDigest) !== algorithmOf(digest)) return;
    // A writer that had lost the session may have completed an upload of the store with bytes of its own.
    if (prefixDigest !== digest) throw new BlobStoreError("NotFound", "The bytes of this upload are not those that were taken.");
    const saved = hash.save();
    if (saved !== null) await keepHashState(this.#database, { id, prefixDigest }, saved);
  }
}

function named(id: string, algorithm: DigestAlgorithm): string {
  return `${id} ${algorithm}`;
}
