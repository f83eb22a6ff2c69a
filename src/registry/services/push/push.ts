// Writing to the team's own repositories: every method is one sentence of storage.md's protocol.

import { failpoint } from "#failpoints";

import { algorithmOf, digestOf, type Digest, type DigestAlgorithm } from "../../../domain/digest.ts";
import { maxManifestBytes } from "../../../domain/manifest.ts";
import type { NameTest } from "../../../domain/glob.ts";
import type { Reference } from "../../../domain/reference.ts";
import type { BlobStore } from "../../blobs/blob-store.ts";
import { findNamingManifest, lockBlobLink, unlinkBlob } from "../../metadata/blobs.ts";
import type { Database, Queryable } from "../../metadata/database.ts";
import { takeTurnOnTags } from "../../metadata/tags.ts";
import { deleteManifests } from "../deletion/delete-manifests.ts";
import { followAfterwards } from "../deletion/departed.ts";
import { deleteTags } from "../deletion/delete-tags.ts";
import { ServiceError } from "../errors.ts";
import { mount, type MountOptions } from "./mount.ts";
import { ensureOwnRepository, findOwnRepository } from "./own-repository.ts";
import { protectedTag } from "./point-tags.ts";
import type { Caller } from "../pull/pull-service.ts";
import type { Body, PushService, UploadStatus } from "./push-service.ts";
import { refuseGrowth, unlimited, type BytesAllowed } from "./repository-limits.ts";
import { storeManifest, withReferences } from "./store-manifest.ts";
import { wrongDigest } from "./upload-failures.ts";
import { UploadRooms } from "./upload-room.ts";
import { UploadSessions, type Addition } from "./upload-sessions.ts";
import { uploadWhole } from "./upload-whole.ts";

export interface PushOptions {
  readonly database: Database;
  readonly store: BlobStore;
  /** Milliseconds after which a session that nobody writes to expires. */
  readonly expireAfter: number;
  /** Milliseconds between two signs of life of a request that writes (`signOfLifeEvery`); a minute by default. */
  readonly touchEvery?: number;
  /** Upload sessions that may be open at once. */
  readonly sessionLimits?: { readonly perIdentity: number; readonly all: number };
  /** Bytes that a repository may have; as many as there is space for by default. */
  readonly bytesAllowed?: BytesAllowed;
  /** Repositories whose manifests may name layers that are not here (setting `allowMissingBlobs`); none by default. */
  readonly mayMissBlobs?: NameTest;
}

const takingAway = { takesAway: true };
/** Why something went, as the trash says it. */
const byClient = "client";

export class Push implements PushService {
  readonly #options: PushOptions;
  readonly #database: Database;
  readonly #rooms: UploadRooms;
  readonly #sessions: UploadSessions;

  constructor(options: PushOptions) {
    this.#options = options;
    this.#database = options.database;
    this.#rooms = new UploadRooms(options);
    this.#sessions = new UploadSessions({ ...options, rooms: this.#rooms });
  }

  startUpload(repository: string, caller: Caller, options: { algorithm: DigestAlgorithm }): Promise<UploadStatus> {
    return this.#sessions.start(repository, caller, options.algorithm);
  }

  async mount(repository: string, _caller: Caller, options: MountOptions): Promise<Digest | undefined> {
    return (await mount(this.#options, repository, options)) ? options.digest : undefined;
  }

  uploadStatus(repository: string, id: string, caller: Caller): Promise<UploadStatus> {
    return this.#sessions.status(repository, id, caller);
  }

  append(repository: string, id: string, caller: Caller, addition: Addition): Promise<UploadStatus> {
    return this.#sessions.append(repository, id, caller, addition);
  }

  complete(repository: string, id: string, caller: Caller, options: Addition & { digest: Digest }): Promise<void> {
    return this.#sessions.complete(repository, id, caller, options);
  }

  cancel(repository: string, id: string, caller: Caller): Promise<void> {
    return this.#sessions.cancel(repository, id, caller);
  }

  uploadWhole(repository: string, _caller: Caller, options: { digest: Digest; length?: number; body: Body }): Promise<void> {
    return uploadWhole({ ...this.#options, rooms: this.#rooms }, repository, options);
  }

  async putManifest(
    repository: string,
    caller: Caller,
    options: {
      reference: Reference;
      tags: readonly string[];
      mediaType: string | undefined;
      bytes: Uint8Array;
      isProtected: (tag: string) => boolean;
    },
  ): Promise<{ digest: Digest; subject?: Digest }> {
    const { reference, mediaType, bytes, isProtected } = options;
    refuseSize(bytes);
    const digest = digestOf(bytes, "digest" in reference ? algorithmOf(reference.digest) : "sha256");
    if ("digest" in reference && reference.digest !== digest) throw wrongDigest(reference.digest, digest);
    const tags = [...new Set("tag" in reference ? [reference.tag, ...options.tags] : options.tags)];
    const { bytesAllowed = unlimited, mayMissBlobs } = this.#options;
    const mayMiss = mayMissBlobs?.(repository) === true;
    const store = async (transaction: Queryable) => {
      const { id: repositoryId } = await ensureOwnRepository(transaction, repository);
      const by = caller.identity;
      const pushed = { repositoryId, digest, mediaType, bytes, tags, by, held: true, mayMissBlobs: mayMiss, isProtected };
      const stored = await storeManifest(transaction, pushed);
      await refuseGrowth(transaction, bytesAllowed, { id: repositoryId, name: repository });
      return stored;
    };
    // A tag may have pointed elsewhere.
    const manifest = await withReferences(this.#database, store, { takesAway: tags.length > 0 });
    await failpoint("M1.committed");
    return { digest, subject: manifest.subject?.digest };
  }

  async deleteManifest(
    repository: string,
    reference: Reference,
    caller: Caller,
    options: { isProtected: (tag: string) => boolean },
  ): Promise<void> {
    const why = { by: caller.identity, reason: byClient, isProtected: options.isProtected };
    const repositoryId = await this.#idOf(repository);
    if ("tag" in reference) return this.#deleteTag(repositoryId, reference.tag, why);
    const { digest } = reference;
    const { deleted, kept, followersWait } = await this.#database.transaction(
      (transaction) => deleteManifests(transaction, { repositoryId, digests: [digest], onHeld: "Refuse", ...why }),
      takingAway,
    );
    await failpoint("D1.committed");
    const [holding] = kept;
    if (holding?.because === "Protected") throw new ServiceError("DENIED", `${digest} has ${holding.holder}: it cannot be deleted.`);
    if (holding !== undefined) throw heldBy(digest, holding.holder);
    if (deleted.length === 0) throw unknownManifest(digest);
    if (followersWait) await followAfterwards(this.#database, { of: { repositoryId }, isProtected: (_, tag) => options.isProtected(tag) });
  }

  async deleteBlob(repository: string, digest: Digest, _caller: Caller): Promise<void> {
    const repositoryId = await this.#idOf(repository);
    await this.#database.transaction(async (transaction) => {
      if (!(await lockBlobLink(transaction, repositoryId, digest))) {
        throw new ServiceError("BLOB_UNKNOWN", "This repository does not have the blob.", { detail: { digest } });
      }
      await failpoint("D1.blobLocked");
      const manifest = await findNamingManifest(transaction, repositoryId, digest);
      if (manifest !== undefined) throw heldBy(digest, `the manifest ${manifest}`);
      await failpoint("D1.blobLooked");
      await unlinkBlob(transaction, repositoryId, digest);
      await failpoint("D1.blobGone");
    }, takingAway);
    await failpoint("D1.committed");
  }

  async #deleteTag(
    repositoryId: number,
    tag: string,
    why: { by: string; reason: string; isProtected: (tag: string) => boolean },
  ): Promise<void> {
    const { kept, missing } = await this.#database.transaction(async (transaction) => {
      await takeTurnOnTags(transaction, repositoryId, [tag]);
      return deleteTags(transaction, { repositoryId, tags: [{ name: tag }], ...why });
    }, takingAway);
    await failpoint("D1.committed");
    if (missing.length > 0) throw unknownManifest(tag);
    const [protecting] = kept;
    if (protecting !== undefined) throw protectedTag(tag, protecting.digest);
  }

  async #idOf(repository: string): Promise<number> {
    const found = await findOwnRepository(this.#database, repository);
    if (found !== undefined) return found.id;
    throw new ServiceError("NAME_UNKNOWN", `There is no repository ${repository}.`, { detail: { name: repository } });
  }
}

function refuseSize(bytes: Uint8Array): void {
  if (bytes.byteLength <= maxManifestBytes) return;
  throw new ServiceError("PAYLOAD_TOO_LARGE", `A manifest has at most ${maxManifestBytes} bytes; this one has ${bytes.byteLength}.`, {
    detail: { limit: maxManifestBytes },
  });
}

function unknownManifest(reference: string): ServiceError {
  return new ServiceError("MANIFEST_UNKNOWN", `This repository does not have ${reference}.`, { detail: { reference } });
}

function heldBy(digest: Digest, holder: string): ServiceError {
  return new ServiceError("UNSUPPORTED", `${digest} cannot be deleted while ${holder} names it. Delete that first.`, {
    detail: { digest, holder },
  });
}
