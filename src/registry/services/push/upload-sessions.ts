// Upload sessions: POST, PATCH, PUT, GET, DELETE of the distribution spec, "Pushing blobs" (storage.md, "Uploads").
// The row says how far a session is and who writes to it.

import { failpoint } from "#failpoints";

import { randomUUID } from "node:crypto";

import { admin, describeIdentity } from "../../../domain/identity.ts";
import { algorithmOf, type Digest, type DigestAlgorithm } from "../../../domain/digest.ts";
import { prefixOf } from "../../../domain/reference.ts";
import { isUuid } from "../../../domain/uuid.ts";
import { BlobStoreError, type BlobStore } from "../../blobs/blob-store.ts";
import { claimBlob } from "../../metadata/blobs.ts";
import type { Database } from "../../metadata/database.ts";
import { findPrefix } from "../../metadata/repositories.ts";
import {
  abandonLeftovers,
  advanceUpload,
  cancelUpload,
  findUpload,
  finishUpload,
  insertUpload,
  takeUpload,
  touchUpload,
  type Upload,
} from "../../metadata/uploads.ts";
import { commitBlob, givenUp } from "./commit-blob.ts";
import { ServiceError } from "../errors.ts";
import { heartbeat } from "../upkeep/heartbeat.ts";
import { belongsToUpstream, ensureOwnRepository } from "./own-repository.ts";
import type { Caller } from "../pull/pull-service.ts";
import type { Body, UploadStatus } from "./push-service.ts";
import { refuseGrowth, unlimited, type BytesAllowed } from "./repository-limits.ts";
import { storeFailure, type Destination, type Interruption, type Received } from "./receive.ts";
import { UploadBytes, type Writing } from "./upload-bytes.ts";
import type { UploadHash } from "./upload-hash.ts";
import type { UploadRooms } from "./upload-room.ts";
import { cancelled, outOfOrder, takenOver, tooMany, wrongDigest } from "./upload-failures.ts";
import { UploadTurns } from "./upload-turns.ts";

const adminIdentity = describeIdentity(admin);
const takeoverAttempts = 5;
/** Open sessions that one identity, and all together, may have: who never sends a byte should cost a bounded number of rows. */
const sessionLimits = { perIdentity: 1000, all: 10_000 };
/** Seconds for the first byte of a session; Kaniko and others open some only to see whether they may. */
const expireEmptySeconds = 600;

export interface UploadSessionsOptions {
  readonly database: Database;
  readonly store: BlobStore;
  /** Milliseconds after which a session that nobody writes to expires. */
  readonly expireAfter: number;
  /** Milliseconds between two signs of life of a request that writes. */
  readonly touchEvery?: number;
  readonly sessionLimits?: typeof sessionLimits;
  readonly bytesAllowed?: BytesAllowed;
  readonly rooms: UploadRooms;
}

export interface Addition {
  /** First byte by Content-Range; undefined: wherever the session is. */
  readonly start?: number;
  /** Bytes that the client announced. */
  readonly length?: number;
  readonly body: Body;
  /** Aborted when the client left. */
  readonly gone?: AbortSignal;
}

export class UploadSessions {
  readonly #database: Database;
  readonly #expireSeconds: number;
  readonly #expireEmptySeconds: number;
  readonly #touchEvery: number | undefined;
  readonly #limits: typeof sessionLimits;
  readonly #bytesAllowed: BytesAllowed;
  readonly #rooms: UploadRooms;
  readonly #bytes: UploadBytes;
  readonly #turns = new UploadTurns();

  constructor(options: UploadSessionsOptions) {
    this.#database = options.database;
    this.#bytes = new UploadBytes(options);
    this.#expireSeconds = options.expireAfter / 1000;
    this.#expireEmptySeconds = Math.min(expireEmptySeconds, this.#expireSeconds);
    this.#touchEvery = options.touchEvery;
    this.#limits = options.sessionLimits ?? sessionLimits;
    this.#bytesAllowed = options.bytesAllowed ?? unlimited;
    this.#rooms = options.rooms;
  }

  /** Rejects with UNSUPPORTED, TOOMANYREQUESTS when too many sessions are open, or DENIED when the repository is full. */
  async start(repository: string, caller: Caller, algorithm: DigestAlgorithm): Promise<UploadStatus> {
    await this.#requireRoom(repository);
    const id = randomUUID();
    const prefix = prefixOf(repository);
    const limits = this.#limits;
    const row = { id, repository, prefix, identity: caller.identity, algorithm, expireSeconds: this.#expireEmptySeconds, limits };
    switch (await insertUpload(this.#database, row)) {
      case "Inserted":
        return { id, offset: 0 };
      case "OfUpstream":
        throw belongsToUpstream(repository, (await findPrefix(this.#database, prefix)) ?? { kind: "proxied", upstream: null });
      case "IdentityIsFull":
        throw tooMany(
          `You have ${limits.perIdentity} uploads open, the most there may be. Complete or cancel some, or wait until they expire.`,
        );
      case "IsFull":
        throw tooMany(`There are ${limits.all} uploads open, the most there may be. Try again later.`);
    }
  }

  /** Throws DENIED for a repository that can take no byte. */
  async #requireRoom(repository: string): Promise<void> {
    const room = this.#rooms.begin({ repository });
    try {
      await room.require(1);
    } finally {
      room.end();
    }
  }

  /** Only who began a session, or the installation's admin, learns anything about it. */
  async status(repository: string, id: string, caller: Caller): Promise<UploadStatus> {
    const { offset } = await this.#findFor(repository, id, caller);
    return { id, offset };
  }

  /** PATCH. What arrived before a body broke counts; a body that is shorter than announced does not. */
  async append(repository: string, id: string, caller: Caller, addition: Addition): Promise<UploadStatus> {
    return this.#alone(repository, id, caller, addition, async (writing) => {
      const { body, length } = addition;
      const received = await this.#bytes.receive(writing, { body, length, algorithm: writing.upload.algorithm, goesOn: true });
      const { destination, broken } = received;
      if (destination === undefined) {
        if (broken !== undefined) throw broken;
        refuseLength(addition.length, received);
        return { id, offset: writing.upload.offset };
      }
      try {
        if (broken !== undefined && writing.interruption.reason !== undefined) throw broken;
        if (broken === undefined) refuseLength(addition.length, received);
        const offset = await this.#advance(writing, destination);
        if (broken !== undefined) throw broken;
        return { id, offset };
      } catch (error) {
        throw storeFailure(error);
      } finally {
        await destination.writer.close();
      }
    });
  }

  /** PUT: the last bytes, the digest, U2. A session that is gone is done when the repository has the digest: the first answer got lost. */
  async complete(repository: string, id: string, caller: Caller, addition: Addition & { readonly digest: Digest }): Promise<void> {
    try {
      await this.#alone(repository, id, caller, addition, (writing) => this.#complete(repository, writing, addition));
    } catch (error) {
      if (!isGone(error)) throw error;
      if ((await claimBlob(this.#database, repository, addition.digest)) === undefined) throw error;
    }
    this.#bytes.forget(id);
  }

  async cancel(repository: string, id: string, caller: Caller): Promise<void> {
    await this.#findFor(repository, id, caller);
    await failpoint("session.cancelling");
    await this.#turns.interrupt(id, cancelled());
    if (!(await cancelUpload(this.#database, repository, id))) throw givenUp();
    await failpoint("session.cancelled");
    this.#bytes.forget(id);
  }

  async #complete(repository: string, writing: Writing, addition: Addition & { readonly digest: Digest }): Promise<void> {
    const { upload } = writing;
    const { digest } = addition;
    const algorithm = algorithmOf(digest);
    const { body, length } = addition;
    const received = await this.#bytes.receive(writing, { body, length, algorithm, goesOn: false });
    let writer = received.destination?.writer;
    let key: string;
    try {
      if (received.broken !== undefined) throw received.broken;
      refuseLength(addition.length, received);
      const actual = await this.#bytes.digest(writing, received.destination, algorithm);
      if (actual !== digest) {
        await cancelUpload(this.#database, repository, upload.id, writing.writer);
        throw wrongDigest(digest, actual);
      }
      writer ??= await this.#bytes.writer(writing, 0);
      key = await writer.commit(digest);
    } catch (error) {
      throw storeFailure(error);
    } finally {
      await writer?.close();
    }
    const { offset: size } = writer;
    await failpoint("U2.stored");
    await this.#database.transaction(async (transaction) => {
      if (!(await finishUpload(transaction, upload.id, writing.writer))) throw givenUp();
      await failpoint("U2.sessionEnded");
      const { id: repositoryId } = await ensureOwnRepository(transaction, repository);
      await commitBlob(transaction, { repositoryId, key, digest, size });
      await abandonLeftovers(transaction, upload.id);
      await refuseGrowth(transaction, this.#bytesAllowed, { id: repositoryId, name: repository });
    });
    await failpoint("U2.committed");
  }

  /**
   * Runs `work` as the one writer of the session: an older request in this process is ended first, one elsewhere loses the row. What the
   * session would refuse anyway ends nobody: the row is where an older request began, so who continues there is its own second attempt.
   */
  async #alone<T>(
    repository: string,
    id: string,
    caller: Caller,
    addition: Addition & { readonly digest?: Digest },
    work: (writing: Writing) => Promise<T>,
  ): Promise<T> {
    refuseUnfit(await this.#find(repository, id), caller, addition.start);
    return this.#turns.alone(id, takenOver, async (interruption) => {
      const writing = await this.#take(repository, id, caller, addition, interruption);
      const { writer, room } = writing;
      const touch = () =>
        touchUpload(this.#database, { id, writer, announced: writing.announced, expireSeconds: this.#expiry(writing.announced) });
      const signs = heartbeat(touch, { every: this.#touchEvery, onGivenUp: (reason) => interruption.interrupt(reason) });
      try {
        await room.require(addition.length ?? 0);
        return await work(writing);
      } catch (error) {
        await this.#endUnused(repository, writing, error);
        throw error;
      } finally {
        signs.stop();
        room.end();
      }
    });
  }

  /**
   * A session whose first bytes the store did not take ends: clients begin another one, and when the store is back, or has space again, all that
   * they may have would be open. One that outgrew its repository ends with the bytes that it brought.
   */
  async #endUnused(repository: string, { upload, writer, room }: Writing, error: unknown): Promise<void> {
    if (!room.wasExceeded && (upload.offset > 0 || !isOfStore(error))) return;
    // It expires by itself when the database does not answer now.
    await cancelUpload(this.#database, repository, upload.id, writer).catch(() => undefined);
  }

  async #take(
    repository: string,
    id: string,
    caller: Caller,
    { start, digest, gone }: Pick<Addition, "start" | "gone"> & { readonly digest?: Digest },
    interruption: Interruption,
  ): Promise<Writing> {
    for (let attempt = 1; attempt <= takeoverAttempts; attempt++) {
      const upload = await this.#find(repository, id);
      refuseUnfit(upload, caller, start);
      await failpoint("session.found");
      const writer = randomUUID();
      switch (await takeUpload(this.#database, upload, writer, this.#expiry(upload.offset > 0))) {
        case "Taken":
          await failpoint("session.taken");
          const room = this.#rooms.begin({ repository, offset: upload.offset, ...(digest === undefined ? {} : { digest }) });
          return { upload, writer, interruption, room, gone, suspended: upload.suspended, announced: upload.suspended !== null };
        case "GivenUp":
          throw givenUp();
        case "TooLate":
      }
    }
    throw takenOver();
  }

  async #find(repository: string, id: string): Promise<Upload> {
    const upload = isUuid(id) ? await findUpload(this.#database, repository, id) : undefined;
    if (upload === undefined) throw givenUp();
    return upload;
  }

  async #findFor(repository: string, id: string, caller: Caller): Promise<Upload> {
    const upload = await this.#find(repository, id);
    if (upload.identity !== caller.identity && caller.identity !== adminIdentity) throw givenUp();
    return upload;
  }

  /** Seconds. Taking a session over without a byte does not make it last. */
  #expiry(hasBytes: boolean): number {
    return hasBytes ? this.#expireSeconds : this.#expireEmptySeconds;
  }

  async #advance(writing: Writing, destination: Destination<UploadHash>): Promise<number> {
    const { id } = writing.upload;
    const { hash } = destination;
    const progress = {
      suspended: await destination.writer.suspend(),
      prefixDigest: hash.digest(),
      hashState: hash.save(),
      expireSeconds: this.#expireSeconds,
    };
    await failpoint("session.suspended");
    if (!(await advanceUpload(this.#database, { id, writer: writing.writer }, progress))) throw givenUp();
    await failpoint("session.advanced");
    this.#bytes.remember(writing, destination);
    return progress.suspended.offset;
  }
}

/** `start`: where the caller wants to continue; undefined: wherever the session is. */
function refuseUnfit({ identity, offset }: Upload, caller: Caller, start: number | undefined): void {
  if (identity !== caller.identity) throw givenUp();
  if (start !== undefined && start !== offset) throw outOfOrder(offset, start);
}

function refuseLength(announced: number | undefined, { bytes }: Received<UploadHash>): void {
  if (announced === undefined || announced === bytes) return;
  throw new ServiceError("SIZE_INVALID", `${announced} bytes were announced and ${bytes} came; none were taken. Send them again.`, {
    detail: { announced, received: bytes },
  });
}

function isOfStore(error: unknown): boolean {
  return error instanceof BlobStoreError || (error instanceof ServiceError && error.code === "INSUFFICIENT_STORAGE");
}

function isGone(error: unknown): boolean {
  return error instanceof ServiceError && error.code === "BLOB_UPLOAD_UNKNOWN";
}
