// POST ?digest= with the whole blob: U1 and U2 without a session (distribution spec, "Single POST").

import { failpoint } from "#failpoints";

import type { Hash } from "node:crypto";

import { algorithmOf, digestOf, finishDigest, startDigest, type Digest } from "../../../domain/digest.ts";
import type { BlobStore } from "../../blobs/blob-store.ts";
import type { Database } from "../../metadata/database.ts";
import { findPrefix } from "../../metadata/repositories.ts";
import { AnnouncedObject } from "./announced-object.ts";
import { commitBlob } from "./commit-blob.ts";
import { ServiceError } from "../errors.ts";
import { heartbeat, type Heartbeat } from "../upkeep/heartbeat.ts";
import { belongsToUpstream, ensureOwnRepository } from "./own-repository.ts";
import type { Body } from "./push-service.ts";
import { refuseGrowth, unlimited, type BytesAllowed } from "./repository-limits.ts";
import { Interruption, receive, storeFailure, type Destination } from "./receive.ts";
import type { UploadRooms } from "./upload-room.ts";
import { wrongDigest } from "./upload-failures.ts";

export interface UploadWholeOptions {
  readonly database: Database;
  readonly store: BlobStore;
  readonly touchEvery?: number;
  readonly bytesAllowed?: BytesAllowed;
  readonly rooms: UploadRooms;
}

/** Throws DIGEST_INVALID, SIZE_INVALID, INSUFFICIENT_STORAGE, UNSUPPORTED, DENIED when there is no room in the repository; nothing is readable then. */
export async function uploadWhole(
  { database, store, touchEvery, rooms, bytesAllowed = unlimited }: UploadWholeOptions,
  repository: string,
  upload: { readonly digest: Digest; readonly length?: number; readonly body: Body },
): Promise<void> {
  const taken = await findPrefix(database, repository);
  if (taken !== undefined && taken.kind !== "own") throw belongsToUpstream(repository, taken);
  const { digest, length = 1 } = upload;
  const room = rooms.begin({ repository, digest });
  const algorithm = algorithmOf(digest);
  const object = new AnnouncedObject(database);
  const interruption = new Interruption();
  let signs: Heartbeat | undefined;
  const open = async (): Promise<Destination<Hash>> => {
    signs = heartbeat(() => object.touch(), { every: touchEvery, onGivenUp: (reason) => interruption.interrupt(reason) });
    const writer = await store.create(object.announce, upload.length === undefined ? {} : { bytes: upload.length });
    return { writer, hash: startDigest(algorithm) };
  };
  try {
    await room.require(length);
    const { destination, bytes, broken } = await receive({ body: upload.body, open, interruption, grow: (count) => room.grow(count) });
    let writer = destination?.writer;
    let key: string;
    try {
      if (broken !== undefined) throw broken;
      if (upload.length !== undefined && upload.length !== bytes) {
        throw new ServiceError(
          "SIZE_INVALID",
          `${upload.length} bytes were announced and ${bytes} came; nothing was stored. Upload again.`,
        );
      }
      const actual = destination === undefined ? digestOf("", algorithm) : finishDigest(destination.hash, algorithm);
      if (actual !== digest) throw wrongDigest(digest, actual);
      writer ??= (await open()).writer;
      key = await writer.commit(digest);
    } finally {
      await writer?.close();
    }
    await failpoint("U2.stored");
    await database.transaction(async (transaction) => {
      const { id: repositoryId } = await ensureOwnRepository(transaction, repository);
      await commitBlob(transaction, { repositoryId, key, digest, size: bytes });
      await refuseGrowth(transaction, bytesAllowed, { id: repositoryId, name: repository });
    });
    await failpoint("U2.committed");
  } catch (error) {
    await object.abandon().catch(() => undefined);
    throw storeFailure(error);
  } finally {
    signs?.stop();
    room.end();
  }
}
