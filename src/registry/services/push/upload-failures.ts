// What a client that uploads is told when it goes wrong.

import type { Digest } from "../../../domain/digest.ts";
import { ServiceError } from "../errors.ts";

/** Seconds after which it is worth starting another session. */
const startAgainAfter = 60;

export function outOfOrder(offset: number, start: number): ServiceError {
  return new ServiceError(
    "RANGE_INVALID",
    `This upload continues at byte ${offset}, not at ${start}. Ask for its status and go on from there.`,
    {
      detail: { offset },
    },
  );
}

export function wrongDigest(claimed: Digest, actual: Digest): ServiceError {
  return new ServiceError("DIGEST_INVALID", `The bytes that came are ${actual}, not ${claimed}; nothing was stored. Upload again.`, {
    detail: { claimed, actual },
  });
}

export function tooMany(message: string): ServiceError {
  return new ServiceError("TOOMANYREQUESTS", message, { retryAfter: startAgainAfter });
}

export function takenOver(): ServiceError {
  return new ServiceError("BLOB_UPLOAD_UNKNOWN", "Another request continues this upload.");
}

export function cancelled(): ServiceError {
  return new ServiceError("BLOB_UPLOAD_UNKNOWN", "This upload was cancelled.");
}

export function readTooOften(): ServiceError {
  return new ServiceError(
    "BLOB_UPLOAD_INVALID",
    "The bytes of this upload were hashed anew too often, and it was ended. Start another one, with ?digest-algorithm= of the digest that it will be completed with.",
  );
}
