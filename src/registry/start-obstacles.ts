// Which failures of a start are in its way for as long as nobody mends them, and which are the configuration's: these end the process.

import { Obstacle, type ObstacleReason } from "../domain/obstacle.ts";
import { BlobStoreError, type BlobStoreErrorCode } from "./blobs/blob-store.ts";
import { DatabaseFileError } from "./metadata/connection-parameters.ts";
import { codeOf } from "./metadata/sql-state.ts";
import { DatabaseUnavailable } from "./metadata/unavailable.ts";

const insufficientPrivilege = "42501";

const ofStore: Partial<Readonly<Record<BlobStoreErrorCode, ObstacleReason>>> = {
  Locked: "FolderInUse",
  Unavailable: "StoreUnavailable",
  NoSpace: "StoreUnavailable",
};

/** Undefined: only another configuration helps, or it is a bug. */
export function obstacleIn(error: unknown): Obstacle | undefined {
  if (error instanceof Obstacle) return error;
  const because = (reason: ObstacleReason, message: string) => new Obstacle(reason, message, { cause: error });
  if (error instanceof DatabaseFileError)
    return because("DatabaseFileUnusable", `${upperFirst(error.message)}. Put it there; it is read again.`);
  if (error instanceof DatabaseUnavailable) return because("DatabaseUnavailable", `${error.message}.`);
  if (codeOf(error) === insufficientPrivilege) {
    return because(
      "DatabaseRightsMissing",
      `The database's role may not use the registry's tables (${(error as Error).message}): make it their owner, or give the URL of the role that is.`,
    );
  }
  if (!(error instanceof BlobStoreError)) return undefined;
  // The others were asked for (blobs/s3-start.ts).
  if (isDenied(error.cause))
    return because("BucketRightsMissing", `${error.message} Add s3:PutObject to its policy (docs/guides/s3.md has the whole one).`);
  return because(ofStore[error.code] ?? "FolderUnusable", error.message);
}

function isDenied(cause: unknown): boolean {
  return cause instanceof Error && cause.name === "AccessDenied";
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
