// How many bytes a repository may hold (setting `limits`): its blobs, each once, and its manifests.

import { formatBytes } from "../../domain/bytes.ts";
import type { Digest } from "../../domain/digest.ts";
import { claimBlob } from "../metadata/blobs.ts";
import type { Queryable } from "../metadata/database.ts";
import { findRepository } from "../metadata/repositories.ts";
import { readUsage, takeTurnOnUsage } from "../metadata/usage.ts";
import { ServiceError } from "./errors.ts";

/** Bytes; undefined: as many as there is space for. */
export type BytesAllowed = (repository: string) => number | undefined;

export const unlimited: BytesAllowed = () => undefined;

/**
 * Before bytes are sent, so that nobody sends them for nothing: throws DENIED when the repository has no place for `bytes` more, and does not
 * have `digest` (where that is known) already. What counts is `refuseGrowth`: others push meanwhile.
 */
export async function refuseWhenFull(
  database: Queryable,
  allowed: BytesAllowed,
  repository: string,
  upload: { readonly bytes: number; readonly digest?: Digest },
): Promise<void> {
  const limit = allowed(repository);
  if (limit === undefined) return;
  const found = await findRepository(database, repository);
  const used = found === undefined ? 0 : (await readUsage(database, found.id)).used;
  if (used + upload.bytes <= limit) return;
  if (upload.digest !== undefined && (await claimBlob(database, repository, upload.digest)) !== undefined) return;
  throw full(repository, { used, limit, more: upload.bytes });
}

/**
 * The last step of a transaction that pushes: throws DENIED when it made the repository larger than it may be. Who pushes to a limited
 * repository at the same time waits here for the other's commit; what is there already can be pushed again.
 */
export async function refuseGrowth(
  transaction: Queryable,
  allowed: BytesAllowed,
  repository: { readonly id: number; readonly name: string },
): Promise<void> {
  const limit = allowed(repository.name);
  if (limit === undefined) return;
  await takeTurnOnUsage(transaction, repository.id);
  const { used, grown } = await readUsage(transaction, repository.id);
  if (grown > 0 && used > limit) throw full(repository.name, { used: used - grown, limit, more: grown });
}

function full(repository: string, { used, limit, more }: { readonly used: number; readonly limit: number; readonly more: number }) {
  return new ServiceError(
    "DENIED",
    `${repository} has ${formatBytes(used)} of the ${formatBytes(limit)} that it may have, and this needs ${formatBytes(more)} more. ` +
      "Delete images that nobody needs (their bytes count until they are collected) or ask an administrator to raise the limit.",
    { detail: { used, limit, needed: more } },
  );
}
